//! Keys as rtpengine tells them: a datagram of JSON for each press of any call, once, whatever was repeated on the way.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::media::dtmf;
use crate::media::{Event, LegNumber};

/// Longer datagrams are none of rtpengine's.
const LONGEST: usize = 4096;

/// Who is told, by call.
type Calls = Arc<Mutex<BTreeMap<String, Told>>>;

/// What is told of one call.
#[derive(Debug)]
struct Told {
    events: mpsc::Sender<Event>,
    /// The legs that are listened to, by their names at rtpengine.
    legs: BTreeMap<String, LegNumber>,
}

/// The place where keys are told to.
#[derive(Debug)]
pub struct Digits {
    socket: Arc<UdpSocket>,
    calls: Calls,
    reader: AbortHandle,
}

/// A call's place in it, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    call: String,
    calls: Calls,
}

/// What rtpengine says of a press.
#[derive(Deserialize)]
struct Press {
    callid: String,
    source_tag: String,
    event: u8,
}

impl Digits {
    /// Listens at this address.
    pub async fn listen(at: SocketAddr) -> io::Result<Digits> {
        let socket = Arc::new(UdpSocket::bind(at).await?);
        let calls = Calls::default();
        let reader = tokio::spawn(read(socket.clone(), calls.clone())).abort_handle();
        Ok(Digits { socket, calls, reader })
    }

    /// The address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Makes a place for a call.
    pub fn listener(&self, call: String, events: mpsc::Sender<Event>) -> Listener {
        lock(&self.calls).insert(call.clone(), Told { events, legs: BTreeMap::new() });
        Listener { call, calls: self.calls.clone() }
    }
}

impl Listener {
    /// Tells the keys of a leg, or no longer.
    pub fn listen(&self, tag: &str, leg: LegNumber, on: bool) {
        if let Some(told) = lock(&self.calls).get_mut(&self.call) {
            told.legs.remove(tag);
            told.legs.extend(on.then(|| (tag.to_owned(), leg)));
        }
    }
}

impl Drop for Digits {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        lock(&self.calls).remove(&self.call);
    }
}

async fn read(socket: Arc<UdpSocket>, calls: Calls) {
    let mut buffer = [0; LONGEST];
    loop {
        let Ok(length) = socket.recv(&mut buffer).await else { continue };
        let Ok(press) = serde_json::from_slice::<Press>(&buffer[..length]) else { continue };
        let calls = lock(&calls);
        let Some(told) = calls.get(&press.callid) else { continue };
        if let (Some(leg), Some(key)) = (told.legs.get(&press.source_tag), dtmf::key(press.event)) {
            let _ = told.events.try_send(Event::Digit(*leg, key));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
