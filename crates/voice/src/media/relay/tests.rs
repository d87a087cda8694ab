use std::net::Ipv4Addr;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use callveil_domain::time::Timestamp;

use super::phone::{PCMA, PCMU, Phone};
use super::*;
use crate::media::sdp::Format;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CALLED: LegNumber = LegNumber(1);
/// Nothing here takes this long but on a machine that does something else.
const BOUND: Duration = Duration::from_secs(30);

fn config() -> Config {
    Config {
        addresses: vec![Address::plain(LOOPBACK)],
        ports: None,
        sources: Sources::Described,
        silence: Duration::from_secs(60),
        prompts: Prompts::default(),
        recorder: None,
    }
}

async fn open(config: Config) -> (Box<dyn Session>, mpsc::Receiver<Event>) {
    let relay = Relay::new(config, Box::new(StdRng::seed_from_u64(7)));
    let mut rng = StdRng::seed_from_u64(8);
    relay.open(CallId::new(Timestamp::from_micros(1_000), &mut rng)).await.unwrap()
}

/// Two telephones whose legs are agreed on and joined.
async fn talking(called: Format) -> (Box<dyn Session>, mpsc::Receiver<Event>, Phone, Phone) {
    talking_over(config(), called).await
}

async fn talking_over(
    config: Config,
    called: Format,
) -> (Box<dyn Session>, mpsc::Receiver<Event>, Phone, Phone) {
    let (mut session, events) = open(config).await;
    let (mut a, mut b) = (Phone::new(0).await, Phone::new(called.payload_type).await);
    session.consider(LegNumber::CALLER, a.description(&[PCMU])).await.unwrap();
    b.learn(&session.offer(CALLED, false).await.unwrap());
    session.accept(CALLED, b.description(&[called])).await.unwrap();
    a.learn(&session.answer(LegNumber::CALLER, a.description(&[PCMU])).await.unwrap());
    session.join(LegNumber::CALLER, CALLED).await.unwrap();
    (session, events, a, b)
}

#[tokio::test]
async fn two_telephones_hear_each_other_and_neither_sees_the_others_numbers() {
    let (session, _events, mut a, mut b) = talking(PCMU).await;

    a.say(b"from the caller").await;
    let (to_b, heard_by_b, from) = b.hear().await;
    b.say(b"from the called").await;
    let (to_a, heard_by_a, _) = a.hear().await;

    assert_eq!(heard_by_b, b"from the caller");
    assert_eq!(heard_by_a, b"from the called");
    assert_eq!(from, b.relay);
    assert_ne!(a.relay, b.relay);
    assert_eq!(from.port() % 2, 0);
    assert_ne!((to_b.ssrc, to_b.timestamp), (0xfeed_0000, 160));
    assert_ne!(to_a.ssrc, to_b.ssrc);
    assert_eq!(session.close().await, Carried { from_caller: 1, from_called: 1, recorded_ms: 0 });
}

#[tokio::test]
async fn the_laws_are_converted_when_the_legs_agree_on_nothing_else() {
    let (_session, _events, mut a, mut b) = talking(PCMA).await;

    a.say(&[0xff; 160]).await;
    let (header, heard, _) = b.hear().await;
    b.say(&[0xd5; 160]).await;
    let (_, back, _) = a.hear().await;

    assert_eq!((header.payload_type, heard), (8, vec![0xd5; 160]));
    // A-law has no zero; the step beside it is the nearest.
    assert_eq!(back, vec![0xfe; 160]);
}

#[tokio::test]
async fn a_caller_who_waits_hears_the_tone_until_it_is_joined() {
    let (mut session, _events) = open(config()).await;
    let mut a = Phone::new(8).await;
    a.learn(&session.answer(LegNumber::CALLER, a.description(&[PCMA])).await.unwrap());

    session.play(LegNumber::CALLER, Sound::Ringback).await.unwrap();

    let (first, sound, _) = a.hear().await;
    let (second, _, _) = a.hear().await;
    assert_eq!((first.payload_type, first.marker, sound.len()), (8, true, 160));
    assert_eq!(second.sequence, first.sequence.wrapping_add(1));
    assert_eq!(second.timestamp, first.timestamp.wrapping_add(160));
}

#[tokio::test]
async fn a_session_that_is_dropped_gives_back_its_ports() {
    // An address of its own, on which no other test takes the port that is given back.
    let config = Config { addresses: vec![Address::plain(Ipv4Addr::new(127, 0, 13, 1).into())], ..config() };
    let (session, mut events, _a, b) = talking_over(config, PCMU).await;

    drop(session);

    assert_eq!(timeout(BOUND, events.recv()).await.unwrap(), None);
    UdpSocket::bind(b.relay).await.unwrap();
}

#[tokio::test]
async fn a_range_of_ports_runs_out_and_one_that_is_given_back_is_lent_again() {
    // A range in which somebody listens already holds nothing to lend: another is tried.
    for low in (20_000..30_000).step_by(500) {
        let address = Address::plain(Ipv4Addr::new(127, 0, 13, 2).into());
        let config = Config { addresses: vec![address], ports: Some(low..=low + 1), ..config() };
        let (mut session, _events) = open(config).await;
        let Ok(offer) = session.offer(CALLED, false).await else { continue };

        let second = session.offer(LegNumber(2), false).await;

        assert_eq!(Sdp::parse(&offer).unwrap().media[0].at.port(), low);
        assert_eq!(second, Err(MediaError::Exhausted));
        session.drop_leg(CALLED).await;
        let third = session.offer(LegNumber(2), false).await.unwrap();
        assert_eq!(Sdp::parse(&third).unwrap().media[0].at.port(), low);
        return;
    }
    panic!("no range is free");
}

#[tokio::test]
async fn a_conversation_is_kept_as_it_was_heard() {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(directory.path().join("recordings")).unwrap();
    let config = Config { recorder: Some(recorder.clone()), ..config() };
    let (mut session, _events, mut a, mut b) = talking_over(config, PCMU).await;

    let recording = session.record().await.unwrap();
    a.say(&[1; 160]).await;
    b.hear().await;
    b.say(&[2; 160]).await;
    a.hear().await;
    let carried = session.close().await;

    let file = std::fs::read(recorder.path(&recording)).unwrap();
    let sound = &file[crate::media::wav::HEADER..];
    let of =
        |byte: u8, side: usize| sound.iter().skip(side).step_by(2).filter(|heard| **heard == byte).count();
    assert_eq!(sound.len() as u64 / 16, carried.recorded_ms);
    // Both said 20 ms; how much of it had room before the end depends on how long all this took.
    assert_eq!((of(2, 0), of(1, 1)), (0, 0));
    assert!(of(1, 0) <= 160 && of(2, 1) <= 160);
}

#[tokio::test]
async fn nothing_is_recorded_where_no_directory_is_configured() {
    let (mut session, _events) = open(config()).await;

    assert!(matches!(session.record().await, Err(MediaError::Failed(_))));
}
