//! Session descriptions (RFC 8866): a small struct read from the peer's text, and our own text written from one.
//!
//! What a peer wrote is never written again: what can be written is what [`Sdp`] holds, and it holds no text of
//! anybody's. What is not understood is passed over in reading; what would make the description unsafe to answer
//! makes it unreadable.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::codec::Codec;

/// A description longer than this is not read.
pub const LONGEST: usize = 16 * 1024;
/// More media than this are not read.
const MOST_MEDIA: usize = 16;
/// Formats of one medium after these are passed over.
const MOST_FORMATS: usize = 64;
/// Keys of one medium after these are passed over.
const MOST_KEYS: usize = 8;

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp {
    /// The id of `o=`.
    pub id: u64,
    /// The version of `o=`.
    pub version: u64,
    /// The media, in their order, which an answer repeats.
    pub media: Vec<Media>,
}

/// One medium: a line `m=` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What it is.
    pub kind: Kind,
    /// How it is carried.
    pub profile: Profile,
    /// Where sound is expected. A port of 0 refuses the medium; `0.0.0.0` is an old way of saying hold.
    pub at: SocketAddr,
    /// Where RTCP is expected.
    pub rtcp: SocketAddr,
    /// Whether RTCP may come on the port of RTP (RFC 5761).
    pub mux: bool,
    /// What can be carried, the most wanted first.
    pub formats: Vec<Format>,
    /// Which ways sound goes, as the writer sees it.
    pub direction: Direction,
    /// The length of packets that the writer wants, in milliseconds.
    pub ptime: Option<u8>,
    /// Keys for SRTP (RFC 4568), of the one suite that we know.
    pub keys: Vec<Key>,
}

/// What a medium is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 8866")]
pub enum Kind {
    Audio,
    Video,
    Text,
    Application,
    Message,
    Image,
}

/// How a medium is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `RTP/AVP`.
    Plain,
    /// `RTP/AVPF`: with more feedback, which nobody must send.
    PlainFeedback,
    /// `RTP/SAVP`: SRTP with keys in the description.
    Secure,
    /// `RTP/SAVPF`.
    SecureFeedback,
    /// Anything else, which we refuse.
    Other,
}

/// A payload type and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The number that packets carry.
    pub payload_type: u8,
    /// What it stands for.
    pub meaning: Meaning,
}

/// What a payload type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Sound.
    Sound(Codec),
    /// Keys as events (RFC 4733) with this clock rate.
    Events(u32),
}

/// Which ways sound goes, as the writer sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// The writer only sends.
    Sends,
    /// The writer only receives.
    Receives,
    /// Neither way.
    Inactive,
}

/// A master key and its salt, for `AES_CM_128_HMAC_SHA1_80`.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The number that an answer repeats.
    pub tag: u32,
    /// 16 bytes of key and 14 of salt.
    pub material: [u8; 30],
}

/// Why a description cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session description cannot be read")]
pub struct Unreadable;

impl Sdp {
    /// Reads a peer's description.
    pub fn parse(bytes: &[u8]) -> Result<Sdp, Unreadable> {
        if bytes.len() > LONGEST {
            return Err(Unreadable);
        }
        let text = String::from_utf8_lossy(bytes);
        let mut session = Section::default();
        let mut sections: Vec<Section<'_>> = Vec::new();
        let (mut id, mut version) = (0, 0);
        for line in text.split(['\r', '\n']) {
            let Some((kind, value)) = line.split_once('=') else { continue };
            if kind == "m" {
                sections.push(Section { line: value, ..Section::default() });
            }
            let section = sections.last_mut().unwrap_or(&mut session);
            match kind {
                "o" => (id, version) = origin(value),
                "c" => section.address = Some(connection(value)?),
                "a" => section.attribute(value),
                _ => {}
            }
        }
        if sections.is_empty() || sections.len() > MOST_MEDIA {
            return Err(Unreadable);
        }
        let media = sections.iter().map(|section| section.media(&session)).collect::<Result<_, _>>()?;
        Ok(Sdp { id, version, media })
    }
}

impl Media {
    /// The sound that can be carried, the most wanted first.
    pub fn codecs(&self) -> impl Iterator<Item = (Codec, u8)> {
        self.formats.iter().filter_map(|format| match format.meaning {
            Meaning::Sound(codec) => Some((codec, format.payload_type)),
            Meaning::Events(_) => None,
        })
    }

    /// The payload type for keys as events with this clock rate.
    pub fn events(&self, clock: u32) -> Option<u8> {
        self.formats
            .iter()
            .find(|format| format.meaning == Meaning::Events(clock))
            .map(|format| format.payload_type)
    }

    /// Whether the medium is offered or agreed on.
    pub fn wanted(&self) -> bool {
        self.at.port() != 0
    }

    /// Whether the writer lets the other side wait: it will not listen.
    pub fn holds(&self) -> bool {
        self.at.ip().is_unspecified() || !self.direction.receives()
    }
}

impl Profile {
    /// Whether sound is encrypted.
    pub fn secure(self) -> bool {
        match self {
            Profile::Secure | Profile::SecureFeedback => true,
            Profile::Plain | Profile::PlainFeedback | Profile::Other => false,
        }
    }
}

impl Direction {
    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::Both | Direction::Sends)
    }

    /// Whether the writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::Both | Direction::Receives)
    }

    /// What an answer says to an offer that says this.
    pub fn mirrored(self) -> Direction {
        match self {
            Direction::Both => Direction::Both,
            Direction::Sends => Direction::Receives,
            Direction::Receives => Direction::Sends,
            Direction::Inactive => Direction::Inactive,
        }
    }
}

/// The lines of the session or of one medium, as far as they matter.
#[derive(Default)]
struct Section<'a> {
    line: &'a str,
    address: Option<IpAddr>,
    rtcp: Option<&'a str>,
    mux: bool,
    maps: Vec<(u8, &'a str)>,
    direction: Option<Direction>,
    ptime: Option<u8>,
    keys: Vec<Key>,
}

impl<'a> Section<'a> {
    fn attribute(&mut self, text: &'a str) {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "sendrecv" => self.direction = Some(Direction::Both),
            "sendonly" => self.direction = Some(Direction::Sends),
            "recvonly" => self.direction = Some(Direction::Receives),
            "inactive" => self.direction = Some(Direction::Inactive),
            "rtcp-mux" => self.mux = true,
            "rtcp" => self.rtcp = Some(value),
            "ptime" => self.ptime = value.trim().parse().ok().filter(|ms| (10..=100).contains(ms)),
            "rtpmap" if self.maps.len() < MOST_FORMATS => self.maps.extend(rtpmap(value)),
            "crypto" if self.keys.len() < MOST_KEYS => self.keys.extend(crypto(value)),
            _ => {}
        }
    }

    fn media(&self, session: &Section<'_>) -> Result<Media, Unreadable> {
        let mut words = self.line.split_ascii_whitespace();
        let kind = Kind::named(words.next().ok_or(Unreadable)?).ok_or(Unreadable)?;
        // A count of ports (`49170/2`) belongs to layered video; the first is the port.
        let port = words.next().and_then(|word| word.split('/').next()?.parse().ok()).ok_or(Unreadable)?;
        let profile = Profile::named(words.next().ok_or(Unreadable)?);
        let address = self.address.or(session.address);
        let ip = match address {
            Some(ip) => ip,
            None if port == 0 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            None => return Err(Unreadable),
        };
        let at = SocketAddr::new(ip, port);
        let mux = self.mux;
        Ok(Media {
            kind,
            profile,
            at,
            rtcp: self.rtcp.map_or_else(|| next_port(at, mux), |text| rtcp(text, at)),
            mux,
            formats: if kind == Kind::Audio { self.formats(words) } else { Vec::new() },
            direction: self.direction.or(session.direction).unwrap_or_default(),
            ptime: self.ptime,
            keys: self.keys.clone(),
        })
    }

    fn formats<'w>(&self, words: impl Iterator<Item = &'w str>) -> Vec<Format> {
        let mut formats: Vec<Format> = Vec::new();
        for payload_type in words.take(MOST_FORMATS).filter_map(payload_type) {
            let map = self.maps.iter().find(|(number, _)| *number == payload_type);
            let meaning = match map {
                Some((_, map)) => meaning(map),
                None => Codec::of_static_type(payload_type).map(Meaning::Sound),
            };
            let twice =
                |format: &Format| format.payload_type == payload_type || Some(format.meaning) == meaning;
            if let Some(meaning) = meaning
                && !formats.iter().any(twice)
            {
                formats.push(Format { payload_type, meaning });
            }
        }
        formats
    }
}

/// Id and version of `o=`; what is no number is 0, since neither matters to us.
fn origin(value: &str) -> (u64, u64) {
    let mut words = value.split_ascii_whitespace().skip(1).map(|word| word.parse().unwrap_or(0));
    (words.next().unwrap_or(0), words.next().unwrap_or(0))
}

/// The address of `c=`: a literal one, since a name would make us ask its owner's name server.
fn connection(value: &str) -> Result<IpAddr, Unreadable> {
    let mut words = value.split_ascii_whitespace();
    if words.next() != Some("IN") {
        return Err(Unreadable);
    }
    address(words.next(), words.next()).ok_or(Unreadable)
}

fn address(family: Option<&str>, text: Option<&str>) -> Option<IpAddr> {
    let ip: IpAddr = text?.split('/').next()?.parse().ok()?;
    let fits = match family? {
        "IP4" => ip.is_ipv4(),
        "IP6" => ip.is_ipv6(),
        _ => false,
    };
    // Sound goes to one peer, and never to a group.
    (fits && !ip.is_multicast()).then_some(ip)
}

/// RTCP's place by RFC 3605: `53020` or `53020 IN IP4 126.16.64.4`.
fn rtcp(text: &str, at: SocketAddr) -> SocketAddr {
    let mut words = text.split_ascii_whitespace();
    let port = words.next().and_then(|word| word.parse().ok());
    let ip = match words.next() {
        Some("IN") => address(words.next(), words.next()),
        _ => None,
    };
    match port {
        Some(port) => SocketAddr::new(ip.unwrap_or(at.ip()), port),
        None => next_port(at, false),
    }
}

fn next_port(at: SocketAddr, mux: bool) -> SocketAddr {
    match at.port() {
        0 => at,
        port if mux => SocketAddr::new(at.ip(), port),
        port => SocketAddr::new(at.ip(), port.saturating_add(1)),
    }
}

fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

fn rtpmap(value: &str) -> Option<(u8, &str)> {
    let (number, map) = value.split_once(' ')?;
    Some((payload_type(number)?, map.trim()))
}

fn meaning(map: &str) -> Option<Meaning> {
    let mut parts = map.split('/');
    let name = parts.next()?;
    let clock = parts.next()?.parse().ok()?;
    let channels = parts.next().map_or(Some(1), |text| text.parse().ok())?;
    if name.eq_ignore_ascii_case("telephone-event") {
        return (channels == 1 && (clock == 8000 || clock == 48_000)).then_some(Meaning::Events(clock));
    }
    Codec::named(name, clock, channels).map(Meaning::Sound)
}

/// `1 AES_CM_128_HMAC_SHA1_80 inline:BASE64|lifetime|mki`. Session parameters would change what the suite means, and
/// a key identifier what a packet looks like: keys with either are passed over.
fn crypto(value: &str) -> Option<Key> {
    let mut words = value.split_ascii_whitespace();
    let tag = words.next()?.parse().ok()?;
    if words.next()? != SUITE {
        return None;
    }
    let mut parts = words.next()?.strip_prefix("inline:")?.split('|');
    let material = BASE64.decode(parts.next()?).ok()?.try_into().ok()?;
    if words.next().is_some() || parts.any(|part| part.contains(':')) {
        return None;
    }
    Some(Key { tag, material })
}

/// A payload type that means nothing by itself.
const UNKNOWN: u8 = 127;

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

impl Kind {
    const ALL: [(Kind, &'static str); 6] = [
        (Kind::Audio, "audio"),
        (Kind::Video, "video"),
        (Kind::Text, "text"),
        (Kind::Application, "application"),
        (Kind::Message, "message"),
        (Kind::Image, "image"),
    ];

    fn named(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|(_, name)| *name == text).map(|(kind, _)| kind)
    }

    fn name(self) -> &'static str {
        let found = Kind::ALL.into_iter().find(|(kind, _)| *kind == self);
        found.map(|(_, name)| name).expect("law: every kind has a name")
    }
}

impl Profile {
    fn named(text: &str) -> Profile {
        match text {
            "RTP/AVP" => Profile::Plain,
            "RTP/AVPF" => Profile::PlainFeedback,
            "RTP/SAVP" => Profile::Secure,
            "RTP/SAVPF" => Profile::SecureFeedback,
            _ => Profile::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Profile::Plain => "RTP/AVP",
            Profile::PlainFeedback => "RTP/AVPF",
            Profile::Secure => "RTP/SAVP",
            Profile::SecureFeedback => "RTP/SAVPF",
            Profile::Other => "udp",
        }
    }
}

/// The text that is sent. Nothing of it names us or anybody.
impl fmt::Display for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.media.iter().find(|media| media.wanted()).or(self.media.first());
        let ip = first.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |media| media.at.ip());
        write!(f, "v=0\r\no=- {} {} IN {}\r\n", self.id, self.version, In(ip))?;
        write!(f, "s=-\r\nc=IN {}\r\nt=0 0\r\n", In(ip))?;
        self.media.iter().try_for_each(|media| media.write(ip, f))
    }
}

impl Media {
    fn write(&self, session: IpAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind.name(), self.at.port(), self.profile.name())?;
        // There must be one; where sound is wanted, 0 would be mu-law.
        if self.formats.is_empty() {
            write!(f, " {}", if self.wanted() { UNKNOWN } else { 0 })?;
        }
        for format in &self.formats {
            write!(f, " {}", format.payload_type)?;
        }
        write!(f, "\r\n")?;
        if self.at.ip() != session {
            write!(f, "c=IN {}\r\n", In(self.at.ip()))?;
        }
        if !self.wanted() {
            return Ok(());
        }
        for Format { payload_type, meaning } in &self.formats {
            match meaning {
                Meaning::Sound(codec) => {
                    write!(f, "a=rtpmap:{payload_type} {}/{}", codec.name(), codec.clock())?;
                    if codec.channels() > 1 {
                        write!(f, "/{}", codec.channels())?;
                    }
                    write!(f, "\r\n")?;
                }
                Meaning::Events(clock) => {
                    write!(f, "a=rtpmap:{payload_type} telephone-event/{clock}\r\n")?;
                    write!(f, "a=fmtp:{payload_type} 0-15\r\n")?;
                }
            }
        }
        if let Some(ms) = self.ptime {
            write!(f, "a=ptime:{ms}\r\n")?;
        }
        for key in &self.keys {
            write!(f, "a=crypto:{} {SUITE} inline:{}\r\n", key.tag, BASE64.encode(key.material))?;
        }
        if self.mux {
            write!(f, "a=rtcp-mux\r\n")?;
        }
        if self.rtcp != next_port(self.at, self.mux) {
            write!(f, "a=rtcp:{} IN {}\r\n", self.rtcp.port(), In(self.rtcp.ip()))?;
        }
        write!(f, "a={}\r\n", self.direction.name())
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Direction::Both => "sendrecv",
            Direction::Sends => "sendonly",
            Direction::Receives => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// An address as SDP writes it.
struct In(IpAddr);

impl fmt::Display for In {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "IP4 {ip}"),
            IpAddr::V6(ip) => write!(f, "IP6 {ip}"),
        }
    }
}

/// A key is a secret and prints itself masked.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, ***)", self.tag)
    }
}

#[cfg(test)]
mod tests;
