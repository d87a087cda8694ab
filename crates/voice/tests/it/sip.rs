//! SIP against SIPp, in both directions.

mod dialogue;
mod reliable;
mod tls;

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callveil_domain::call::CallId;
use callveil_domain::node::Randomness;
use callveil_domain::number::PhoneNumber;
use callveil_domain::tenant::Sid;
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_voice::leg::{Cause, Dial, Encryption, EndedBy, Event, Invitation, Leg, Order, Port, Refusal};
use callveil_voice::sip::Identity;
use callveil_voice::sip::{self, Settings, Silence, Sip, trace};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::sipp::{LONGEST, Sipp, until};

/// Our side of a small world: SIP on loopback, and the invitations that come.
pub struct World {
    pub sip: Sip,
    invitations: mpsc::Receiver<Invitation>,
}

impl World {
    pub async fn with(trunks: Vec<Trunk>) -> World {
        let settings = Settings {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            calls: 1_000,
            retry_after: 5,
            ..Settings::default()
        };
        World::as_set(settings, trunks).await
    }

    async fn as_set(settings: Settings, trunks: Vec<Trunk>) -> World {
        let randomness: Randomness = Arc::new(|| Box::new(rand::make_rng::<rand::rngs::StdRng>()));
        let (sip, invitations) = sip::start(settings, trunks, randomness).await.unwrap();
        World { sip, invitations }
    }

    fn address(&self) -> SocketAddr {
        self.sip.addresses()[0]
    }

    async fn invited(&mut self) -> Invitation {
        within(self.invitations.recv()).await.expect("SIP runs")
    }

    /// All legs are gone, and with them every dialogue.
    pub async fn is_left_empty(&self) {
        until("no dialogue stays", || self.sip.counts().dialogs == 0).await;
    }
}

/// Settings by which what is missed is missed after 20 ms, and given up after 1.3 s.
fn impatient() -> Settings {
    Settings {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        calls: 1_000,
        t1: Some(Duration::from_millis(20)),
        ..Settings::default()
    }
}

pub async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LONGEST, what).await.expect("in good time")
}

pub async fn next(leg: &mut Leg) -> Event {
    within(leg.events.recv()).await.expect("an event before the end")
}

fn trunk(settings: &[(&str, &str)]) -> Trunk {
    let mut trunk = Trunk::new(TrunkName::parse("loopback").unwrap());
    for (name, value) in settings {
        trunk.set(name, value).unwrap();
    }
    trunk.complete().unwrap()
}

fn from_loopback() -> Trunk {
    trunk(&[("sources", "127.0.0.1")])
}

pub fn to(address: SocketAddr, transport: &str) -> Trunk {
    trunk(&[("sources", "127.0.0.1"), ("targets", &address.to_string()), ("transport", transport)])
}

fn description() -> Bytes {
    Bytes::from_static(
        b"v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n",
    )
}

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).unwrap()
}

pub fn telephone() -> Dial {
    Dial {
        call: CallId::from_bytes([7; 16]),
        tenant: Sid::parse("acme").unwrap(),
        to: number(12_025_550_102),
        show: number(918_000_000_001),
        offer: description(),
        encryption: Encryption::Off,
        max_forwards: 69,
    }
}

/// Answers a caller and waits for the end of the call, as its peer means it.
async fn answer(mut invitation: Invitation) {
    invitation.leg.orders.send(Order::Ring).await.unwrap();
    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();
    assert!(matches!(next(&mut invitation.leg).await, Event::Acknowledged(None)));
    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
}

async fn a_caller_is_answered(transport: &str) {
    let mut world = World::with(vec![from_loopback()]).await;
    let sipp = Sipp::calls("caller.xml", world.address(), 3, &["-t", transport]);

    for _ in 0..3 {
        let invitation = world.invited().await;
        assert_eq!(invitation.trunk.as_str(), "loopback");
        assert_eq!(invitation.dialled, Some(number(918_000_000_001)));
        assert_eq!(invitation.caller, Some(number(12_025_550_101)));
        assert_eq!(invitation.max_forwards, 70);
        assert!(invitation.offer.as_ref().is_some_and(|offer| offer.starts_with(b"v=0")));
        tokio::spawn(answer(invitation));
    }

    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_caller_is_answered_by_udp() {
    a_caller_is_answered("u1").await;
}

#[tokio::test]
async fn a_caller_is_answered_by_tcp() {
    a_caller_is_answered("t1").await;
}

async fn a_telephone_is_rung(sipp: &str, transport: &str) {
    let (sipp, address) = Sipp::answers("callee.xml", 3, &["-t", sipp]).await;
    let world = World::with(vec![to(address, transport)]).await;

    for _ in 0..3 {
        let mut leg = world.sip.dial(telephone()).await;
        assert!(matches!(next(&mut leg).await, Event::Ringing(None)));
        let Event::Answered(Some(description)) = next(&mut leg).await else { panic!("answered") };
        assert!(description.starts_with(b"v=0"));
        leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
        assert!(matches!(next(&mut leg).await, Event::Ended(EndedBy::Us)));
    }

    let messages = sipp.succeeds().await;
    assert!(messages.contains("Reason: Q.850;cause=16"), "{messages}");
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_telephone_is_rung_by_udp() {
    a_telephone_is_rung("u1", "udp").await;
}

#[tokio::test]
async fn a_telephone_is_rung_by_tcp() {
    a_telephone_is_rung("t1", "tcp").await;
}

#[tokio::test]
async fn an_invite_is_made_of_our_words_alone() {
    let (sipp, address) = Sipp::answers("callee.xml", 1, &[]).await;
    let world = World::with(vec![to(address, "udp")]).await;
    let mut leg = world.sip.dial(telephone()).await;
    while !matches!(next(&mut leg).await, Event::Answered(_)) {}
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();

    let messages = sipp.succeeds().await;

    let invite = messages.split("----").find(|part| part.contains("INVITE sip:+12025550102@")).unwrap();
    let ours = world.address();
    let line = |begins: &str| invite.lines().find(|line| line.starts_with(begins)).unwrap_or_default();
    assert_eq!(line("To: "), format!("To: <sip:+12025550102@{address}>"));
    assert!(line("From: ").starts_with(&format!("From: <sip:+918000000001@{}>;tag=", ours.ip())), "{invite}");
    assert!(line("P-Asserted-Identity: ").contains("<sip:+918000000001@"), "{invite}");
    assert_eq!(line("Max-Forwards: "), "Max-Forwards: 69");
    for absent in ["User-Agent", "Route:", "rsipstack", "restsend"] {
        assert!(!invite.contains(absent), "{absent}: {invite}");
    }
}

#[tokio::test]
async fn the_messages_of_a_call_are_told_of_both_legs_without_a_number() {
    // For the whole process: other tests' threads would switch a line off that only this one listens to.
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(|| Log);
    let traced = Targets::new().with_target(trace::TARGET, LevelFilter::DEBUG);
    tracing_subscriber::registry().with(traced).with(lines).init();
    let (telephone_sipp, address) = Sipp::answers("callee.xml", 1, &["-t", "t1"]).await;
    let mut world = World::with(vec![to(address, "tcp")]).await;
    let caller_sipp = Sipp::calls("caller.xml", world.address(), 1, &[]);

    let caller = tokio::spawn(answer(world.invited().await));
    let mut leg = world.sip.dial(telephone()).await;
    while !matches!(next(&mut leg).await, Event::Answered(_)) {}
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
    telephone_sipp.succeeds().await;
    caller_sipp.succeeds().await;
    caller.await.unwrap();
    world.is_left_empty().await;

    let told: Vec<serde_json::Value> =
        Log::take().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let gets = |direction: &str, transport: &str, begins: &str| {
        told.iter().any(|line| {
            let text = line["message"].as_str().unwrap_or_default().lines().nth(1).unwrap_or_default();
            line["direction"] == direction
                && line["transport"] == transport
                && text.trim().starts_with(begins)
        })
    };
    for (direction, other) in [("received", "sent"), ("sent", "received")] {
        let transport = if direction == "received" { "UDP" } else { "TCP" };
        assert!(gets(direction, transport, "INVITE sip:+"), "{direction}: {told:#?}");
        assert!(gets(other, transport, "SIP/2.0 200"), "{other}: {told:#?}");
        assert!(gets(direction, transport, "ACK sip:"), "{direction}: {told:#?}");
        assert!(gets(direction, transport, "BYE sip:"), "{direction}: {told:#?}");
    }
    let legs: std::collections::HashSet<_> = told.iter().map(|line| line["call"].to_string()).collect();
    assert!(legs.len() >= 2, "{told:#?}");
    let all = serde_json::to_string(&told).unwrap();
    assert!(all.contains("+1******02") && all.contains("+1******01"), "{all}");
    for number in ["2025550101", "2025550102", "8000000001"] {
        assert!(!all.contains(number), "{all}");
    }
}

thread_local! {
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What was logged on this thread.
struct Log;

impl Log {
    fn take() -> String {
        String::from_utf8(LOGGED.take()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_stranger_hears_nothing() {
    let mut world = World::with(vec![trunk(&[("sources", "192.0.2.1")])]).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    for method in ["INVITE", "OPTIONS", "REGISTER"] {
        let text = format!(
            "{method} sip:100@{} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{method}\r\n\
             From: <sip:a@{at}>;tag=1\r\nTo: <sip:b@{at}>\r\nCall-ID: {method}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:a@{at}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            world.address()
        );
        socket.send_to(text.as_bytes(), world.address()).await.unwrap();
    }

    let mut buffer = [0; 1_500];
    let heard = timeout(Duration::from_secs(1), socket.recv_from(&mut buffer)).await;

    assert!(heard.is_err(), "{:?}", heard.map(|_| String::from_utf8_lossy(&buffer).into_owned()));
    assert!(world.invitations.try_recv().is_err());
}

#[tokio::test]
async fn a_caller_is_refused_with_a_time_to_come_again() {
    let mut world = World::with(vec![from_loopback()]).await;
    let sipp = Sipp::calls("caller_turned_away.xml", world.address(), 1, &[]);

    let mut invitation = world.invited().await;
    let refusal = Refusal { status: 503, retry_after: Some(7) };
    invitation.leg.orders.send(Order::Refuse(refusal)).await.unwrap();

    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Us)));
    let messages = sipp.succeeds().await;
    assert!(messages.contains("Retry-After: 7"), "{messages}");
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_drained_server_takes_no_more_calls() {
    let mut world = World::with(vec![from_loopback()]).await;
    world.sip.drain();

    let sipp = Sipp::calls("caller_turned_away.xml", world.address(), 2, &[]);

    let messages = sipp.succeeds().await;
    assert!(messages.contains("Retry-After: 5"), "{messages}");
    assert!(world.invitations.try_recv().is_err());
}

#[tokio::test]
async fn a_trunk_that_is_full_takes_no_more_calls() {
    let mut world = World::with(vec![trunk(&[("sources", "127.0.0.1"), ("calls", "1")])]).await;
    let first = Sipp::calls("caller.xml", world.address(), 1, &[]);
    let mut invitation = world.invited().await;

    Sipp::calls("caller_turned_away.xml", world.address(), 1, &[]).succeeds().await;

    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();
    assert!(matches!(next(&mut invitation.leg).await, Event::Acknowledged(None)));
    first.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_caller_proves_that_it_knows_the_password() {
    let accepting = [("sources", "127.0.0.1"), ("accept_user", "carrier"), ("accept_password", "hunter2")];
    let mut callee = World::with(vec![trunk(&accepting)]).await;
    let target = callee.address().to_string();
    let calling = |password| {
        trunk(&[("targets", &target), ("sources", "127.0.0.1"), ("user", "carrier"), ("password", password)])
    };

    let stranger = World::with(vec![calling("hunter3")]).await;
    let mut leg = stranger.sip.dial(telephone()).await;
    assert!(matches!(next(&mut leg).await, Event::Refused(401)));
    assert!(callee.invitations.try_recv().is_err());

    let friend = World::with(vec![calling("hunter2")]).await;
    let mut leg = friend.sip.dial(telephone()).await;
    let mut invitation = callee.invited().await;
    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();
    assert!(matches!(next(&mut leg).await, Event::Answered(Some(_))));
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
    assert!(matches!(next(&mut invitation.leg).await, Event::Acknowledged(None)));
    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
    callee.is_left_empty().await;
    friend.is_left_empty().await;
}

#[tokio::test]
async fn a_busy_telephone_is_told_as_such() {
    let (sipp, address) = Sipp::answers("callee_is_busy.xml", 1, &[]).await;
    let world = World::with(vec![to(address, "udp")]).await;

    let mut leg = world.sip.dial(telephone()).await;

    assert!(matches!(next(&mut leg).await, Event::Refused(486)));
    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn the_next_address_and_then_the_next_trunk_are_tried_when_one_fails() {
    let (first, at_first) = Sipp::answers("carrier_fails.xml", 1, &[]).await;
    let (second, at_second) = Sipp::answers("carrier_fails.xml", 1, &[]).await;
    let (third, at_third) = Sipp::answers("callee.xml", 1, &[]).await;
    let both = format!("{at_first},{at_second}");
    let failing = trunk(&[("sources", "127.0.0.1"), ("targets", &both), ("rank", "1"), ("probe", "off")]);
    let mut good = to(at_third, "udp");
    good.name = TrunkName::parse("good").unwrap();
    let world = World::with(vec![failing, good]).await;

    let mut leg = world.sip.dial(telephone()).await;

    assert!(matches!(next(&mut leg).await, Event::Ringing(None)));
    assert!(matches!(next(&mut leg).await, Event::Answered(Some(_))));
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
    first.succeeds().await;
    second.succeeds().await;
    third.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_trunk_whose_sound_is_encrypted_is_made_an_offer_of_its_own() {
    let (first, at_first) = Sipp::answers("carrier_fails.xml", 1, &[]).await;
    let (second, at_second) = Sipp::answers("callee.xml", 1, &[]).await;
    let mut clear = to(at_first, "udp");
    clear.name = TrunkName::parse("clear").unwrap();
    let encrypted =
        [("sources", "127.0.0.1"), ("targets", &at_second.to_string()), ("media", "srtp"), ("rank", "200")];
    let world = World::with(vec![clear, trunk(&encrypted)]).await;
    let dial = telephone();
    assert_eq!(world.sip.encrypts(dial.to, dial.show), Encryption::Off);

    let mut leg = world.sip.dial(dial).await;

    let Event::Wanted(Encryption::On, reply) = next(&mut leg).await else { panic!("another offer") };
    reply.send(description()).unwrap();
    assert!(matches!(next(&mut leg).await, Event::Ringing(None)));
    assert!(matches!(next(&mut leg).await, Event::Answered(Some(_))));
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
    first.succeeds().await;
    second.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_trunk_for_which_no_offer_can_be_made_is_passed_over() {
    let trunk = trunk(&[("sources", "127.0.0.1"), ("targets", "127.0.0.1:9"), ("media", "srtp")]);
    let world = World::with(vec![trunk]).await;

    let mut leg = world.sip.dial(telephone()).await;

    let Event::Wanted(Encryption::On, reply) = next(&mut leg).await else { panic!("another offer") };
    drop(reply);
    assert!(matches!(next(&mut leg).await, Event::Refused(503)));
}

#[tokio::test]
async fn a_telephone_that_no_trunk_leads_to_is_refused() {
    let world = World::with(vec![from_loopback()]).await;

    let mut leg = world.sip.dial(telephone()).await;

    assert!(matches!(next(&mut leg).await, Event::Refused(503)));
}

#[tokio::test]
async fn a_telephone_that_rings_is_given_up_with_the_reason() {
    let (sipp, address) = Sipp::answers("callee_is_cancelled.xml", 1, &[]).await;
    let world = World::with(vec![to(address, "udp")]).await;
    let mut leg = world.sip.dial(telephone()).await;
    assert!(matches!(next(&mut leg).await, Event::Ringing(None)));

    leg.orders.send(Order::Hangup(Cause::ANSWERED_ELSEWHERE)).await.unwrap();

    assert!(matches!(next(&mut leg).await, Event::Ended(EndedBy::Us)));
    let messages = sipp.succeeds().await;
    assert!(messages.contains("Reason: SIP;cause=200"), "{messages}");
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_leg_that_is_let_go_is_ended() {
    let (sipp, address) = Sipp::answers("callee.xml", 1, &[]).await;
    let world = World::with(vec![to(address, "udp")]).await;
    let mut leg = world.sip.dial(telephone()).await;
    while !matches!(next(&mut leg).await, Event::Answered(_)) {}

    drop(leg);

    sipp.succeeds().await;
    world.is_left_empty().await;
}

#[tokio::test]
async fn a_trunk_is_registered_with_that_wants_it_and_hears_when_it_is_let_go() {
    let (sipp, address) = Sipp::answers("registrar.xml", 1, &[]).await;
    let registers = [("targets", address.to_string()), ("register", "10m".to_owned())];
    let login =
        [("user", "callveil".to_owned()), ("password", "hunter2".to_owned()), ("probe", "off".to_owned())];
    let said: Vec<(&str, &str)> =
        registers.iter().chain(&login).map(|(name, text)| (*name, text.as_str())).collect();
    let world = World::with(vec![trunk(&said)]).await;
    let registered = || std::fs::read_to_string(sipp.messages()).unwrap_or_default().contains("expires=600");
    until("it is registered", registered).await;

    // One that stays as it was is not told; one that is gone is.
    world.sip.adopt(vec![trunk(&[&said[..], &[("rank", "7")]].concat())]);
    world.sip.adopt(Vec::new());

    let messages = sipp.succeeds().await;
    assert!(messages.contains("Digest username=\"callveil\""), "{messages}");
    assert!(messages.contains("Expires: 600") && !messages.contains("hunter2"), "{messages}");
    let last = messages.rsplit("REGISTER sip:").next().unwrap_or_default();
    assert!(last.contains("Expires: 0") && last.contains("CSeq: 3 REGISTER"), "{messages}");
    assert!(!messages.contains("restsend"), "{messages}");
}

#[tokio::test]
async fn a_carrier_is_asked_whether_it_is_there() {
    let world = World::with(vec![from_loopback()]).await;
    let there = to(world.address(), "udp");
    let by_tcp = to(world.address(), "tcp");
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let gone = to(silent.local_addr().unwrap(), "udp");

    // It asks itself, which is as good as another.
    let answers = |trunk: Trunk| {
        let sip = world.sip.clone();
        async move { sip.probe(&trunk).await.into_iter().map(|probed| probed.answer).collect::<Vec<_>>() }
    };
    assert_eq!(answers(there).await, [Ok(200)]);
    assert_eq!(answers(by_tcp).await, [Ok(200)]);
    assert_eq!(answers(gone).await, [Err(Silence::NoAnswer)]);
}

#[tokio::test]
async fn what_is_no_sip_from_a_trunk_is_refused_or_dropped() {
    let world = World::with(vec![from_loopback()]).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let options = |version: &str, branch: &str| {
        format!(
            "OPTIONS sip:{} {version}\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{branch}\r\n\
             From: <sip:a@{at}>;tag=1\r\nTo: <sip:b@{at}>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            world.address()
        )
    };
    let mut buffer = [0; 1_500];
    let mut told = async |message: String| {
        socket.send_to(b"no SIP at all\r\n\r\n", world.address()).await.unwrap();
        socket.send_to(message.as_bytes(), world.address()).await.unwrap();
        let (length, _) = within(socket.recv_from(&mut buffer)).await.unwrap();
        String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap_or_default().to_owned()
    };

    assert_eq!(told(options("SIP/7.0", "one")).await, "SIP/2.0 505 Version Not Supported");
    assert_eq!(told(options("SIP/2.0", "two")).await, "SIP/2.0 200 OK");
}
