use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::media::rtcp;
use crate::media::rtp::{Header, Packet};
use crate::media::sdp::{Direction, Key, Kind, Meaning, Profile};
use crate::media::srtp::{self, Opener, Sealer};
use crate::media::tone;

const CALLER: LegNumber = LegNumber::CALLER;
const CALLED: LegNumber = LegNumber(1);
const SILENCE: Duration = Duration::from_secs(60);

/// What a room did.
#[derive(Debug, Default)]
struct Done {
    sent: Vec<(LegNumber, Channel, SocketAddr, Vec<u8>)>,
    told: Vec<Event>,
    law: Option<Law>,
    recorded: Vec<u8>,
}

impl Outside for Done {
    fn send(&mut self, leg: LegNumber, channel: Channel, to: SocketAddr, packet: &[u8]) {
        self.sent.push((leg, channel, to, packet.to_vec()));
    }

    fn tell(&mut self, event: Event) {
        self.told.push(event);
    }

    fn begin_recording(&mut self, law: Law) {
        assert_eq!(self.law.replace(law), None, "a recording begins once");
    }

    fn record(&mut self, frames: Vec<u8>) {
        self.recorded.extend(frames);
    }
}

/// A room, a clock that is turned by hand, and all that was done.
struct World {
    room: Room,
    now: Duration,
    done: Done,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The header of a telephone's packet, 20 ms after that of the number before.
fn header(number: u16) -> Header {
    let timestamp = u32::from(number) * 160;
    Header { marker: false, payload_type: 0, sequence: number, timestamp, ssrc: 0xcafe }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn phone(leg: LegNumber) -> SocketAddr {
    SocketAddr::new([192, 0, 2, leg.0 + 1].into(), 4000)
}

fn sdp(lines: &str, leg: LegNumber) -> Sdp {
    let text = format!("v=0\nc=IN IP4 {}\nm=audio 4000 RTP/AVP {lines}\n", phone(leg).ip());
    Sdp::parse(text.as_bytes()).unwrap()
}

const WITH_EVENTS: &str = "0 101\na=rtpmap:101 telephone-event/8000";

impl World {
    fn empty() -> World {
        World {
            room: Room::new(Habits { sources: Sources::Described, silence: SILENCE }),
            now: ms(0),
            done: Done::default(),
        }
    }

    /// Two legs that are agreed on, and joined.
    fn talking() -> World {
        World::talking_in(WITH_EVENTS, WITH_EVENTS)
    }

    fn talking_in(caller: &str, called: &str) -> World {
        let mut world = World::empty();
        world.place(CALLER);
        world.place(CALLED);
        world.room.consider(CALLER, &sdp(caller, CALLER)).unwrap();
        world.room.offer(CALLED, false).unwrap();
        world.room.accept(CALLED, &sdp(called, CALLED), world.now).unwrap();
        world.room.answer(CALLER, &sdp(caller, CALLER), world.now).unwrap();
        world.join();
        world
    }

    fn join(&mut self) {
        self.room.join(CALLER, CALLED, self.now, &mut self.done).unwrap();
    }

    fn place(&mut self, leg: LegNumber) {
        let mut rng = StdRng::seed_from_u64(u64::from(leg.0));
        let port = 20_000 + 2 * u16::from(leg.0);
        let rtp = SocketAddr::new([203, 0, 113, 5].into(), port);
        self.room.add(leg, Here { rtp, rtcp: SocketAddr::new(rtp.ip(), port + 1) }, &mut rng);
    }

    /// A packet from a leg's telephone.
    fn say(&mut self, leg: LegNumber, payload_type: u8, number: u16, payload: &[u8]) {
        self.say_from(phone(leg), leg, payload_type, number, payload);
    }

    fn say_from(&mut self, from: SocketAddr, leg: LegNumber, payload_type: u8, number: u16, payload: &[u8]) {
        self.datagram(from, leg, Header { payload_type, ..header(number) }, payload);
    }

    fn datagram(&mut self, from: SocketAddr, leg: LegNumber, header: Header, payload: &[u8]) {
        let mut datagram = [&header.to_bytes()[..], payload].concat();
        self.room.received(leg, Channel::Sound, from, &mut datagram, self.now, &mut self.done);
    }

    /// Packets of a press: its beginning, two more, and three that say the end.
    fn press(&mut self, leg: LegNumber, number: u16, event: u8) {
        for packet in 0..6 {
            let end = if packet >= 3 { 0x80 } else { 0 };
            let header = Header {
                marker: packet == 0,
                payload_type: 101,
                sequence: number + packet,
                timestamp: u32::from(number) * 160,
                ssrc: 0xcafe,
            };
            self.datagram(phone(leg), leg, header, &[event, end | 10, 0, 160]);
        }
    }

    /// Turns the clock, and does all that is due on the way.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.room.deadline().filter(|next| *next <= until) {
            assert!(next >= self.now, "a deadline lies in the past");
            self.now = next;
            self.room.due(next, &mut self.done);
        }
        self.now = until;
    }

    /// What a leg heard of sound since the last time it was asked.
    fn heard(&mut self, leg: LegNumber) -> Vec<(Header, Vec<u8>)> {
        let (mine, others) = std::mem::take(&mut self.done.sent)
            .into_iter()
            .partition(|(number, channel, ..)| *number == leg && *channel == Channel::Sound);
        self.done.sent = others;
        let mine: Vec<(LegNumber, Channel, SocketAddr, Vec<u8>)> = mine;
        let sound = mine.iter().filter(|(.., bytes)| !crate::media::rtp::is_rtcp(bytes));
        sound
            .map(|(.., bytes)| Packet::parse(bytes).unwrap())
            .map(|p| (p.header, p.payload.to_vec()))
            .collect()
    }

    fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.done.told)
    }
}

#[test]
fn a_stream_keeps_its_order_and_its_gaps_under_numbers_of_ours() {
    let mut world = World::talking();

    for number in [1, 2, 5, 4] {
        world.say(CALLER, 0, number, b"sound");
    }

    let headers: Vec<Header> = world.heard(CALLED).into_iter().map(|(header, _)| header).collect();
    let after = |at: usize| {
        let (first, this) = (headers[0], headers[at]);
        (this.sequence.wrapping_sub(first.sequence), this.timestamp.wrapping_sub(first.timestamp))
    };
    assert_eq!([after(1), after(2), after(3)], [(1, 160), (4, 640), (3, 480)]);
    assert!(headers.iter().all(|header| header.ssrc == headers[0].ssrc && header.ssrc != 0xcafe));
}

#[test]
fn nothing_passes_before_legs_are_joined_and_after_they_are_parted() {
    let mut world = World::talking();
    world.room.part();

    world.say(CALLER, 0, 1, b"sound");
    assert_eq!(world.heard(CALLED), []);

    world.join();
    world.say(CALLER, 0, 2, b"sound");
    assert_eq!(world.heard(CALLED).len(), 1);
}

#[test]
fn a_stream_goes_on_without_a_break_from_what_is_played_to_what_is_passed_on() {
    let mut world = World::talking();
    world.room.play(CALLED, tone::pause(60).into(), false, world.now).unwrap();
    world.pass(ms(100));
    let played = world.heard(CALLED);
    assert_eq!(world.told(), [Event::Played(CALLED)]);

    world.say(CALLER, 0, 500, b"sound");

    let passed = world.heard(CALLED);
    let (last, next) = (played[2].0, passed[0].0);
    assert_eq!((played.len(), played[0].0.marker, played[1].0.marker), (3, true, false));
    assert_eq!(next.sequence, last.sequence.wrapping_add(1));
    // 60 ms lie between the frame at 40 ms and the packet at 100 ms.
    assert_eq!(next.timestamp, last.timestamp.wrapping_add(480));
    assert_eq!((next.ssrc, next.marker), (last.ssrc, true));
}

#[test]
fn what_is_played_hides_what_would_be_passed_on_and_can_be_stopped() {
    let mut world = World::talking();
    world.room.play(CALLED, tone::ringback(), true, world.now).unwrap();
    world.pass(ms(39));
    world.say(CALLER, 0, 1, b"unheard");
    assert!(world.heard(CALLED).iter().all(|(_, payload)| payload.len() == 160));

    world.room.stop(CALLED);
    world.pass(ms(100));
    world.say(CALLER, 0, 2, b"heard");

    assert_eq!(world.heard(CALLED).into_iter().map(|(_, payload)| payload).collect::<Vec<_>>(), [b"heard"]);
    assert_eq!(world.told(), []);
}

#[test]
fn a_tone_repeats_without_an_end() {
    let mut world = World::talking();
    world.room.play(CALLED, tone::ringback(), true, world.now).unwrap();

    world.pass(ms(6_000));

    assert_eq!(world.heard(CALLED).len(), 301);
}

#[test]
fn packets_are_as_long_as_the_peer_wants_them() {
    let mut world = World::talking_in(WITH_EVENTS, "0\na=ptime:30");
    world.room.play(CALLED, tone::pause(60).into(), false, world.now).unwrap();

    world.pass(ms(100));

    let lengths: Vec<usize> = world.heard(CALLED).iter().map(|(_, payload)| payload.len()).collect();
    assert_eq!(lengths, [240, 240]);
}

#[test]
fn keys_are_told_once_and_reach_nobody_while_they_are_listened_to() {
    let mut world = World::talking();
    world.room.listen(CALLER, true).unwrap();

    world.press(CALLER, 10, 1);
    world.press(CALLER, 30, 1);
    world.press(CALLER, 50, 11);
    world.say(CALLER, 0, 60, b"sound that might hold tones");

    assert_eq!(world.told(), ['1', '1', '#'].map(|key| Event::Digit(CALLER, key)));
    assert_eq!(world.heard(CALLED), []);
}

#[test]
fn keys_are_heard_as_tones_where_there_are_no_events() {
    let mut world = World::talking_in("0", "0");
    world.room.listen(CALLER, true).unwrap();

    let press = tone::tone(&[770.0, 1336.0], 100);
    for (number, frame) in (0..).zip(press.chunks(160)) {
        world.say(CALLER, 0, number, frame);
    }

    assert_eq!(world.told(), [Event::Digit(CALLER, '5')]);
    assert_eq!(world.heard(CALLED), []);
}

#[test]
fn keys_pass_on_when_nobody_listens() {
    let mut world = World::talking_in("0 96\na=rtpmap:96 telephone-event/8000", WITH_EVENTS);
    world.say(CALLER, 0, 9, b"sound");

    world.say(CALLER, 96, 10, &[5, 10, 0, 160]);

    let heard = world.heard(CALLED);
    assert_eq!((heard[1].0.payload_type, heard[1].1.as_slice()), (101, &[5, 10, 0, 160][..]));
    assert_eq!(world.told(), []);
}

#[test]
fn late_and_repeated_packets_of_a_press_are_no_press() {
    let mut world = World::talking();
    world.room.listen(CALLER, true).unwrap();
    world.press(CALLER, 30, 2);

    world.press(CALLER, 10, 7);
    world.press(CALLER, 30, 2);

    assert_eq!(world.told(), [Event::Digit(CALLER, '2')]);
}

#[test]
fn a_stranger_is_neither_heard_nor_sent_anything() {
    let mut world = World::talking();
    let stranger = at("198.51.100.66:4000");

    world.say_from(stranger, CALLER, 0, 1, b"before");
    world.say(CALLER, 0, 2, b"sound");
    world.say_from(stranger, CALLER, 0, 3, b"after");
    world.say_from(at("192.0.2.1:4002"), CALLER, 0, 4, b"another port");
    world.say(CALLED, 0, 1, b"answer");
    world.pass(ms(20_000));

    assert_eq!(world.heard(CALLED).into_iter().map(|(_, sound)| sound).collect::<Vec<_>>(), [b"sound"]);
    assert!(world.done.sent.iter().all(|(leg, _, to, _)| to.ip() == phone(*leg).ip()));
    assert_eq!(world.room.carried(), Carried { from_caller: 1, from_called: 1, recorded_ms: 0 });
}

#[test]
fn a_port_that_a_nat_rewrote_is_learned_once() {
    let mut world = World::talking();
    world.say_from(at("192.0.2.1:61000"), CALLER, 0, 1, b"sound");

    world.say(CALLED, 0, 1, b"answer");

    let answer = world.done.sent.iter().find(|(leg, ..)| *leg == CALLER).unwrap();
    assert_eq!(answer.2, at("192.0.2.1:61000"));
}

#[test]
fn the_first_source_is_taken_where_peers_describe_inner_addresses() {
    let mut world = World::talking();
    world.room.habits.sources = Sources::First;
    world.place(CALLER);
    world.room.answer(CALLER, &sdp("0", CALLER), world.now).unwrap();

    world.say_from(at("198.51.100.7:9000"), CALLER, 0, 1, b"sound");
    world.say_from(at("198.51.100.8:9000"), CALLER, 0, 2, b"stranger");

    assert_eq!(world.heard(CALLED).len(), 1);
}

#[test]
fn a_peer_that_moves_is_followed_when_it_says_so() {
    let mut world = World::talking();
    world.say(CALLER, 0, 1, b"sound");
    let moved = Sdp::parse(b"c=IN IP4 192.0.2.77\nm=audio 5000 RTP/AVP 0\n").unwrap();

    world.room.answer(CALLER, &moved, world.now).unwrap();
    world.say(CALLED, 0, 1, b"answer");

    assert_eq!(world.done.sent.last().unwrap().2, at("192.0.2.77:5000"));
}

#[test]
fn a_peer_on_hold_is_sent_nothing_and_its_silence_is_not_told() {
    let mut world = World::talking();
    let answer = world.room.answer(CALLER, &sdp("0\na=sendonly", CALLER), world.now).unwrap();

    world.say(CALLED, 0, 1, b"sound");
    for number in 0..13 {
        world.pass(ms(10_000));
        world.say(CALLED, 0, 2 + number, b"sound");
    }

    assert_eq!(answer.media[0].direction, Direction::Receives);
    assert_eq!(world.heard(CALLER), []);
    assert_eq!(world.told(), []);
}

#[test]
fn silence_is_told_once_and_again_after_speech() {
    let mut world = World::talking();
    let silent = || Event::Silent(CALLED);
    let speak = |world: &mut World, number| {
        world.say(CALLER, 0, number, b"sound");
        world.pass(ms(30_000));
    };

    for number in 0..5 {
        speak(&mut world, number);
    }
    assert_eq!(world.told(), [silent()]);

    world.say(CALLED, 0, 1, b"sound");
    for number in 5..10 {
        speak(&mut world, number);
    }
    assert_eq!(world.told(), [silent()]);
}

#[test]
fn legs_that_wait_may_be_silent() {
    let mut world = World::talking();
    world.room.part();

    world.pass(ms(300_000));

    assert_eq!(world.told(), []);
}

#[test]
fn each_leg_is_sent_reports_of_its_own() {
    let mut world = World::talking();
    world.say(CALLER, 0, 1, b"sound");
    let mut report = rtcp::Compound {
        ssrc: 0xcafe,
        sent: Some(rtcp::Sent { at: ms(1), timestamp: 1, packets: 1, octets: 1 }),
        received: None,
        cname: "alice@192.0.2.1",
        bye: true,
    }
    .to_bytes();
    world.room.received(
        CALLER,
        Channel::Control,
        at("192.0.2.1:4001"),
        &mut report,
        world.now,
        &mut world.done,
    );

    world.pass(ms(10_000));

    let reports: Vec<_> =
        world.done.sent.iter().filter(|(_, channel, ..)| *channel == Channel::Control).collect();
    assert_eq!(reports.len(), 4);
    for (leg, _, to, bytes) in reports {
        assert_eq!((to.ip(), to.port()), (phone(*leg).ip(), 4001));
        assert!(!bytes.windows(5).any(|window| window == b"alice"));
    }
}

#[test]
fn a_leg_that_ends_says_goodbye() {
    let mut world = World::talking();
    world.say(CALLER, 0, 1, b"sound");

    world.room.close(world.now, &mut world.done);

    let goodbyes = world.done.sent.iter().filter(|(.., bytes)| bytes[bytes.len() - 8..][1] == 203);
    assert_eq!(goodbyes.count(), 2);
    assert_eq!(world.room.deadline(), None);
}

#[test]
fn reports_come_where_rtcp_is_multiplexed() {
    let mut world = World::talking_in("0\na=rtcp-mux", "0");

    world.pass(ms(3_000));

    let to = |leg: LegNumber| {
        world.done.sent.iter().find(|(number, ..)| *number == leg).map(|sent| (sent.1, sent.2))
    };
    assert_eq!(to(CALLER), Some((Channel::Sound, at("192.0.2.1:4000"))));
    assert_eq!(to(CALLED), Some((Channel::Control, at("192.0.2.2:4001"))));
}

#[test]
fn an_answer_repeats_the_offers_media_and_refuses_what_is_no_sound() {
    let mut world = World::empty();
    world.place(CALLER);
    let offer = Sdp::parse(
        b"c=IN IP4 192.0.2.1\nm=video 4002 RTP/AVP 96\nm=audio 4000 RTP/AVP 18\nm=audio 4004 RTP/AVP 8\nm=image 4006 udptl t38\n",
    );

    let answer = world.room.answer(CALLER, &offer.unwrap(), world.now).unwrap();

    let told: Vec<(Kind, u16)> = answer.media.iter().map(|media| (media.kind, media.at.port())).collect();
    assert_eq!(told, [(Kind::Video, 0), (Kind::Audio, 0), (Kind::Audio, 20_000), (Kind::Image, 0)]);
}

#[test]
fn a_description_counts_its_versions_only_when_it_changes() {
    let mut world = World::empty();
    world.place(CALLER);
    let mut answer = |lines: &str| world.room.answer(CALLER, &sdp(lines, CALLER), ms(0)).unwrap();

    let first = answer("0");
    let same = answer("0");
    let held = answer("0\na=sendonly");

    assert_eq!([first.version, same.version, held.version], [1, 1, 2]);
    assert!(first.id == same.id && same.id == held.id);
}

#[test]
fn nothing_that_can_be_carried_is_not_acceptable() {
    let mut world = World::empty();
    world.place(CALLER);
    world.place(CALLED);

    assert_eq!(world.room.consider(CALLER, &sdp("18", CALLER)), Err(MediaError::NotAcceptable));
    assert_eq!(world.room.answer(CALLER, &sdp("18", CALLER), ms(0)), Err(MediaError::NotAcceptable));
    world.room.offer(CALLED, false).unwrap();
    assert_eq!(world.room.accept(CALLED, &sdp("18", CALLED), ms(0)), Err(MediaError::NotAcceptable));
}

#[test]
fn numbers_of_formats_are_each_legs_own() {
    let opus = |number: u8| format!("{number}\na=rtpmap:{number} opus/48000/2");
    let mut world = World::talking_in(&opus(98), &opus(122));

    // The called sends under the number that we offered, and is sent the number of its answer.
    let ours = world.room.lines[&CALLED]
        .local
        .iter()
        .find_map(|format| (format.meaning == Meaning::Sound(Codec::Opus)).then_some(format.payload_type));
    world.say(CALLER, 98, 1, b"opus");
    world.say(CALLED, ours.unwrap(), 1, b"opus");

    assert_eq!(world.heard(CALLED)[0].0.payload_type, 122);
    assert_eq!(world.heard(CALLER)[0].0.payload_type, 98);
}

/// What a side said in a recording, as runs of equal bytes with their length in milliseconds.
fn said(recorded: &[u8], side: usize) -> Vec<(u8, usize)> {
    let samples: Vec<u8> = recorded.iter().skip(side).step_by(2).copied().collect();
    samples.chunk_by(|one, other| one == other).map(|run| (run[0], run.len() / 8)).collect()
}

const SILENT: u8 = 0xff;

#[test]
fn a_recording_has_the_caller_left_and_the_called_right_from_the_moment_they_are_joined() {
    let mut world = World::empty();
    world.place(CALLER);
    world.place(CALLED);
    world.room.record(world.now, &mut world.done).unwrap();
    world.room.offer(CALLED, false).unwrap();
    world.room.accept(CALLED, &sdp("8", CALLED), world.now).unwrap();
    world.room.answer(CALLER, &sdp("0", CALLER), world.now).unwrap();
    world.pass(ms(5_000));
    world.say(CALLER, 0, 1, &[9; 160]);
    world.join();

    for number in 0..100 {
        world.pass(ms(20));
        world.say(CALLER, 0, 300 + number, &[1; 160]);
        world.say(CALLED, 8, 300 + number, &[0xaa; 160]);
    }
    world.room.close(world.now, &mut world.done);

    assert_eq!(world.done.law, Some(Law::Mu));
    assert_eq!(world.done.recorded.len(), 2 * 16_000);
    assert_eq!(said(&world.done.recorded, 0), [(1, 2_000)]);
    assert_eq!(said(&world.done.recorded, 1), [(0x80, 2_000)]);
}

#[test]
fn what_is_keyed_while_keys_are_listened_to_is_not_recorded() {
    let mut world = World::talking_in("0", "0");
    world.room.record(world.now, &mut world.done).unwrap();
    world.room.listen(CALLER, true).unwrap();
    for (number, frame) in (0..).zip(tone::tone(&[770.0, 1336.0], 100).chunks(160)) {
        world.pass(ms(20));
        world.say(CALLER, 0, number, frame);
    }

    world.room.close(world.now, &mut world.done);

    assert_eq!(world.told(), [Event::Digit(CALLER, '5')]);
    assert_eq!(said(&world.done.recorded, 0), [(SILENT, 100)]);
}

#[test]
fn a_stranger_is_not_recorded() {
    let mut world = World::talking();
    world.room.record(world.now, &mut world.done).unwrap();

    for number in 0..50 {
        world.pass(ms(20));
        world.say(CALLER, 0, number, &[1; 160]);
        world.say_from(at("198.51.100.66:4000"), CALLER, 0, number, &[2; 160]);
    }
    world.room.close(world.now, &mut world.done);

    assert_eq!(said(&world.done.recorded, 0), [(1, 1_000)]);
}

#[test]
fn sound_that_cannot_be_read_is_not_recorded_and_not_agreed_on_when_it_is_to_be() {
    let mut world = World::talking_in("9", "9");
    assert_eq!(world.room.record(world.now, &mut world.done), Err(MediaError::NotAcceptable));

    let mut world = World::empty();
    world.place(CALLER);
    world.room.record(world.now, &mut world.done).unwrap();
    assert_eq!(world.room.answer(CALLER, &sdp("9", CALLER), world.now), Err(MediaError::NotAcceptable));
    let answer = world.room.answer(CALLER, &sdp("9 8", CALLER), world.now).unwrap();
    assert_eq!(answer.media[0].codecs().collect::<Vec<_>>(), [(Codec::Pcma, 8)]);
}

fn secure(material: u8, leg: LegNumber) -> Sdp {
    let mut sdp = sdp("0", leg);
    sdp.media[0].profile = Profile::Secure;
    sdp.media[0].keys = vec![Key { tag: 4, material: [material; srtp::MATERIAL] }];
    sdp
}

#[test]
fn a_leg_is_encrypted_with_keys_of_its_own_and_the_other_is_not() {
    let mut world = World::empty();
    world.place(CALLER);
    world.place(CALLED);
    let answer = world.room.answer(CALLER, &secure(7, CALLER), world.now).unwrap();
    let offer = world.room.offer(CALLED, false).unwrap();
    world.room.accept(CALLED, &sdp("0", CALLED), world.now).unwrap();
    world.join();
    let ours = &answer.media[0].keys[0];
    let (mut sealer, mut opener) = (Sealer::new(&[7; srtp::MATERIAL]), Opener::new(&ours.material));

    world.say(CALLER, 0, 1, b"not sealed");
    let mut sealed = [&header(2).to_bytes()[..], b"sealed", &[0; srtp::TAG]].concat();
    let length = sealed.len() - srtp::TAG;
    sealer.seal_rtp(&mut sealed, length).unwrap();
    world.room.received(CALLER, Channel::Sound, phone(CALLER), &mut sealed, world.now, &mut world.done);
    let heard = world.heard(CALLED);
    world.say(CALLED, 0, 1, b"answer");
    let mut back = world.done.sent.pop().unwrap().3;
    world.pass(ms(3_000));
    let mut report = world.done.sent.iter().find(|(leg, ..)| *leg == CALLER).unwrap().3.clone();

    assert_eq!((ours.tag, answer.media[0].profile), (4, Profile::Secure));
    assert!(offer.media[0].keys.is_empty());
    assert_eq!(heard.into_iter().map(|(_, sound)| sound).collect::<Vec<_>>(), [b"sealed"]);
    assert!(!back.windows(6).any(|window| window == b"answer"));
    assert!(opener.open_rtp(&mut back).unwrap().ends_with(b"answer"));
    assert!(opener.open_rtcp(&mut report).is_some());
}

#[test]
fn an_offer_of_encryption_is_not_answered_in_clear() {
    let mut world = World::empty();
    world.place(CALLED);
    let offer = world.room.offer(CALLED, true).unwrap();

    assert_eq!(offer.media[0].keys.len(), 1);
    assert_eq!(world.room.accept(CALLED, &sdp("0", CALLED), world.now), Err(MediaError::NotAcceptable));
    assert_eq!(world.room.accept(CALLED, &secure(9, CALLED), world.now), Ok(()));
}
