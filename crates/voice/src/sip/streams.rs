//! Connections that peers make to us: not too many of one source, nor in all, and none that says nothing. A connection
//! costs the library 128 KiB for as long as it is open, whatever comes by it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Connections in all.
const CONNECTIONS: usize = 1_024;

/// Connections of one source.
const OF_A_SOURCE: usize = 256;

/// How long the first message of a connection may take to be whole. Peers connect when they have something to say.
const FIRST_MESSAGE: Duration = Duration::from_secs(5);

/// How long a connection may be silent; a keep-alive (RFC 5626 4.4.1) is enough.
pub(super) const IDLE: Duration = Duration::from_secs(300);

/// The connections that peers have made. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    all: usize,
    of_source: HashMap<IpAddr, usize>,
    /// Those that have not said anything whole yet.
    new: HashMap<SocketAddr, oneshot::Sender<()>>,
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    streams: Streams,
    source: IpAddr,
}

impl Streams {
    /// A place for a connection from there, if there is one.
    pub(super) fn admit(&self, source: IpAddr) -> Option<Place> {
        let mut known = self.known();
        let of_source = known.of_source.get(&source).copied().unwrap_or_default();
        if known.all >= CONNECTIONS || of_source >= OF_A_SOURCE {
            return None;
        }
        known.all += 1;
        known.of_source.insert(source, of_source + 1);
        drop(known);
        Some(Place { streams: self.clone(), source })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.known().all
    }

    /// Sees to it that a connection which says nothing whole in time is shut. Gives back the connection.
    pub(super) fn expect(&self, stream: TcpStream, source: SocketAddr) -> io::Result<TcpStream> {
        let stream = stream.into_std()?;
        let handle = stream.try_clone()?;
        let (said, first) = oneshot::channel();
        self.known().new.insert(source, said);
        let streams = self.clone();
        tokio::spawn(async move {
            if timeout(FIRST_MESSAGE, first).await.is_err() {
                streams.known().new.remove(&source);
                // It may have been shut by the peer.
                let _ = handle.shutdown(Shutdown::Both);
            }
        });
        TcpStream::from_std(stream)
    }

    /// A whole message has come by the connection.
    pub(super) fn has_spoken(&self, source: SocketAddr) {
        // Whoever waits for it has nothing more to do.
        drop(self.known().new.remove(&source));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.streams.known();
        known.all -= 1;
        let left = known.of_source.get(&self.source).map_or(0, |count| count - 1);
        if left == 0 {
            known.of_source.remove(&self.source);
        } else {
            known.of_source.insert(self.source, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_places_and_leaves_the_others_theirs() {
        let streams = Streams::default();
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let mut places: Vec<Place> = (0..OF_A_SOURCE).map_while(|_| streams.admit(one)).collect();
        assert_eq!(places.len(), OF_A_SOURCE);
        assert!(streams.admit(one).is_none());
        assert!(streams.admit(other).is_some());

        places.pop();
        assert!(streams.admit(one).is_some());
        drop(places);
        assert_eq!(streams.count(), 0);
        assert!(streams.known().of_source.is_empty());
    }

    #[test]
    fn all_sources_together_have_so_many_places() {
        let streams = Streams::default();
        let places: Vec<Place> =
            (0..2_000_u32).filter_map(|n| streams.admit(IpAddr::from(n.to_be_bytes()))).collect();
        assert_eq!(places.len(), CONNECTIONS);
    }
}
