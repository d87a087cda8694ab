//! Ports for sound: an even one for RTP and the odd one above it for RTCP.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use callveil_domain::Chance;

use crate::media::Ports;
use crate::media::room::{Channel, Here};

/// Ports that somebody else holds are passed over, as many at once at most.
const MOST_TAKEN: usize = 64;

/// Free even ports in the order in which they are lent. One that is given back is lent last, so that it rests for as
/// long as the others suffice, lest the next call hear what still comes for the last one.
type Queue = VecDeque<u16>;

/// The ports that may be used.
#[derive(Debug)]
pub struct Pool {
    /// `None` leaves the choice to the operating system.
    free: Option<Mutex<Queue>>,
    all: usize,
}

/// A leg's two sockets.
#[derive(Debug)]
pub struct Pair {
    /// For sound.
    pub rtp: UdpSocket,
    /// For RTCP.
    pub rtcp: UdpSocket,
    /// Given back when the sockets have been closed: fields are dropped in their order.
    _lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    port: u16,
    pool: Arc<Pool>,
}

impl Pool {
    /// All even ports of the range, in an order that strangers cannot foresee.
    pub fn new(range: Option<RangeInclusive<u16>>, rng: &mut Chance) -> Pool {
        let shuffled = range.map(|range| {
            let mut even: Vec<(u64, u16)> =
                range.filter(|port| port % 2 == 0).map(|port| (rng.next_u64(), port)).collect();
            even.sort_unstable();
            even.into_iter().map(|(_, port)| port).collect::<Queue>()
        });
        let all = shuffled.as_ref().map_or(0, Queue::len);
        Pool { free: shuffled.map(Mutex::new), all }
    }

    /// How many there are, and are lent.
    pub fn ports(&self) -> Option<Ports> {
        let free = lock(self.free.as_ref()?).len();
        Some(Ports { all: self.all, used: self.all - free })
    }

    /// Two sockets on neighbouring ports.
    pub fn open(self: &Arc<Self>, ip: IpAddr) -> io::Result<Pair> {
        for _ in 0..MOST_TAKEN {
            let (port, lease) = match &self.free {
                None => (0, None),
                Some(free) => {
                    let port = lock(free).pop_front().ok_or(io::ErrorKind::AddrNotAvailable)?;
                    (port, Some(Lease { port, pool: self.clone() }))
                }
            };
            match pair(ip, port) {
                Ok((rtp, rtcp)) => return Ok(Pair { rtp, rtcp, _lease: lease }),
                Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {}
                Err(why) => return Err(why),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(free) = &self.pool.free {
            lock(free).push_back(self.port);
        }
    }
}

impl Pair {
    /// The socket of a channel.
    pub fn socket(&self, channel: Channel) -> &UdpSocket {
        match channel {
            Channel::Sound => &self.rtp,
            Channel::Control => &self.rtcp,
        }
    }

    /// Where the peer is to send, when it knows us by `external`.
    pub fn here(&self, external: IpAddr) -> io::Result<Here> {
        let port = |socket: &UdpSocket| Ok::<_, io::Error>(socket.local_addr()?.port());
        Ok(Here {
            rtp: SocketAddr::new(external, port(&self.rtp)?),
            rtcp: SocketAddr::new(external, port(&self.rtcp)?),
        })
    }
}

fn pair(ip: IpAddr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    let rtp = bind(SocketAddr::new(ip, port))?;
    let port = rtp.local_addr()?.port();
    // RTCP's port is the next (RFC 3550 11), and so RTP's must be even.
    if port % 2 != 0 {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let rtcp = bind(SocketAddr::new(ip, port + 1))?;
    Ok((rtp, rtcp))
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
