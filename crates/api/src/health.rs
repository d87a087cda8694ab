//! `/live` and `/ready`: whether the program runs, and whether it should be sent requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::node::Node;
use callveil_domain::store::{Change, Outcome, StoreError};
use callveil_domain::time::Timestamp;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::problem::Kind;
use crate::{ApiState, envelope};

/// How old the last probe may be. Shorter writes more often for the sake of probing; longer sends requests for
/// longer to a node that cannot answer them.
const FRESH: Duration = Duration::from_secs(1);

/// How long a probe may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the node's fitness.
#[derive(Default)]
pub(crate) struct Readiness {
    draining: AtomicBool,
    last: Mutex<Option<(Timestamp, Option<&'static str>)>>,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    /// What fails, in words.
    failing: Vec<&'static str>,
}

impl Readiness {
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    async fn failing(&self, node: &Node) -> Vec<&'static str> {
        let mut failing = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            failing.push("the node is shutting down");
        }
        failing.extend(self.probed(node).await);
        failing
    }

    /// What the last probe found; a new one when that is old. Those who ask meanwhile wait for the same probe.
    async fn probed(&self, node: &Node) -> Option<&'static str> {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = *last
            && node.now().since(at) < FRESH
        {
            return found;
        }
        let found = probe(node).await;
        *last = Some((node.now(), found));
        found
    }
}

/// Writes durably, and says what is wrong when that does not work.
async fn probe(node: &Node) -> Option<&'static str> {
    match tokio::time::timeout(PATIENCE, node.store().apply(Change::at(node.now()))).await {
        Ok(Ok(Outcome::Applied | Outcome::Refused(_))) => None,
        Ok(Err(StoreError::Busy)) => Some("the store has too much waiting"),
        Ok(Err(StoreError::Unavailable(_))) => Some("the store cannot be written to"),
        Ok(Err(StoreError::Corrupt(_))) => Some("the store is damaged"),
        Err(_) => Some("the store does not answer in time"),
    }
}

/// Answers as long as requests are answered at all.
pub(crate) async fn live() -> Response<Body> {
    envelope::ok(br#"{"live":true}"#.to_vec())
}

/// Answers whether requests should be sent here.
pub(crate) async fn ready(State(api): State<ApiState>) -> Response<Body> {
    let failing = api.readiness.failing(&api.node).await;
    let ready = failing.is_empty();
    let status = if ready { envelope::OK } else { Kind::StoreUnavailable.status() };
    envelope::respond(status, envelope::write(&Ready { ready, failing }))
}
