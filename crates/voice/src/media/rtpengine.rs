//! Sound by rtpengine: for SRTP of other kinds, and codecs that we cannot convert.
//!
//! We order by its ng protocol and it does the rest. It is given descriptions that are made by us from what was parsed,
//! and its own are parsed and made anew: nothing of a peer's text passes through it. It counts its packets by the
//! peer's numbers, and cannot record to our files. Who has gone silent is asked of it ([`silence`]).
//!
//! A call has two ends there, the caller's and the far one; what it is told of a far end that there is not yet is that
//! it listens nowhere. Media is blocked from the beginning and let through when legs are joined.

mod bencode;
mod client;
mod digits;
mod silence;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use callveil_domain::Chance;
use callveil_domain::call::CallId;

use super::codec::{Codec, Law};
use super::negotiation::{self, Known};
use super::prompt::Prompts;
use super::sdp::{Direction, Format, Kind, Media, Profile, Sdp};
use super::{Carried, Engine, Event, LegNumber, MediaError, Recording, Session, Sound, tone, wav};
use crate::leg::Description;

use bencode::{Dictionary, Value};
use client::Client;
use digits::{Digits, Listener};
use silence::{Watch, packets};

/// How rtpengine is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it takes orders (`--listen-ng`).
    pub orders: SocketAddr,
    /// Where it tells keys to (`--dtmf-log-dest`): we listen there.
    pub digits: SocketAddr,
    /// Where announcements come from.
    pub prompts: Prompts,
    /// How long a party may send nothing, not even silence, before it is told.
    pub silence: Duration,
}

/// Events that may wait to be read.
const EVENTS: usize = 256;
/// How often the ring-back tone is repeated: it is stopped long before.
const OVER_AND_OVER: i64 = 1000;
/// The longest sound that an order can carry, in a datagram with the rest of it.
const LONGEST_SOUND: usize = 60_000;

/// An rtpengine.
pub struct Rtpengine {
    client: Arc<Client>,
    digits: Digits,
    prompts: Prompts,
    silence: Duration,
    rng: Mutex<Box<Chance>>,
}

impl Rtpengine {
    /// Opens the lines to an rtpengine. It need not run yet.
    pub async fn connect(config: Config, mut rng: Box<Chance>) -> io::Result<Rtpengine> {
        let client = Client::open(config.orders, format!("{:016x}-", rng.next_u64())).await?;
        let digits = Digits::listen(config.digits).await?;
        let Config { prompts, silence, .. } = config;
        Ok(Rtpengine { client: Arc::new(client), digits, prompts, silence, rng: Mutex::new(rng) })
    }

    /// Asks whether it answers.
    pub async fn ping(&self) -> Result<(), MediaError> {
        self.client.order("ping", Dictionary::new()).await.map(drop)
    }

    /// Where keys are told to.
    pub fn digits(&self) -> io::Result<SocketAddr> {
        self.digits.address()
    }
}

impl fmt::Debug for Rtpengine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rtpengine").field("client", &self.client).finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for Rtpengine {
    async fn open(&self, _call: CallId) -> Result<(Box<dyn Session>, mpsc::Receiver<Event>), MediaError> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let (name, ids) = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            (format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64()), rng.next_u64() >> 8)
        };
        let listener = self.digits.listener(name.clone(), events.clone());
        let client = self.client.clone();
        let session = NgSession {
            watch: Watch::over(client.clone(), name.clone(), self.silence, events.clone()),
            client,
            prompts: self.prompts.clone(),
            name,
            ids,
            events,
            listener,
            legs: BTreeMap::new(),
            players: BTreeMap::new(),
            blocked: false,
            joined: false,
        };
        Ok((Box::new(session), receiver))
    }
}

/// The media of one call at rtpengine.
struct NgSession {
    client: Arc<Client>,
    prompts: Prompts,
    name: String,
    ids: u64,
    events: mpsc::Sender<Event>,
    listener: Listener,
    watch: Watch,
    legs: BTreeMap<LegNumber, Leg>,
    /// What tells the end of what is played.
    players: BTreeMap<LegNumber, AbortHandle>,
    blocked: bool,
    joined: bool,
}

/// What is known of a leg.
#[derive(Debug)]
struct Leg {
    tag: String,
    /// What its peer described last.
    theirs: Option<Sdp>,
    /// What rtpengine says to it, made when the other leg was agreed on.
    ready: Option<Media>,
    /// What we said last, and how often it changed.
    said: Option<Vec<Media>>,
    version: u64,
}

impl NgSession {
    fn leg(&mut self, leg: LegNumber) -> &mut Leg {
        let tag = self.legs.get(&leg).map_or_else(|| self.fresh_tag(leg), |known| known.tag.clone());
        self.legs.entry(leg).or_insert_with(|| Leg { tag, theirs: None, ready: None, said: None, version: 1 })
    }

    /// A leg's name at rtpengine. The first of the far ones takes the place that was kept for it, so that the caller's
    /// ports stay when it was answered before.
    fn fresh_tag(&self, leg: LegNumber) -> String {
        let far_is_free = !self.legs.values().any(|leg| leg.tag == FAR);
        match leg {
            LegNumber::CALLER => NEAR.to_owned(),
            _ if far_is_free => FAR.to_owned(),
            LegNumber(number) => format!("{FAR}{number}"),
        }
    }

    /// The other end of a leg: its name, and its description if it has given one.
    fn other(&self, leg: LegNumber) -> (String, Option<Sdp>) {
        let other = if leg == LegNumber::CALLER {
            self.legs.iter().rfind(|(number, other)| **number != leg && other.theirs.is_some())
        } else {
            self.legs.get_key_value(&LegNumber::CALLER)
        };
        match other {
            Some((_, other)) => (other.tag.clone(), other.theirs.clone()),
            None if leg == LegNumber::CALLER => (FAR.to_owned(), None),
            None => (NEAR.to_owned(), None),
        }
    }

    async fn order(&self, command: &str, more: Dictionary) -> Result<Value, MediaError> {
        let mut order = Dictionary::from([("call-id".to_owned(), Value::text(self.name.clone()))]);
        order.extend(more);
        self.client.order(command, order).await
    }

    /// Tells what one end describes, and answers with what the other end is to be told.
    async fn describe(
        &mut self,
        command: &str,
        from: &str,
        to: &str,
        sdp: &Sdp,
        secure: bool,
    ) -> Result<Media, MediaError> {
        let profile = if secure { "RTP/SAVP" } else { "RTP/AVP" };
        let mut more = Dictionary::from([
            ("from-tag".to_owned(), Value::text(from)),
            ("to-tag".to_owned(), Value::text(to)),
            ("sdp".to_owned(), Value::text(sdp.to_string())),
            ("ICE".to_owned(), Value::text("remove")),
            ("rtcp-mux".to_owned(), Value::words(&["demux"])),
            ("DTLS".to_owned(), Value::text("off")),
            ("flags".to_owned(), Value::words(&FLAGS)),
        ]);
        if command == "offer" {
            more.insert("transport-protocol".to_owned(), Value::text(profile));
            let codecs = Dictionary::from([("transcode".to_owned(), Value::words(&["PCMA", "PCMU"]))]);
            more.insert("codec".to_owned(), Value::Dictionary(codecs));
        }
        let answer = self.order(command, more).await?;
        let text = answer.get("sdp").and_then(Value::as_text).unwrap_or_default();
        let media = Sdp::parse(text.as_bytes()).ok().and_then(|sdp| sdp.media.into_iter().next());
        let media = media.filter(|media| media.wanted() && media.codecs().next().is_some());
        media.ok_or(MediaError::NotAcceptable)
    }

    /// Lets nothing through until legs are joined.
    async fn block(&mut self) -> Result<(), MediaError> {
        if !self.blocked && !self.joined {
            self.order("block media", all()).await?;
            self.blocked = true;
        }
        Ok(())
    }

    /// Our description to a leg: what rtpengine says, under an origin of ours.
    fn say(&mut self, leg: LegNumber, media: Vec<Media>) -> Description {
        let id = self.ids + u64::from(leg.0);
        let leg = self.leg(leg);
        if leg.said.as_ref().is_some_and(|said| *said != media) {
            leg.version += 1;
        }
        leg.said = Some(media.clone());
        Bytes::from(Sdp { id, version: leg.version, media }.to_string())
    }

    /// Expects sound of a leg that is joined, unless either side has it on hold.
    fn expect(&self, leg: LegNumber) {
        let Some(known) = self.legs.get(&leg).filter(|_| self.joined) else { return };
        let theirs = known.theirs.as_ref().and_then(|sdp| sdp.media.get(audio(sdp)?));
        let ours = known.ready.as_ref();
        let holds = theirs.is_some_and(Media::holds)
            || [theirs, ours].iter().flatten().any(|media| media.direction != Direction::Both);
        self.watch.expect(&known.tag, leg, holds);
    }

    fn end_player(&mut self, leg: LegNumber) {
        self.players.remove(&leg).iter().for_each(AbortHandle::abort);
    }
}

/// Sound is taken from the source that settles first, and decoded and made anew: rtpengine passes header extensions and
/// contributing sources on in whatever it does not transcode, and `inject-DTMF` has it transcode everything. RTCP ends on
/// each leg: `generate-RTCP` has it consume what comes, and write reports of its own.
const FLAGS: [&str; 4] = ["strict-source", "port-latching", "inject-DTMF", "generate-RTCP"];

/// The names of a call's two ends.
const NEAR: &str = "near";
const FAR: &str = "far";

#[async_trait]
impl Session for NgSession {
    async fn consider(&mut self, leg: LegNumber, offer: Description) -> Result<(), MediaError> {
        let offer = parse(&offer)?;
        audio(&offer).ok_or(MediaError::NotAcceptable)?;
        self.leg(leg).theirs = Some(offer);
        Ok(())
    }

    async fn offer(&mut self, leg: LegNumber, secure: bool) -> Result<Description, MediaError> {
        let (from, theirs) = self.other(leg);
        let to = self.leg(leg).tag.clone();
        let sdp = theirs.map_or_else(|| nowhere(IpAddr::V4(Ipv4Addr::UNSPECIFIED), everything()), Ok)?;
        let media = self.describe("offer", &from, &to, &plain(&sdp)?, secure).await?;
        self.block().await?;
        Ok(self.say(leg, vec![media]))
    }

    async fn accept(&mut self, leg: LegNumber, answer: Description) -> Result<(), MediaError> {
        let answer = parse(&answer)?;
        let (from, _) = self.other(leg);
        let to = self.leg(leg).tag.clone();
        let media = self.describe("answer", &from, &to, &plain(&answer)?, false).await?;
        self.leg(leg).theirs = Some(answer);
        let other = self.legs.values_mut().find(|other| other.tag == from);
        other.into_iter().for_each(|other| other.ready = Some(media.clone()));
        self.expect(leg);
        Ok(())
    }

    async fn answer(&mut self, leg: LegNumber, offer: Description) -> Result<Description, MediaError> {
        let offer = parse(&offer)?;
        let chosen = audio(&offer).ok_or(MediaError::NotAcceptable)?;
        let known = self.leg(leg);
        let same = known.theirs.as_ref() == Some(&offer);
        let (tag, ready) = (known.tag.clone(), known.ready.take().filter(|_| same));
        known.theirs = Some(offer.clone());
        let media = match ready {
            Some(media) => media,
            None => {
                let (other, theirs) = self.other(leg);
                self.describe("offer", &tag, &other, &plain(&offer)?, false).await?;
                self.block().await?;
                let far = match theirs {
                    Some(theirs) => plain(&theirs)?,
                    None => {
                        let formats = negotiation::to_answer(&offer.media[chosen], Known::default());
                        nowhere(offer.media[chosen].at.ip(), formats.ok_or(MediaError::NotAcceptable)?)?
                    }
                };
                self.describe("answer", &tag, &other, &far, false).await?
            }
        };
        self.leg(leg).ready = Some(media.clone());
        self.expect(leg);
        let ours = offer.media.iter().enumerate().map(|(at, theirs)| {
            if at == chosen { media.clone() } else { refused(theirs.kind, theirs.profile) }
        });
        let ours = ours.collect();
        Ok(self.say(leg, ours))
    }

    async fn join(&mut self, one: LegNumber, other: LegNumber) -> Result<(), MediaError> {
        for leg in [one, other] {
            if self.players.contains_key(&leg) {
                self.stop(leg).await?;
            }
        }
        self.order("unblock media", all()).await?;
        (self.joined, self.blocked) = (true, false);
        [one, other].into_iter().for_each(|leg| self.expect(leg));
        Ok(())
    }

    async fn part(&mut self) -> Result<(), MediaError> {
        self.joined = false;
        self.watch.forget_all();
        self.block().await
    }

    async fn play(&mut self, leg: LegNumber, sound: Sound) -> Result<(), MediaError> {
        self.end_player(leg);
        let (samples, times) = match sound {
            Sound::Ringback => (tone::ringback(), OVER_AND_OVER),
            Sound::Prompt { name, language, tenant } => {
                (self.prompts.find(name, &language, &tenant).await, 1)
            }
        };
        let samples = &samples[..samples.len().min(LONGEST_SOUND)];
        let file = [&wav::header(Law::Mu, 1, samples.len() as u32)[..], samples].concat();
        let more = Dictionary::from([
            ("from-tag".to_owned(), Value::text(self.leg(leg).tag.clone())),
            ("blob".to_owned(), Value::Bytes(file)),
            ("repeat-times".to_owned(), Value::Number(times)),
        ]);
        let ends = Instant::now() + Duration::from_millis(samples.len() as u64 / 8);
        self.order("play media", more).await?;
        let events = self.events.clone();
        let player = tokio::spawn(async move {
            if times == 1 {
                sleep_until(ends).await;
                let _ = events.try_send(Event::Played(leg));
            }
        });
        self.players.insert(leg, player.abort_handle());
        Ok(())
    }

    async fn stop(&mut self, leg: LegNumber) -> Result<(), MediaError> {
        self.end_player(leg);
        let tag = self.leg(leg).tag.clone();
        self.order("stop media", one(&tag)).await.map(drop)
    }

    async fn listen(&mut self, leg: LegNumber, on: bool) -> Result<(), MediaError> {
        let tag = self.leg(leg).tag.clone();
        self.listener.listen(&tag, leg, on);
        let command = if on { "block DTMF" } else { "unblock DTMF" };
        self.order(command, one(&tag)).await.map(drop)
    }

    async fn record(&mut self) -> Result<Recording, MediaError> {
        Err(MediaError::Failed("rtpengine cannot record to our files".to_owned()))
    }

    async fn drop_leg(&mut self, leg: LegNumber) {
        self.end_player(leg);
        if let Some(gone) = self.legs.remove(&leg) {
            self.watch.forget(&gone.tag);
        }
    }

    async fn close(self: Box<Self>) -> Carried {
        // What is dropped below ends the call there.
        let Ok(ended) = self.order("query", Dictionary::new()).await else { return Carried::default() };
        let mut carried = Carried::default();
        if let Some(Value::Dictionary(tags)) = ended.get("tags") {
            for (tag, told) in tags {
                let count = if tag == NEAR { &mut carried.from_caller } else { &mut carried.from_called };
                *count += packets(told);
            }
        }
        carried
    }
}

/// A session that is dropped leaves nothing at rtpengine.
impl Drop for NgSession {
    fn drop(&mut self) {
        self.players.values().for_each(AbortHandle::abort);
        let client = self.client.clone();
        let order = Dictionary::from([
            ("call-id".to_owned(), Value::text(self.name.clone())),
            ("delete-delay".to_owned(), Value::Number(0)),
        ]);
        tokio::spawn(async move { client.order("delete", order).await });
    }
}

fn parse(description: &Description) -> Result<Sdp, MediaError> {
    Sdp::parse(description).map_err(|_| MediaError::NotAcceptable)
}

/// The first sound that is offered.
fn audio(offer: &Sdp) -> Option<usize> {
    let usable = |media: &Media| {
        media.kind == Kind::Audio
            && media.wanted()
            && media.profile != Profile::Other
            && media.codecs().next().is_some()
    };
    offer.media.iter().position(usable)
}

/// A description of the sound alone, made anew from what was read.
fn plain(sdp: &Sdp) -> Result<Sdp, MediaError> {
    let media = sdp.media[audio(sdp).ok_or(MediaError::NotAcceptable)?].clone();
    Ok(Sdp { id: 1, version: sdp.version, media: vec![media] })
}

/// What stands for an end that there is not yet: it listens on the port that throws everything away (RFC 863).
fn nowhere(like: IpAddr, formats: Vec<Format>) -> Result<Sdp, MediaError> {
    let ip = match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let at = SocketAddr::new(ip, 9);
    let media = Media {
        kind: Kind::Audio,
        profile: Profile::Plain,
        at,
        rtcp: SocketAddr::new(ip, 10),
        mux: false,
        formats,
        direction: Direction::Both,
        ptime: None,
        keys: Vec::new(),
    };
    Ok(Sdp { id: 1, version: 1, media: vec![media] })
}

fn everything() -> Vec<Format> {
    negotiation::to_offer(Known { other: Some(&[Codec::Pcma, Codec::Pcmu]), ..Known::default() })
}

fn refused(kind: Kind, profile: Profile) -> Media {
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
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

fn all() -> Dictionary {
    Dictionary::from([("flags".to_owned(), Value::words(&["all"]))])
}

fn one(tag: &str) -> Dictionary {
    Dictionary::from([("from-tag".to_owned(), Value::text(tag))])
}

#[cfg(test)]
mod tests;
