//! Against Debian's rtpengine, which each test starts for itself.

use std::process::Stdio;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use callveil_domain::time::Timestamp;

use super::*;
use crate::media::relay::phone::{PCMA, PCMU, Phone};
use crate::media::rtp::Header;
use crate::media::sdp::Meaning;

const CALLER: LegNumber = LegNumber::CALLER;
const CALLED: LegNumber = LegNumber(1);
/// Nothing here takes this long but on a machine that does something else.
const BOUND: Duration = Duration::from_secs(30);
const KEYS: Format = Format { payload_type: 101, meaning: Meaning::Events(8000) };

/// An rtpengine that runs, and the engine that orders it.
struct World {
    engine: Rtpengine,
    daemon: Child,
}

/// A port that nobody has. Somebody may take it before it is used, and then another is tried.
async fn free_port() -> u16 {
    UdpPort::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

type UdpPort = tokio::net::UdpSocket;

fn config(orders: SocketAddr, silence: Duration) -> Config {
    Config { orders, digits: "127.0.0.1:0".parse().unwrap(), prompts: Prompts::default(), silence }
}

async fn world() -> World {
    world_that_bears(BOUND).await
}

/// A world in which nobody may be silent for longer than this.
async fn world_that_bears(silence: Duration) -> World {
    for _ in 0..10 {
        let orders = SocketAddr::from(([127, 0, 0, 1], free_port().await));
        let config = config(orders, silence);
        let engine = Rtpengine::connect(config, Box::new(StdRng::seed_from_u64(3))).await.unwrap();
        let mut daemon = start(orders, engine.digits().unwrap());
        for _ in 0..20 {
            if engine.ping().await.is_ok() {
                return World { engine, daemon };
            }
            if daemon.try_wait().unwrap().is_some() {
                break;
            }
        }
    }
    panic!("rtpengine does not start");
}

fn start(orders: SocketAddr, digits: SocketAddr) -> Child {
    // Without the configuration of the package, whose ports only one may have. Ports for sound are bound one by one as they are needed, and those in use are passed over.
    let mut daemon = Command::new("rtpengine")
        .args(["--config-file=none", "--table=-1", "--interface=127.0.0.1", "--foreground", "--log-stderr"])
        .args(["--log-level=4", "--num-threads=2", "-m", "44000", "-M", "54998"])
        .arg(format!("--listen-ng={orders}"))
        .arg(format!("--dtmf-log-dest={digits}"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let stderr = daemon.stderr.take().unwrap();
    tokio::spawn(async move {
        let mut log = String::new();
        let _ = BufReader::new(stderr).read_to_string(&mut log).await;
    });
    daemon
}

impl World {
    async fn open(&self) -> (Box<dyn Session>, mpsc::Receiver<Event>) {
        let mut rng = StdRng::seed_from_u64(8);
        self.engine.open(CallId::new(Timestamp::from_micros(1_000), &mut rng)).await.unwrap()
    }
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(BOUND, events.recv()).await.unwrap().unwrap()
}

/// Says something again and again until the other hears it: a path needs a packet from each side to be settled.
async fn until_heard(from: &mut Phone, to: &Phone, payload: &[u8]) -> (Header, Vec<u8>) {
    for _ in 0..1000 {
        from.say(payload).await;
        if let Ok((header, heard, _)) = timeout(Duration::from_millis(30), to.hear()).await {
            return (header, heard);
        }
    }
    panic!("nothing is heard");
}

/// Two telephones whose legs are agreed on and joined, the caller answered last.
async fn talking(world: &World, called: Format) -> (Box<dyn Session>, mpsc::Receiver<Event>, Phone, Phone) {
    let (mut session, events) = world.open().await;
    let (mut a, mut b) = (Phone::new(0).await, Phone::new(called.payload_type).await);
    session.consider(CALLER, a.description(&[PCMU, KEYS])).await.unwrap();
    b.learn(&session.offer(CALLED, false).await.unwrap());
    session.accept(CALLED, b.description(&[called, KEYS])).await.unwrap();
    a.learn(&session.answer(CALLER, a.description(&[PCMU, KEYS])).await.unwrap());
    (session, events, a, b)
}

#[tokio::test]
async fn two_telephones_hear_each_other_when_they_are_joined_and_not_before() {
    let world = world().await;
    let (mut session, _events, mut a, mut b) = talking(&world, PCMU).await;
    a.say(&[7; 160]).await;
    assert!(timeout(Duration::from_millis(200), b.hear()).await.is_err());

    session.join(CALLER, CALLED).await.unwrap();
    let (to_b, heard_by_b) = until_heard(&mut a, &b, &[1; 160]).await;
    let (_, heard_by_a) = until_heard(&mut b, &a, &[2; 160]).await;

    assert_eq!((to_b.payload_type, heard_by_b), (0, vec![1; 160]));
    assert_eq!(heard_by_a, vec![2; 160]);
    let carried = session.close().await;
    assert!(carried.from_caller > 0 && carried.from_called > 0);
}

#[tokio::test]
async fn the_laws_are_converted() {
    let world = world().await;
    let (mut session, _events, mut a, b) = talking(&world, PCMA).await;
    session.join(CALLER, CALLED).await.unwrap();

    let (header, heard) = until_heard(&mut a, &b, &[0xff; 160]).await;

    assert_eq!((header.payload_type, heard), (8, vec![0xd5; 160]));
}

#[tokio::test]
async fn a_caller_that_was_answered_alone_keeps_its_ports_when_a_telephone_answers() {
    let world = world().await;
    let (mut session, mut events) = world.open().await;
    let (mut a, mut b) = (Phone::new(0).await, Phone::new(0).await);
    a.learn(&session.answer(CALLER, a.description(&[PCMU, KEYS])).await.unwrap());
    let ours = a.relay;

    session
        .play(CALLER, Sound::Prompt { name: "ended", language: "en".to_owned(), tenant: "acme".to_owned() })
        .await
        .unwrap();
    timeout(BOUND, a.hear()).await.unwrap();
    assert_eq!(next(&mut events).await, Event::Played(CALLER));

    b.learn(&session.offer(CALLED, false).await.unwrap());
    session.accept(CALLED, b.description(&[PCMU, KEYS])).await.unwrap();
    session.join(CALLER, CALLED).await.unwrap();
    let (_, heard) = until_heard(&mut a, &b, &[1; 160]).await;
    assert_eq!((a.relay, heard), (ours, vec![1; 160]));
}

#[tokio::test]
async fn keys_are_told_once_for_each_press_while_they_are_listened_to() {
    let world = world().await;
    let (mut session, mut events) = world.open().await;
    let mut a = Phone::new(0).await;
    a.learn(&session.answer(CALLER, a.description(&[PCMU, KEYS])).await.unwrap());
    session.listen(CALLER, true).await.unwrap();

    for event in [1, 1, 11] {
        a.press(event).await;
    }

    for key in ['1', '1', '#'] {
        assert_eq!(next(&mut events).await, Event::Digit(CALLER, key));
    }
}

#[tokio::test]
async fn a_party_that_sends_nothing_more_is_told_and_one_that_speaks_is_not() {
    let world = world_that_bears(Duration::from_secs(1)).await;
    let (mut session, mut events, mut a, b) = talking(&world, PCMU).await;
    session.join(CALLER, CALLED).await.unwrap();
    until_heard(&mut a, &b, &[1; 160]).await;

    let told = loop {
        a.say(&[1; 160]).await;
        if let Ok(told) = timeout(Duration::from_millis(20), events.recv()).await {
            break told;
        }
    };

    assert_eq!(told, Some(Event::Silent(CALLED)));
}

#[tokio::test]
async fn parties_of_a_call_that_rtpengine_does_not_know_any_more_are_told() {
    let mut world = world_that_bears(Duration::from_millis(500)).await;
    let (mut session, mut events, _a, _b) = talking(&world, PCMU).await;
    session.join(CALLER, CALLED).await.unwrap();

    world.daemon.kill().await.unwrap();

    let told = [next(&mut events).await, next(&mut events).await];
    assert!(told.contains(&Event::Silent(CALLER)) && told.contains(&Event::Silent(CALLED)), "{told:?}");
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_told() {
    let silent = UdpPort::bind("127.0.0.1:0").await.unwrap();
    let orders = silent.local_addr().unwrap();
    let config = config(orders, BOUND);
    let engine = Rtpengine::connect(config, Box::new(StdRng::seed_from_u64(3))).await.unwrap();

    assert_eq!(engine.ping().await, Err(MediaError::Failed("rtpengine did not answer ping".to_owned())));
}
