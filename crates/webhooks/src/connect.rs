//! Opens connections, and only those that the guard lets. There is no other way out of this crate.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{error, io};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use crate::guard::{Forbidden, Guard};
use crate::resolve::Resolver;

/// The connector of the client. Every connection resolves its name anew, looks at each address, and goes to an address
/// that it has looked at.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) guard: Arc<Guard>,
    pub(crate) resolver: Arc<Resolver>,
    /// How long a connection may take from the name to the last of its addresses.
    pub(crate) patience: Duration,
}

impl Guarded {
    async fn connect(self, to: Uri) -> Result<TokioIo<TcpStream>, NoConnection> {
        let port = to.port_u16().unwrap_or(if to.scheme_str() == Some("http") { 80 } else { 443 });
        let host = to.host().unwrap_or_default();
        let addresses = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => self.resolver.addresses(host).await.map_err(NoConnection::Name)?,
        };
        let open: Vec<IpAddr> = addresses.into_iter().filter(|address| self.guard.lets(*address)).collect();
        if open.is_empty() {
            return Err(NoConnection::Forbidden(Forbidden::Address));
        }
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        // Each has its share of the time, so that one that swallows packets leaves some for the next.
        let share = self.patience / u32::try_from(open.len()).unwrap_or(u32::MAX);
        for address in open {
            match timeout(share, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(NoConnection::Refused)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(NoConnection::Refused(failure))
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let patience = self.patience;
        let connecting = self.clone().connect(to);
        Box::pin(async move { timeout(patience, connecting).await.unwrap_or(Err(NoConnection::TooLong)) })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    /// The name has no address, or nobody could tell.
    #[error("the name could not be resolved")]
    Name(#[source] io::Error),
    /// The name leads where no webhook may go.
    #[error(transparent)]
    Forbidden(Forbidden),
    /// No address took the connection.
    #[error("the connection was not taken")]
    Refused(#[source] io::Error),
    /// All of it took too long.
    #[error("connecting took too long")]
    TooLong,
}

impl NoConnection {
    /// Finds it under the errors of the client.
    pub(crate) fn under<'e>(error: &'e (dyn error::Error + 'static)) -> Option<&'e NoConnection> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}
