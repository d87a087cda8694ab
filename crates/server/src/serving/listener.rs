//! Takes connections and speaks HTTP/1.1 on them, within limits.

use std::convert::Infallible;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use callveil_api::Peer;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::Phase;

/// What one listener bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections held at once.
    pub connections: NonZeroU32,
    /// How long the head of a request may take, and a kept connection may be idle.
    pub header_timeout: Duration,
}

/// Serves connections until the phase is [`Phase::Draining`]; then takes no new one and returns when the requests
/// in flight are answered. From [`Phase::Leaving`] on, each answer is the last of its connection.
pub async fn serve(socket: TcpListener, router: Router, limits: Limits, phases: watch::Receiver<Phase>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).keep_alive(true);
    let room = Arc::new(Semaphore::new(limits.connections.get() as usize));
    let open = GracefulShutdown::new();
    let mut phase = phases.clone();
    let mut draining = std::pin::pin!(async move { phase.wait_for(|p| *p == Phase::Draining).await.is_ok() });
    loop {
        // One too many waits in the system's queue: nothing of it has been read.
        let taken = async {
            let place = Arc::clone(&room).acquire_owned().await.expect("law: the semaphore is never closed");
            (accept(&socket).await, place)
        };
        let ((stream, from), place) = tokio::select! {
            taken = taken => taken,
            _ = &mut draining => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let phases = phases.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(from));
            let (answer, phases) = (service.call(request), phases.clone());
            async move {
                let mut answer = answer.await?;
                if *phases.borrow() != Phase::Running {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(socket);
    open.shutdown().await;
}

/// The next connection and where it comes from. What keeps one from being taken passes, such as too many open files.
async fn accept(socket: &TcpListener) -> (TcpStream, IpAddr) {
    let mut told = false;
    loop {
        match socket.accept().await {
            Ok((stream, from)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection was gone before it was served");
                }
                return (stream, from.ip().to_canonical());
            }
            Err(error) => {
                if !told {
                    tracing::warn!(%error, "connections cannot be taken, and wait");
                }
                told = true;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this is the driver, and the system tells no moment"
                )]
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
