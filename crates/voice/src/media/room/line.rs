//! One leg of a room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::Chance;

use super::{Channel, Here, Outside};
use crate::media::codec::{Codec, Law};
use crate::media::dtmf::{Events, Tones};
use crate::media::rtcp::{self, Compound, Sent};
use crate::media::rtp::{self, Header, Packet};
use crate::media::sdp::{Direction, Format, Key, Kind, Meaning, Media, Profile, Sdp};
use crate::media::srtp::{self, Opener, Sealer};
use crate::media::stream::{Receiver, Sender, Sources};
use crate::media::{Event, LegNumber};

/// The longest packet that is passed on.
const LONGEST: usize = 1500;
/// The length of packets when the peer has no wish.
const USUAL_PTIME: u8 = 20;
/// A player that is late by more than this goes on from where it is, rather than hurry.
const MOST_LATE: Duration = Duration::from_millis(200);

/// One leg's media.
#[derive(Debug)]
pub struct Line {
    /// Where its packets come in.
    pub here: Here,
    /// What we say of ourselves.
    pub ours: Ours,
    /// The formats under the numbers that its packets come with.
    pub local: Vec<Format>,
    /// The formats under the numbers that it wants to be sent.
    pub remote: Vec<Format>,
    /// What it can carry, when it was not answered yet.
    pub able: Vec<Codec>,
    /// What is played to it.
    pub playing: Option<Playing>,
    /// Since when it is expected to speak.
    pub expected_since: Duration,
    /// Whether its silence has been told.
    pub silence_told: bool,
    peer: Option<Peer>,
    security: Security,
    sender: Sender,
    events: Events,
    /// Hears keys while they are listened to.
    listening: Option<Tones>,
}

/// Whether and how a leg is encrypted.
#[derive(Debug)]
struct Security {
    /// Our key, which the peer opens our packets with, under the number of its choice.
    ours: Key,
    /// Whether our last offer asked for encryption.
    asked: bool,
    sealer: Option<Sealer>,
    opener: Option<(Key, Opener)>,
}

/// What we say of ourselves in descriptions.
#[derive(Debug)]
pub struct Ours {
    /// Which ways sound goes, as we see it.
    pub direction: Direction,
    /// Whether RTCP comes on the port of sound.
    pub mux: bool,
    id: u64,
    version: u64,
    said: Option<Vec<Media>>,
    cname: String,
}

/// What is known of a peer that has described itself.
#[derive(Debug)]
struct Peer {
    receiver: Receiver,
    rtcp: SocketAddr,
    mux: bool,
    direction: Direction,
    holds: bool,
    ptime: u8,
    next_report: Duration,
}

/// Sound that is being played.
#[derive(Debug)]
pub struct Playing {
    sound: Arc<[u8]>,
    at: usize,
    repeat: bool,
    next: Duration,
}

/// A packet that was taken from a leg.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Its numbers.
    pub header: Header,
    /// What it is.
    pub meaning: Meaning,
    /// What it carries.
    pub payload: &'a [u8],
    /// Whether nobody else may hear it: keys are listened to.
    pub secret: bool,
}

/// The codec of a format, if it is sound.
pub fn sound(format: Format) -> Option<Codec> {
    match format.meaning {
        Meaning::Sound(codec) => Some(codec),
        Meaning::Events(_) => None,
    }
}

impl Line {
    /// A leg whose numbers are all drawn by chance.
    pub fn new(here: Here, rng: &mut Chance) -> Line {
        let cname = format!("{:016x}", rng.next_u64());
        // Descriptions count versions in what some read as 63 bits.
        let id = rng.next_u64() >> 2;
        let ours = Ours { direction: Direction::Both, mux: false, id, version: 1, said: None, cname };
        let (numbers, ssrc) = (rng.next_u64(), rng.next_u32());
        let mut material = [0; srtp::MATERIAL];
        rng.fill_bytes(&mut material);
        let ours_key = Key { tag: 1, material };
        Line {
            here,
            ours,
            local: Vec::new(),
            remote: Vec::new(),
            able: Vec::new(),
            playing: None,
            expected_since: Duration::ZERO,
            silence_told: false,
            peer: None,
            security: Security { ours: ours_key, asked: false, sealer: None, opener: None },
            // The upper half of the sequence's wheel stays free, as a help to receivers of SRTP (RFC 3711 3.3.1).
            sender: Sender::new(ssrc, (numbers & 0x7fff) as u16, (numbers >> 32) as u32),
            events: Events::default(),
            listening: None,
        }
    }

    /// Whether a medium is sound that can come to where we are.
    pub fn fits(&self, media: &Media) -> bool {
        let reachable = media.at.is_ipv4() == self.here.rtp.is_ipv4();
        let understood = match media.profile {
            Profile::Plain | Profile::PlainFeedback => true,
            Profile::Secure | Profile::SecureFeedback => !media.keys.is_empty(),
            Profile::Other => false,
        };
        media.kind == Kind::Audio && media.wanted() && understood && reachable
    }

    /// Our offer, which asks for encryption or not.
    pub fn ask(&mut self, secure: bool) -> Media {
        self.security.asked = secure;
        self.ours.direction = Direction::Both;
        self.audio(if secure { Profile::Secure } else { Profile::Plain })
    }

    /// Whether an answer is to what we asked.
    pub fn answers(&self, media: &Media) -> bool {
        self.fits(media) && media.profile.secure() == self.security.asked
    }

    /// Takes what a peer described.
    pub fn agree(&mut self, media: &Media, formats: Vec<Format>, sources: Sources, now: Duration) {
        self.remote = formats;
        self.security.agree(media);
        let (receiver, next_report) = match self.peer.take() {
            Some(known) => (known.receiver, known.next_report),
            None => (Receiver::new(media.at, sources), now + rtcp::INTERVAL / 2),
        };
        self.expected_since = now;
        self.silence_told = false;
        let peer = self.peer.insert(Peer {
            receiver,
            rtcp: media.rtcp,
            mux: media.mux,
            direction: media.direction,
            holds: media.holds(),
            ptime: media.ptime.unwrap_or(USUAL_PTIME),
            next_report,
        });
        // The unspecified address says hold, and not where anybody is.
        if !media.at.ip().is_unspecified() {
            peer.receiver.describe(media.at);
        }
    }

    /// Our sound as a medium.
    pub fn audio(&self, profile: Profile) -> Media {
        let Here { rtp, rtcp } = self.here;
        Media {
            kind: Kind::Audio,
            profile,
            at: rtp,
            rtcp: if self.ours.mux { rtp } else { rtcp },
            mux: self.ours.mux,
            formats: self.local.clone(),
            direction: self.ours.direction,
            ptime: Some(self.peer.as_ref().map_or(USUAL_PTIME, |peer| peer.ptime)),
            keys: profile.secure().then(|| self.security.ours.clone()).into_iter().collect(),
        }
    }

    /// The refusal of a medium.
    pub fn refusal(&self, kind: Kind, profile: Profile) -> Media {
        let nowhere = SocketAddr::new(self.here.rtp.ip(), 0);
        Media {
            kind,
            profile,
            at: nowhere,
            rtcp: nowhere,
            mux: false,
            formats: Vec::new(),
            direction: Direction::Both,
            ptime: None,
            keys: Vec::new(),
        }
    }

    /// Our description. Its version moves when it says something else than before (RFC 3264 8).
    pub fn describe(&mut self, media: Vec<Media>) -> Sdp {
        if self.ours.said.as_ref().is_some_and(|said| *said != media) {
            self.ours.version += 1;
        }
        self.ours.said = Some(media.clone());
        Sdp { id: self.ours.id, version: self.ours.version, media }
    }

    /// Begins to play, in the place of what was played before.
    pub fn play(&mut self, sound: Arc<[u8]>, repeat: bool, now: Duration) {
        self.playing = Some(Playing { sound, at: 0, repeat, next: now });
    }

    /// Tells keys, or no longer.
    pub fn listen(&mut self, on: bool) {
        self.listening = on.then(Tones::default);
    }

    /// Reads a datagram that came in. What it returns is a packet from the peer, of a format that was agreed on.
    pub fn hear<'a>(
        &mut self,
        leg: LegNumber,
        channel: Channel,
        from: SocketAddr,
        datagram: &'a mut [u8],
        now: Duration,
        outside: &mut impl Outside,
    ) -> Option<Heard<'a>> {
        let peer = self.peer.as_mut()?;
        let report = channel == Channel::Control || rtp::is_rtcp(datagram);
        let datagram = match &mut self.security.opener {
            None => datagram,
            Some((_, opener)) if report => opener.open_rtcp(datagram)?,
            Some((_, opener)) => opener.open_rtp(datagram)?,
        };
        if report {
            if let Some((ssrc, middle)) =
                rtcp::sender_report(datagram).filter(|_| peer.receiver.trusts(from.ip()))
            {
                peer.receiver.reported(ssrc, middle, now);
            }
            return None;
        }
        let Packet { header, payload } = Packet::parse(datagram)?;
        let meaning = self.local.iter().find(|format| format.payload_type == header.payload_type)?.meaning;
        if payload.len() > LONGEST || !peer.receiver.takes(from) {
            return None;
        }
        let clock = clock(meaning);
        if peer.receiver.note(header, clock, now) {
            self.events = Events::default();
        }
        self.silence_told = false;
        match meaning {
            Meaning::Events(_) => {
                let key = self.events.read(header, payload).filter(|_| self.listening.is_some());
                key.into_iter().for_each(|key| outside.tell(Event::Digit(leg, key)));
            }
            Meaning::Sound(codec) => {
                if let Some((tones, law)) = self.tones().zip(codec.law()) {
                    let keys = payload.iter().filter_map(|byte| tones.hear(law.decode(*byte)));
                    keys.for_each(|key| outside.tell(Event::Digit(leg, key)));
                }
            }
        }
        Some(Heard { header, meaning, payload, secret: self.listening.is_some() })
    }

    /// What hears keys in sound: only where they are asked for and do not come as events, lest one press count twice.
    fn tones(&mut self) -> Option<&mut Tones> {
        let as_events = self.local.iter().any(|format| matches!(format.meaning, Meaning::Events(_)));
        self.listening.as_mut().filter(|_| !as_events)
    }

    /// Passes on a packet that another leg sent, when this one can hear it.
    pub fn pass_on(
        &mut self,
        leg: LegNumber,
        from: LegNumber,
        heard: Heard<'_>,
        now: Duration,
        outside: &mut impl Outside,
    ) {
        if self.playing.is_some() {
            return;
        }
        let Some((payload_type, conversion)) = self.passage(heard.meaning) else { return };
        let header = self.sender.pass_on(from, heard.header, payload_type, clock(heard.meaning), now);
        let mut packet = Buffer::new(header, heard.payload);
        if let Some((have, want)) = conversion {
            have.convert(want, packet.payload());
        }
        self.send(leg, packet, outside);
    }

    /// The next moment at which something is due.
    pub fn deadline(&self, silence: Option<Duration>) -> Option<Duration> {
        let report = self.peer.as_ref().map(|peer| peer.next_report);
        let frame = self.playing.as_ref().map(|playing| playing.next);
        [report, frame, self.silent_at(silence)].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn due(
        &mut self,
        leg: LegNumber,
        silence: Option<Duration>,
        now: Duration,
        outside: &mut impl Outside,
    ) {
        while self.playing.as_ref().is_some_and(|playing| playing.next <= now) {
            self.play_frame(leg, now, outside);
        }
        if self.peer.as_ref().is_some_and(|peer| peer.next_report <= now) {
            self.report(leg, false, now, outside);
        }
        if self.silent_at(silence).is_some_and(|at| at <= now) {
            self.silence_told = true;
            outside.tell(Event::Silent(leg));
        }
    }

    /// Sends a report of ours, and a BYE when the leg ends.
    pub fn report(&mut self, leg: LegNumber, bye: bool, now: Duration, outside: &mut impl Outside) {
        let Some(peer) = self.peer.as_mut() else { return };
        peer.next_report = now + rtcp::INTERVAL;
        let clock = self.local.first().map_or(8000, |format| clock(format.meaning));
        let sent = (self.sender.packets > 0).then(|| Sent {
            at: now,
            timestamp: self.sender.timestamp(clock, now),
            packets: self.sender.packets,
            octets: self.sender.octets,
        });
        let received = peer.receiver.report(now);
        let compound = Compound { ssrc: self.sender.ssrc(), sent, received, cname: &self.ours.cname, bye };
        let (channel, to) = match peer.mux {
            true => (Channel::Sound, peer.receiver.peer()),
            false => (Channel::Control, peer.rtcp),
        };
        if reachable(to) {
            let bytes = compound.to_bytes();
            let bytes = match &mut self.security.sealer {
                None => bytes,
                Some(sealer) => sealer.seal_rtcp(bytes),
            };
            outside.send(leg, channel, to, &bytes);
        }
    }

    /// The number under which this leg takes what another sent, and between which laws it is to be converted.
    fn passage(&self, meaning: Meaning) -> Option<(u8, Option<(Law, Law)>)> {
        let of = |wanted: Meaning| {
            self.remote.iter().find(|format| format.meaning == wanted).map(|format| format.payload_type)
        };
        if let Some(payload_type) = of(meaning) {
            return Some((payload_type, None));
        }
        let (have, want, codec) = match meaning {
            Meaning::Sound(Codec::Pcmu) => (Law::Mu, Law::A, Codec::Pcma),
            Meaning::Sound(Codec::Pcma) => (Law::A, Law::Mu, Codec::Pcmu),
            Meaning::Sound(Codec::G722 | Codec::Opus) | Meaning::Events(_) => return None,
        };
        of(Meaning::Sound(codec)).map(|payload_type| (payload_type, Some((have, want))))
    }

    fn play_frame(&mut self, leg: LegNumber, now: Duration, outside: &mut impl Outside) {
        let law = self.remote.iter().copied().find_map(|format| {
            let codec = sound(format)?;
            Some((format.payload_type, codec.law()?))
        });
        let (Some(playing), Some(peer), Some((payload_type, law))) =
            (self.playing.as_mut(), self.peer.as_ref(), law)
        else {
            self.end_playing(leg, outside);
            return;
        };
        let samples = usize::from(peer.ptime) * 8;
        let mut frame = playing.frame(samples);
        playing.advance(peer.ptime, now);
        let ended = !playing.repeat && playing.at >= playing.sound.len();
        Law::Mu.convert(law, &mut frame);
        let header = self.sender.own(payload_type, samples as u32, 8000, now);
        self.send(leg, Buffer::new(header, &frame), outside);
        if ended {
            self.end_playing(leg, outside);
        }
    }

    fn end_playing(&mut self, leg: LegNumber, outside: &mut impl Outside) {
        self.playing = None;
        outside.tell(Event::Played(leg));
    }

    fn send(&mut self, leg: LegNumber, mut packet: Buffer, outside: &mut impl Outside) {
        let Some(peer) = self.peer.as_ref().filter(|peer| !peer.holds) else { return };
        let to = peer.receiver.peer();
        if reachable(to) {
            self.sender.count(packet.length - rtp::HEADER);
            if let Some(sealer) = &mut self.security.sealer {
                packet.seal(sealer);
            }
            outside.send(leg, Channel::Sound, to, packet.bytes());
        }
    }

    /// When the leg's silence is to be told: not twice, and not on hold.
    fn silent_at(&self, silence: Option<Duration>) -> Option<Duration> {
        let peer = self.peer.as_ref()?;
        let held = peer.holds || peer.direction != Direction::Both || self.ours.direction != Direction::Both;
        if self.silence_told || held {
            return None;
        }
        let since = peer.receiver.last().map_or(self.expected_since, |last| last.max(self.expected_since));
        Some(since + silence?)
    }
}

impl Security {
    /// Takes the peer's key, if sound is to be encrypted. A key that stays goes on where it was.
    fn agree(&mut self, media: &Media) {
        let Some(theirs) = media.keys.first().filter(|_| media.profile.secure()) else {
            (self.sealer, self.opener) = (None, None);
            return;
        };
        self.ours.tag = theirs.tag;
        if self.opener.as_ref().is_none_or(|(key, _)| key.material != theirs.material) {
            self.opener = Some((theirs.clone(), Opener::new(&theirs.material)));
        }
        self.sealer.get_or_insert_with(|| Sealer::new(&self.ours.material));
    }
}

impl Playing {
    /// The next samples; what is missing at the end is silence.
    fn frame(&mut self, samples: usize) -> Vec<u8> {
        let mut frame = Vec::with_capacity(samples);
        while frame.len() < samples && !self.sound.is_empty() {
            if self.at >= self.sound.len() {
                if !self.repeat {
                    break;
                }
                self.at = 0;
            }
            let end = self.sound.len().min(self.at + samples - frame.len());
            frame.extend_from_slice(&self.sound[self.at..end]);
            self.at = end;
        }
        frame.resize(samples, Law::Mu.silence());
        frame
    }

    fn advance(&mut self, ptime: u8, now: Duration) {
        self.next += Duration::from_millis(u64::from(ptime));
        if now.saturating_sub(self.next) > MOST_LATE {
            self.next = now + Duration::from_millis(u64::from(ptime));
        }
    }
}

/// A packet that is being made.
struct Buffer {
    bytes: [u8; rtp::HEADER + LONGEST + srtp::TAG],
    length: usize,
}

impl Buffer {
    fn new(header: Header, payload: &[u8]) -> Buffer {
        let mut bytes = [0; rtp::HEADER + LONGEST + srtp::TAG];
        let length = rtp::HEADER + payload.len();
        bytes[..rtp::HEADER].copy_from_slice(&header.to_bytes());
        bytes[rtp::HEADER..length].copy_from_slice(payload);
        Buffer { bytes, length }
    }

    fn payload(&mut self) -> &mut [u8] {
        &mut self.bytes[rtp::HEADER..self.length]
    }

    fn seal(&mut self, sealer: &mut Sealer) {
        let sealed = sealer.seal_rtp(&mut self.bytes, self.length);
        self.length = sealed.expect("law: a packet of ours is one, and has room for its tag");
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn clock(meaning: Meaning) -> u32 {
    match meaning {
        Meaning::Sound(codec) => codec.clock(),
        Meaning::Events(clock) => clock,
    }
}

fn reachable(to: SocketAddr) -> bool {
    to.port() != 0 && !to.ip().is_unspecified()
}
