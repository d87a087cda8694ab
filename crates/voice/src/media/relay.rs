//! Our own relay: a task for each call reads its sockets and does what its [`Room`] decides.

mod ports;

use std::fmt;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use socket2::SockRef;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use callveil_domain::Chance;
use callveil_domain::call::CallId;

use super::codec::Law;
use super::prompt::Prompts;
use super::recorder::{Recorder, Reel};
use super::room::{Channel, Habits, Outside, Room};
use super::sdp::{Kind, Sdp};
use super::stream::Sources;
use super::{Carried, Engine, Event, LegNumber, MediaError, Ports, Recording, Session, Sound, tone};
use crate::leg::Description;

use ports::{Pair, Pool};

/// How the relay is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where sound comes in; the first is the one that is offered. One of each family is enough.
    pub addresses: Vec<Address>,
    /// The ports that may be used; `None` leaves them to the operating system.
    pub ports: Option<RangeInclusive<u16>>,
    /// Whose packets are taken.
    pub sources: Sources,
    /// How long a leg may be silent before that is told.
    pub silence: Duration,
    /// Where announcements come from.
    pub prompts: Prompts,
    /// What keeps recordings; without it there are none.
    pub recorder: Option<Recorder>,
}

/// An address for sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where sockets are bound.
    pub bind: IpAddr,
    /// What peers are told, which behind a NAT is another.
    pub external: IpAddr,
}

impl Address {
    /// An address that peers reach as it is.
    pub fn plain(ip: IpAddr) -> Address {
        Address { bind: ip, external: ip }
    }
}

/// Events that may wait to be read. A reader that is behind by more loses them.
const EVENTS: usize = 256;
/// Datagrams that are read from one socket in a row.
const IN_A_ROW: usize = 16;
/// How long the end of a call waits for its recording to be whole.
const LONGEST_END: Duration = Duration::from_secs(5);
/// Longer datagrams are cut off, and then fail to be what they claim.
const LONGEST: usize = 2048;

/// Our own relay.
pub struct Relay {
    config: Config,
    pool: Arc<Pool>,
    rng: Arc<Mutex<Box<Chance>>>,
}

impl Relay {
    /// A relay that draws ports, names and numbers from `rng`.
    pub fn new(config: Config, mut rng: Box<Chance>) -> Relay {
        let pool = Arc::new(Pool::new(config.ports.clone(), &mut *rng));
        Relay { config, pool, rng: Arc::new(Mutex::new(rng)) }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for Relay {
    async fn open(&self, _call: CallId) -> Result<(Box<dyn Session>, mpsc::Receiver<Event>), MediaError> {
        let habits = Habits { sources: self.config.sources, silence: self.config.silence };
        let (events, receiver) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                room: Room::new(habits),
                wire: Wire { sockets: Vec::new(), events, reel: None },
            }),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
            begun: Instant::now(),
        });
        tokio::spawn(run(shared.clone()));
        let session = RelaySession {
            addresses: self.config.addresses.clone(),
            prompts: self.config.prompts.clone(),
            recorder: self.config.recorder.clone(),
            pool: self.pool.clone(),
            rng: self.rng.clone(),
            shared,
        };
        Ok((Box::new(session), receiver))
    }

    fn ports(&self) -> Option<Ports> {
        self.pool.ports()
    }
}

/// The media of one call: the state that its task and its orders share.
struct Shared {
    state: Mutex<State>,
    /// Sockets, or what is due, have changed.
    changed: Notify,
    closed: AtomicBool,
    begun: Instant,
}

struct State {
    room: Room,
    wire: Wire,
}

/// A call's sockets, and where its events go.
struct Wire {
    sockets: Vec<(LegNumber, Arc<Pair>)>,
    events: mpsc::Sender<Event>,
    reel: Option<Reel>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the middle of a packet leaves nothing half done that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Outside for Wire {
    fn send(&mut self, leg: LegNumber, channel: Channel, to: SocketAddr, packet: &[u8]) {
        let Some((_, pair)) = self.sockets.iter().find(|(number, _)| *number == leg) else { return };
        // Asks the socket itself: what tokio knows of a fresh socket is that it cannot be written to. A packet that
        // the kernel has no room for is lost, as packets are.
        let _ = SockRef::from(pair.socket(channel)).send_to(packet, &to.into());
    }

    fn tell(&mut self, event: Event) {
        let _ = self.events.try_send(event);
    }

    fn begin_recording(&mut self, law: Law) {
        self.reel.iter().for_each(|reel| reel.begin(law));
    }

    fn record(&mut self, frames: Vec<u8>) {
        self.reel.iter_mut().for_each(|reel| reel.append(frames.clone()));
    }
}

/// Reads a call's sockets and does what is due, until the call's media ends.
async fn run(shared: Arc<Shared>) {
    let mut sockets: Vec<(LegNumber, Arc<Pair>)> = Vec::new();
    let mut timer = pin!(sleep_until(Instant::now()));
    while !shared.closed.load(Ordering::Acquire) {
        // 1. orders, which may bring or take sockets; 2. what is due; 3. packets.
        tokio::select! {
            biased;
            () = shared.changed.notified() => sockets.clone_from(&shared.state().wire.sockets),
            () = &mut timer => {
                let State { room, wire } = &mut *shared.state();
                room.due(shared.now(), wire);
            }
            () = readable(&sockets) => read(&shared, &sockets),
        }
        let next = shared.state().room.deadline().unwrap_or(LONG);
        let next = shared.begun + next;
        if timer.deadline() != next {
            timer.as_mut().reset(next);
        }
    }
}

/// A deadline when nothing is due.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Waits until one of the sockets can be read.
fn readable(sockets: &[(LegNumber, Arc<Pair>)]) -> impl Future<Output = ()> {
    poll_fn(move |context| {
        let mut channels = sockets.iter().flat_map(|(_, pair)| [&pair.rtp, &pair.rtcp]);
        // A socket with an error is read too, which takes the error away.
        if channels.any(|socket| socket.poll_recv_ready(context).is_ready()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
}

fn read(shared: &Shared, sockets: &[(LegNumber, Arc<Pair>)]) {
    let mut buffer = [0; LONGEST];
    let State { room, wire } = &mut *shared.state();
    for (leg, pair) in sockets {
        for channel in [Channel::Sound, Channel::Control] {
            for _ in 0..IN_A_ROW {
                let Ok((length, from)) = pair.socket(channel).try_recv_from(&mut buffer) else { break };
                room.received(*leg, channel, from, &mut buffer[..length], shared.now(), wire);
            }
        }
    }
}

/// The media of one call, as its driver orders it.
struct RelaySession {
    addresses: Vec<Address>,
    prompts: Prompts,
    recorder: Option<Recorder>,
    pool: Arc<Pool>,
    rng: Arc<Mutex<Box<Chance>>>,
    shared: Arc<Shared>,
}

impl RelaySession {
    /// Does something to the room and wakes its task, which looks at sockets and deadlines anew.
    fn order<T>(&self, order: impl FnOnce(&mut Room, Duration, &mut Wire) -> T) -> T {
        let State { room, wire } = &mut *self.shared.state();
        let done = order(room, self.shared.now(), wire);
        self.shared.changed.notify_one();
        done
    }

    /// Gives a leg its ports, if it has none, of the same family as its peer.
    fn place(&self, leg: LegNumber, peer: Option<IpAddr>) -> Result<(), MediaError> {
        if self.shared.state().room.here(leg).is_some() {
            return Ok(());
        }
        let same = |address: &&Address| peer.is_none_or(|peer| peer.is_ipv4() == address.bind.is_ipv4());
        let address = self.addresses.iter().find(same).ok_or(MediaError::NotAcceptable)?;
        let pair = self.pool.open(address.bind).map_err(|_| MediaError::Exhausted)?;
        let here = pair.here(address.external).map_err(|why| MediaError::Failed(why.to_string()))?;
        self.order(|room, _, wire| {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            room.add(leg, here, &mut **rng);
            wire.sockets.push((leg, Arc::new(pair)));
        });
        Ok(())
    }
}

#[async_trait]
impl Session for RelaySession {
    async fn consider(&mut self, leg: LegNumber, offer: Description) -> Result<(), MediaError> {
        let offer = parse(&offer)?;
        self.place(leg, address(&offer))?;
        self.order(|room, _, _| room.consider(leg, &offer))
    }

    async fn offer(&mut self, leg: LegNumber, secure: bool) -> Result<Description, MediaError> {
        self.place(leg, None)?;
        self.order(|room, _, _| room.offer(leg, secure)).map(written)
    }

    async fn accept(&mut self, leg: LegNumber, answer: Description) -> Result<(), MediaError> {
        let answer = parse(&answer)?;
        self.order(|room, now, _| room.accept(leg, &answer, now))
    }

    async fn answer(&mut self, leg: LegNumber, offer: Description) -> Result<Description, MediaError> {
        let offer = parse(&offer)?;
        self.place(leg, address(&offer))?;
        self.order(|room, now, _| room.answer(leg, &offer, now)).map(written)
    }

    async fn join(&mut self, one: LegNumber, other: LegNumber) -> Result<(), MediaError> {
        self.order(|room, now, wire| room.join(one, other, now, wire))
    }

    async fn part(&mut self) -> Result<(), MediaError> {
        self.order(|room, _, _| room.part());
        Ok(())
    }

    async fn play(&mut self, leg: LegNumber, sound: Sound) -> Result<(), MediaError> {
        let (samples, repeat) = match sound {
            Sound::Ringback => (tone::ringback(), true),
            Sound::Prompt { name, language, tenant } => {
                (self.prompts.find(name, &language, &tenant).await, false)
            }
        };
        self.order(|room, now, _| room.play(leg, samples, repeat, now))
    }

    async fn stop(&mut self, leg: LegNumber) -> Result<(), MediaError> {
        self.order(|room, _, _| room.stop(leg));
        Ok(())
    }

    async fn listen(&mut self, leg: LegNumber, on: bool) -> Result<(), MediaError> {
        self.order(|room, _, _| room.listen(leg, on))
    }

    async fn record(&mut self) -> Result<Recording, MediaError> {
        let none = || MediaError::Failed("no directory for recordings is configured".to_owned());
        let recorder = self.recorder.as_ref().ok_or_else(none)?;
        self.order(|room, now, wire| {
            if let Some(reel) = &wire.reel {
                return Ok(reel.recording.clone());
            }
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            let reel = wire.reel.insert(recorder.reel(&mut **rng, wire.events.clone()));
            let recording = reel.recording.clone();
            room.record(now, wire).map(|()| recording)
        })
    }

    async fn drop_leg(&mut self, leg: LegNumber) {
        self.order(|room, now, wire| {
            room.remove(leg, now, wire);
            wire.sockets.retain(|(number, _)| *number != leg);
        });
    }

    async fn close(self: Box<Self>) -> Carried {
        let (carried, whole) = self.order(|room, now, wire| {
            room.close(now, wire);
            let recorded_ms = wire.reel.as_ref().map_or(0, Reel::ms);
            (Carried { recorded_ms, ..room.carried() }, wire.reel.as_ref().map(Reel::end))
        });
        if let Some(whole) = whole {
            // A disk that hangs holds up the end of no call.
            let _ = timeout(LONGEST_END, whole).await;
        }
        carried
    }
}

/// A session that is dropped takes its task and its ports with it.
impl Drop for RelaySession {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        let wire = &mut self.shared.state().wire;
        wire.sockets.clear();
        wire.reel = None;
        self.shared.changed.notify_one();
    }
}

fn parse(description: &Description) -> Result<Sdp, MediaError> {
    Sdp::parse(description).map_err(|_| MediaError::NotAcceptable)
}

fn written(sdp: Sdp) -> Description {
    Bytes::from(sdp.to_string())
}

/// Where the peer of an offer is: its family is that of our ports.
fn address(offer: &Sdp) -> Option<IpAddr> {
    let sound = offer.media.iter().find(|media| media.kind == Kind::Audio && media.wanted())?;
    Some(sound.at.ip())
}

#[cfg(test)]
pub(in crate::media) mod phone;
#[cfg(test)]
mod tests;
