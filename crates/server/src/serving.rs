//! The life of a server: it listens, works, is told to stop, finishes what is in flight, and is gone.

pub mod demo;
pub mod listener;
mod recordings;
mod signals;
mod telephone;
pub mod webhooks;
mod workers;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use callveil_api::{ApiConfig, ApiState, Metrics};
use prometheus_client::registry::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::{Config, Listen};
use crate::error::CommandError;
use crate::installation::Installation;

use listener::Limits;
use recordings::Kept;
use signals::Signals;
use telephone::Telephone;
use webhooks::Webhooks;

/// Where a server really listens: a configured port 0 is another one by then.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub http: SocketAddr,
    pub metrics: SocketAddr,
    pub sip: Vec<SocketAddr>,
    pub sip_tls: Vec<SocketAddr>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All requests were answered.
    Finished,
    /// Some were not waited for.
    CutOff,
}

/// How far a server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// Whoever sends requests here is to learn that there will soon be nobody.
    Leaving,
    Draining,
}

/// Connections that the metrics listener holds at once: a scraper or two, and a hand with `curl`.
const METRICS_CONNECTIONS: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");

/// Serves until a signal has come and what was in flight is finished; `started` is told when connections are
/// taken.
pub async fn serve(
    at: Installation,
    config: &Config,
    started: impl FnOnce(&Installation, Addresses) -> Result<(), CommandError>,
) -> Result<End, CommandError> {
    // 1. Take both addresses before anything is promised.
    let http = bind(config.http.listen, "CALLVEIL_HTTP_LISTEN").await?;
    let metrics = bind(config.metrics_listen, "CALLVEIL_METRICS_LISTEN").await?;
    let kept = Kept::open(config)?;
    let telephone = Telephone::start(&at, config, kept.as_ref()).await?;
    let addresses = Addresses {
        http: address(&http)?,
        metrics: address(&metrics)?,
        sip: telephone.addresses(),
        sip_tls: telephone.tls_addresses(),
    };
    let mut signals = Signals::listen()?;
    allow_open_files(u64::from(config.http.connections.get()));

    // 2. Work.
    let mut figures = Registry::default();
    telephone.register(&mut figures);
    let state = api(&at, config, kept.as_ref(), Metrics::new(figures));
    let (phase, phases) = watch::channel(Phase::Running);
    let links = kept.as_ref().map(|kept| kept.recordings.links.clone());
    let webhooks = Webhooks::start(&at.node, &config.webhooks, links)?;
    let (_open, never) = watch::channel(Phase::Running);
    let limits = Limits { connections: config.http.connections, header_timeout: config.http.header_timeout };
    let few = Limits { connections: METRICS_CONNECTIONS, ..limits };
    let _workers = workers::start(&at, config);
    let mut answering =
        tokio::spawn(listener::serve(http, callveil_api::router(state.clone()), limits, phases));
    tokio::spawn(listener::serve(metrics, callveil_api::metrics_router(state.clone()), few, never));
    started(&at, addresses)?;

    // 3. Until the first signal.
    let signal = tokio::select! {
        signal = signals.next() => signal,
        _ = &mut answering => return Err(CommandError::new("serving", "the listener ended by a defect")),
    };
    tracing::info!(signal, "{signal}: finishing the requests in flight, and the calls");
    state.drain();
    telephone.drain();
    phase.send_replace(Phase::Leaving);
    let pause = config.http.drain_pause.length();
    let at_once = match pause {
        Some(pause) => timeout(pause, signals.next()).await.is_ok(),
        None => false,
    };
    phase.send_replace(Phase::Draining);

    // 4. Until all is finished, the second signal, or the time that was given.
    let finished = !at_once
        && tokio::select! {
            (answered, hung_up) = async {
                tokio::join!(
                    timeout(config.http.drain_timeout, &mut answering),
                    timeout(config.sip.drain_timeout, telephone.idle()),
                )
            } => answered.is_ok() && hung_up.is_ok(),
            _ = signals.next() => false,
        };
    telephone.stop().await;
    if finished {
        // What is owed still is sent after the next start.
        webhooks.stop().await;
        tracing::info!("all requests are finished, and all calls");
        Ok(End::Finished)
    } else {
        tracing::warn!("the requests and calls in flight are cut off");
        Ok(End::CutOff)
    }
}

fn api(at: &Installation, config: &Config, kept: Option<&Kept>, metrics: Metrics) -> ApiState {
    let limits = ApiConfig {
        body_limit: config.http.body_limit.get(),
        request_timeout: config.http.request_timeout,
        most_in_flight: config.http.requests.get(),
        recordings: kept.map(|kept| kept.recordings.clone()),
        records: config.media.records_nothing().is_none(),
    };
    ApiState::new(Arc::clone(&at.node), limits, metrics)
}

/// Files that are open beside connections: the database's, the listeners', standard input and output.
const OTHER_FILES: u64 = 128;

/// Asks the system for as many open files as there may be connections. With fewer, connections wait.
fn allow_open_files(connections: u64) {
    let wanted = connections + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.map_or(wanted, |most| most.min(wanted));
    if current.is_none_or(|now| now >= wanted) {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum }) {
        Ok(()) if allowed == wanted => {}
        Ok(()) | Err(_) => tracing::warn!(
            wanted,
            "the system allows fewer open files than http.connections asks for: raise it with `ulimit -n`"
        ),
    }
}

async fn bind(listen: Listen, variable: &str) -> Result<TcpListener, CommandError> {
    TcpListener::bind(listen.address()).await.map_err(|e| {
        CommandError::new(format!("listening on {listen}"), e)
            .fix(format!("stop what uses it, or name another with {variable}=ADDRESS:PORT"))
    })
}

fn address(socket: &TcpListener) -> Result<SocketAddr, CommandError> {
    socket.local_addr().map_err(|e| CommandError::new("listening", e))
}
