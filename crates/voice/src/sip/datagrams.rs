//! The datagrams as they come to the library: from those we know, not too many, and through the [`gate`](super::gate).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rsipstack::platform::net::UdpSocket as Datagrams;
use rsipstack::sip::SipMessage;
use rsipstack::transaction::endpoint::TransportEventInspector;
use rsipstack::transport::{SipConnection, TransportEvent};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::forks::{Answers, Others};
use super::gate::{self, Fault};
use super::streams::Streams;
use super::trace::{self, Way};
use super::trunks::Trunks;

/// Messages of one source in a second; more are dropped before they are looked at, and come again.
const MESSAGES_PER_SECOND: u32 = 20_000;

/// Answers of the gate to one source in a second: whoever sends rubbish in heaps is not talked to.
const ANSWERS_PER_SECOND: u32 = 10;

/// Sources that are counted at once.
const SOURCES: usize = 4_096;

/// How long somebody that we have sent to is listened to.
const ACQUAINTANCE: Duration = Duration::from_secs(3_600);

/// Messages that wait for the library. It has no bound of its own.
const WAITING: usize = 8_192;

/// A socket, with the gate before it.
pub(super) struct Gated {
    socket: UdpSocket,
    trunks: Trunks,
    acquaintances: Mutex<HashMap<IpAddr, Instant>>,
    rates: Mutex<HashMap<IpAddr, Rate>>,
    waiting: Arc<AtomicUsize>,
    dropped: Dropped,
    /// Told when the library reads for the first time.
    read: Arc<Notify>,
}

/// Why a datagram is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptOut {
    /// It comes from nobody that we know.
    Stranger,
    /// Its source has sent too many within the second.
    TooMany,
    /// It is no SIP, or a response that cannot be read.
    Noise,
    /// It breaks a rule of SIP.
    Refused,
    /// Too many wait already.
    NoRoom,
}

/// How many datagrams were not let in. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped(Arc<[AtomicU64; 5]>);

impl Dropped {
    fn count(&self, why: KeptOut) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn all(&self) -> Vec<(KeptOut, u64)> {
        let all = [KeptOut::Stranger, KeptOut::TooMany, KeptOut::Noise, KeptOut::Refused, KeptOut::NoRoom];
        all.into_iter().map(|why| (why, self.0[why as usize].load(Ordering::Relaxed))).collect()
    }
}

/// What one source has sent in the second that began then.
#[derive(Clone, Copy)]
struct Rate {
    began: Instant,
    messages: u32,
    answers: u32,
}

impl Gated {
    pub(super) fn new(socket: UdpSocket, trunks: Trunks, dropped: Dropped) -> Gated {
        Gated {
            socket,
            trunks,
            acquaintances: Mutex::default(),
            rates: Mutex::default(),
            waiting: Arc::default(),
            dropped,
            read: Arc::default(),
        }
    }

    /// Told when the library reads for the first time.
    pub(super) fn is_read(&self) -> Arc<Notify> {
        Arc::clone(&self.read)
    }

    /// Sees what the library takes up of what waits.
    pub(super) fn inspector(&self, answers: Answers, others: Others, streams: Streams) -> Inspector {
        Inspector { waiting: Arc::clone(&self.waiting), answers, others, streams }
    }

    fn knows(&self, source: IpAddr, now: Instant) -> bool {
        self.trunks.know(source)
            || lock(&self.acquaintances)
                .get(&source)
                .is_some_and(|last| now.duration_since(*last) < ACQUAINTANCE)
    }

    fn has_sent_to(&self, address: IpAddr, now: Instant) {
        let mut acquaintances = lock(&self.acquaintances);
        if acquaintances.len() >= SOURCES && !acquaintances.contains_key(&address) {
            acquaintances.retain(|_, last| now.duration_since(*last) < ACQUAINTANCE);
        }
        if acquaintances.len() < SOURCES || acquaintances.contains_key(&address) {
            acquaintances.insert(address, now);
        }
    }

    /// Counts a message of a source; nothing when there were too many.
    fn count(&self, source: IpAddr, now: Instant) -> Option<()> {
        let mut rates = lock(&self.rates);
        if rates.len() >= SOURCES {
            rates.retain(|_, rate| now.duration_since(rate.began) < Duration::from_secs(1));
        }
        let fresh = Rate { began: now, messages: 0, answers: 0 };
        let rate = rates.entry(source).or_insert(fresh);
        if now.duration_since(rate.began) >= Duration::from_secs(1) {
            *rate = fresh;
        }
        rate.messages = rate.messages.saturating_add(1);
        (rate.messages <= MESSAGES_PER_SECOND).then_some(())
    }

    fn may_answer(&self, source: IpAddr) -> bool {
        let mut rates = lock(&self.rates);
        let Some(rate) = rates.get_mut(&source) else { return false };
        rate.answers = rate.answers.saturating_add(1);
        rate.answers <= ANSWERS_PER_SECOND
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Datagrams for Gated {
    async fn recv_from(&self, buffer: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        self.read.notify_one();
        loop {
            let (length, source) = self.socket.recv_from(buffer).await?;
            let now = Instant::now();
            if !self.knows(source.ip(), now) {
                self.dropped.count(KeptOut::Stranger);
                continue;
            }
            if self.count(source.ip(), now).is_none() {
                self.dropped.count(KeptOut::TooMany);
                continue;
            }
            let message = &buffer[..length];
            trace_datagram(Way::Received, source, message);
            // A keep-alive (RFC 5626 4.4.1), which the library answers.
            if message == b"\r\n\r\n" {
                return Ok((length, source));
            }
            match gate::judge(message) {
                Ok(()) if self.waiting.load(Ordering::Relaxed) < WAITING => {
                    self.waiting.fetch_add(1, Ordering::Relaxed);
                    return Ok((length, source));
                }
                // The sender tries again, and by then there may be room.
                Ok(()) => self.dropped.count(KeptOut::NoRoom),
                Err(Fault::Noise) => self.dropped.count(KeptOut::Noise),
                Err(Fault::Refused(status)) => {
                    self.dropped.count(KeptOut::Refused);
                    if self.may_answer(source.ip())
                        && let Some(answer) = gate::answer(message, status)
                    {
                        trace_datagram(Way::Sent, source, &answer);
                        self.socket.send_to(&answer, source).await?;
                    }
                }
            }
        }
    }

    async fn send_to(&self, message: &[u8], address: SocketAddr) -> rsipstack::Result<usize> {
        self.has_sent_to(address.ip(), Instant::now());
        trace_datagram(Way::Sent, address, message);
        Ok(self.socket.send_to(message, address).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}

fn trace_datagram(way: Way, peer: SocketAddr, message: &[u8]) {
    if trace::is_wanted() {
        trace::tell(way, &peer, &"UDP", message);
    }
}

/// Sees every message that the library has read, before it takes it up.
pub(super) struct Inspector {
    waiting: Arc<AtomicUsize>,
    answers: Answers,
    /// Where answers go that come from another telephone than the one that answered first.
    others: Others,
    streams: Streams,
}

#[async_trait]
impl TransportEventInspector for Inspector {
    async fn handle(&self, event: TransportEvent) -> Option<TransportEvent> {
        let TransportEvent::Incoming(message, connection, source) = &event else { return Some(event) };
        if let SipConnection::Udp(_) = connection {
            // What the library could not read was counted too, and is gone: never below nothing.
            let _ = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        } else {
            // A stream is cut into messages by the library: they are judged here.
            let message = message.to_bytes();
            if trace::is_wanted() {
                trace::tell(Way::Received, &source.addr, &connection.transport(), &message);
            }
            gate::judge(&message).ok()?;
            if let Ok(source) = source.get_socketaddr() {
                self.streams.has_spoken(source);
            }
        }
        if let SipMessage::Response(response) = message
            && self.answers.is_another(response)
        {
            // When too many wait, its repetition is ended.
            let _ = self.others.try_send((response.clone(), connection.transport()));
        }
        Some(event)
    }
}
