//! One address that we listen on, by UDP and by TCP, with the library's endpoint behind it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::trunk::Transport;
use rsipstack::EndpointBuilder;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::{HostWithPort, Param, Scheme, Uri};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use rsipstack::transport::tcp::TcpConnection;
use rsipstack::transport::tcp_listener::TcpListenerConnection;
use rsipstack::transport::tls::{TlsConfig, TlsListenerConnection};
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipAddr, SipConnection, TransportLayer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::datagrams::{Dropped, Gated};
use super::forks::{self, Answers};
use super::outgoing::Inspector;
use super::streams::{IDLE, Streams};
use super::tls::Tls;
use super::trunks::Trunks;
use super::{Settings, StartError, carried_by};

/// An address that we listen on.
pub(super) struct Stack {
    /// Where it really listens.
    pub(super) address: SocketAddr,
    /// What peers are told to answer to.
    told: SocketAddr,
    pub(super) endpoint: EndpointInnerRef,
    pub(super) layer: Arc<DialogLayer>,
}

/// What all listeners share.
pub(super) struct Common {
    pub(super) trunks: Trunks,
    pub(super) answers: Answers,
    pub(super) streams: Streams,
    pub(super) dropped: Dropped,
}

/// What the kernel may hold of datagrams that we have not read yet.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How often another free port is tried when one is free by TCP and not by UDP.
const PORTS_TRIED: usize = 32;

impl Stack {
    /// Listens on an address.
    pub(super) async fn open(
        address: SocketAddr,
        settings: &Settings,
        common: &Common,
        inspector: Inspector,
        stop: CancellationToken,
    ) -> Result<(Stack, TransactionReceiver), StartError> {
        let (tcp, udp) = bind(address).map_err(|why| StartError::Listen { address, why })?;
        let address = tcp.local_addr().map_err(|why| StartError::Listen { address, why })?;
        let told = told(address, &settings.public);

        let transport = TransportLayer::new(stop.clone());
        transport.set_stream_idle_timeout(IDLE);
        let Common { trunks, answers, streams, dropped } = common;
        let gated = Arc::new(Gated::new(udp, trunks.clone(), dropped.clone()));
        let (read, (others, ended)) = (gated.is_read(), forks::others());
        let taken = gated.inspector(answers.clone(), others, streams.clone());
        let udp = UdpConnection::from_socket(gated, Some(told), Some(stop.child_token())).await;
        transport.add_transport(SipConnection::Udp(udp.map_err(|e| broken(address, &e))?));

        let endpoint = EndpointBuilder::new()
            .with_user_agent("callveil")
            .with_transport_layer(transport)
            .with_cancel_token(stop.clone())
            .with_option(EndpointOption {
                t1: settings.t1(),
                t1x64: settings.t1() * 64,
                ..EndpointOption::default()
            })
            .with_inspector(Box::new(inspector))
            .with_transport_inspector(Box::new(taken))
            .build();
        let transactions = endpoint.incoming_transactions().map_err(|e| broken(address, &e))?;
        let inner = Arc::clone(&endpoint.inner);
        forks::end_others(Arc::clone(&inner), ended);
        tokio::spawn(async move { endpoint.serve().await });

        // The library opens the listeners that it knows of when it begins, and it is to know of this one without
        // opening it: only then does what it sends by TCP tell where we listen.
        read.notified().await;
        let listener =
            TcpListenerConnection::new(address, Some(told)).await.map_err(|e| broken(address, &e))?;
        inner.transport_layer.add_transport(SipConnection::TcpListener(listener));
        tokio::spawn(accept(tcp, Arc::clone(&inner), told, trunks.clone(), streams.clone(), stop));

        let layer = Arc::new(DialogLayer::new(Arc::clone(&inner)));
        Ok((Stack { address, told, endpoint: inner, layer }, transactions))
    }

    /// Listens by TLS too, and tells where.
    pub(super) async fn listen_by_tls(
        &self,
        address: SocketAddr,
        settings: &Settings,
        tls: &Tls,
        trunks: &Trunks,
        streams: &Streams,
        stop: CancellationToken,
    ) -> Result<SocketAddr, StartError> {
        let listen = || -> io::Result<TcpListener> {
            let socket = socket(address, Type::STREAM, Protocol::TCP)?;
            socket.listen(128)?;
            TcpListener::from_std(socket.into())
        };
        let listener = listen().map_err(|why| StartError::Listen { address, why })?;
        let address = listener.local_addr().map_err(|why| StartError::Listen { address, why })?;
        let told = told(address, &settings.public);
        // As with TCP: the library is to know of the listener, and not to open it.
        let known = TlsListenerConnection::new(address, Some(told), TlsConfig::default()).await;
        let known = known.map_err(|e| broken(address, &e))?;
        self.endpoint.transport_layer.add_transport(SipConnection::TlsListener(known));
        let (endpoint, streams) = (Arc::clone(&self.endpoint), streams.clone());
        tokio::spawn(tls.clone().accept(listener, endpoint, told, trunks.clone(), streams, stop));
        Ok(address)
    }

    /// The listener that a message by this transport tells as its origin.
    pub(super) fn sends_from(&self, transport: Transport) -> Option<SipAddr> {
        let listeners = self.endpoint.transport_layer.get_listen_addrs();
        listeners.into_iter().find(|listener| listener.r#type == Some(carried_by(transport)))
    }

    /// An address of ours, as Contact and From have it.
    pub(super) fn uri(&self, user: String, transport: Transport) -> Uri {
        let port = self.sends_from(transport).and_then(|listener| listener.addr.port);
        let params = match transport {
            Transport::Udp => Vec::new(),
            Transport::Tcp | Transport::Tls => vec![Param::Transport(carried_by(transport))],
        };
        Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(user.into()),
            host_with_port: HostWithPort { port: port.or(Some(self.told.port().into())), ..self.told.into() },
            params,
            headers: Vec::new(),
        }
    }
}

fn broken(address: SocketAddr, error: &rsipstack::Error) -> StartError {
    StartError::Listen { address, why: io::Error::other(super::kind(error)) }
}

fn told(address: SocketAddr, public: &[IpAddr]) -> SocketAddr {
    let of_family = public.iter().find(|public| public.is_ipv4() == address.is_ipv4());
    match of_family {
        Some(public) => SocketAddr::new(*public, address.port()),
        None if address.ip().is_unspecified() => SocketAddr::new(own_address(address), address.port()),
        None => address,
    }
}

/// The address that this machine has towards the rest of the world: the one that a datagram there would leave from.
/// None is sent.
fn own_address(unspecified: SocketAddr) -> IpAddr {
    // Addresses of documentation (RFC 5737, RFC 3849) lead wherever the default route does.
    let (any, afar): (SocketAddr, IpAddr) = match unspecified {
        SocketAddr::V4(_) => ((Ipv4Addr::UNSPECIFIED, 0).into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        SocketAddr::V6(_) => {
            ((Ipv6Addr::UNSPECIFIED, 0).into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
        }
    };
    let found = std::net::UdpSocket::bind(any).and_then(|socket| {
        socket.connect((afar, 9))?;
        socket.local_addr()
    });
    found.map_or_else(
        |_| match unspecified {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        },
        |address| address.ip(),
    )
}

/// Takes an address by TCP and by UDP; of port 0, one that is free by both.
fn bind(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut tries = if address.port() == 0 { PORTS_TRIED } else { 1 };
    loop {
        tries -= 1;
        let tcp = socket(address, Type::STREAM, Protocol::TCP)?;
        tcp.listen(128)?;
        let taken = TcpListener::from_std(tcp.into())?;
        match socket(taken.local_addr()?, Type::DGRAM, Protocol::UDP) {
            Ok(udp) => return Ok((taken, UdpSocket::from_std(udp.into())?)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    } else {
        // The kernel gives what its own limit allows.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_send_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Takes connections from the sources of trunks; others are closed without a word.
async fn accept(
    listener: TcpListener,
    endpoint: EndpointInnerRef,
    told: SocketAddr,
    trunks: Trunks,
    streams: Streams,
    stop: CancellationToken,
) {
    let told = SipAddr { r#type: Some(rsipstack::sip::Transport::Tcp), addr: told.into() };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection was not taken: {error}");
                // Too many open files last a while: do not spin.
                pause(Duration::from_millis(50)).await;
                continue;
            }
        };
        if !trunks.know(source.ip()) {
            continue;
        }
        let Some(place) = streams.admit(source.ip()) else { continue };
        let Ok(stream) = streams.expect(stream, source) else { continue };
        let token = stop.child_token();
        let Ok(connection) = TcpConnection::from_stream(stream, told.clone(), Some(token.clone())) else {
            continue;
        };
        endpoint.transport_layer.add_connection(SipConnection::Tcp(connection));
        tokio::spawn(async move {
            token.cancelled().await;
            drop(place);
        });
    }
}

pub(super) async fn pause(length: Duration) {
    tokio::time::sleep_until(tokio::time::Instant::now() + length).await;
}
