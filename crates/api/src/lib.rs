//! HTTP in: the LeadAssist GreenVN API, what happened (calls, events, deliveries), refusals, and a description of it
//! all (OpenAPI).
//!
//! - An operation is a file: `greenvn/create.rs`, `calls/list.rs`, `settings.rs`. Each has what is sent, how it is
//!   read, what is done, and its tests.
//! - [`facts`] is how calls and events stand in JSON, [`query`] how lists are asked for.
//! - [`problem`] is the only place that knows a refusal's status and code; [`lenient`] the only one that takes
//!   what the contract's text would not.
//! - [`tenant::Tenant`] is the permission: a handler that takes one serves a caller who has proven to be it.
//! - [`around`] stands around every request: its id, its time, its place among those in flight, its closing line.
//!
//! There is no rule of masking here, and no listener: `callveil-domain` decides, the server binds.

mod around;
mod calls;
mod conditions;
mod credentials;
mod deliveries;
mod docs;
mod endpoints;
mod envelope;
mod events;
mod facts;
mod greenvn;
mod health;
mod idempotency;
mod lenient;
mod limits;
mod metrics;
mod openapi;
mod opinion;
mod problem;
mod query;
mod recordings;
mod settings;
mod tenant;
mod times;
#[cfg(test)]
#[expect(dead_code, reason = "the tests in `tests/it` use the rest of it")]
mod world;

// The made world of the tests is the same here and in `tests/it`, where this crate has its own name.
#[cfg(test)]
extern crate self as callveil_api;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use callveil_domain::node::Node;
use tower_http::catch_panic::CatchPanicLayer;

pub use credentials::{Credentials, hash_token, new_credentials};
pub use metrics::{Metrics, metrics_router};
pub use openapi::{document, document_3_0};
pub use recordings::Recordings;
pub use tenant::Peer;

/// What an operator may choose of the HTTP side.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// The longest body in bytes. Raising it makes room for nothing that the API takes; lowering it under a
    /// kibibyte refuses honest requests.
    pub body_limit: usize,
    /// How long a request may take, from its head to its answer.
    pub request_timeout: Duration,
    /// How many requests may be under way at a time; more are answered 503 at once rather than kept waiting.
    pub most_in_flight: usize,
    /// Recordings that links lead to, if any are kept here.
    pub recordings: Option<Recordings>,
    /// Whether calls can be recorded here.
    pub records: bool,
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            body_limit: 64 * 1024,
            request_timeout: Duration::from_secs(30),
            most_in_flight: 4096,
            recordings: None,
            records: true,
        }
    }
}

/// What all requests share. Clones are the same state.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

/// See [`ApiState`].
pub struct Shared {
    node: Arc<Node>,
    config: ApiConfig,
    metrics: Metrics,
    rates: limits::Rates,
    in_flight: limits::InFlight,
    readiness: health::Readiness,
}

impl ApiState {
    /// The state of an API for this node.
    pub fn new(node: Arc<Node>, config: ApiConfig, metrics: Metrics) -> ApiState {
        let in_flight = limits::InFlight::new(config.most_in_flight);
        ApiState(Arc::new(Shared {
            node,
            config,
            metrics,
            rates: limits::Rates::default(),
            in_flight,
            readiness: health::Readiness::default(),
        }))
    }

    /// From here on `/ready` says no, so that a load balancer sends its requests elsewhere. Requests are answered
    /// still.
    pub fn drain(&self) {
        self.readiness.drain();
    }
}

impl Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The whole API. Whoever serves it adds the listener, its header time-out and the graceful end.
pub fn router(state: ApiState) -> Router {
    let (operations, _) = openapi::operations().split_for_parts();
    let routes = Router::new()
        .merge(operations)
        .merge(docs::routes())
        .route("/live", get(health::live))
        .route("/ready", get(health::ready))
        .route("/recordings/{name}", get(recordings::get))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::method_not_allowed);
    surround(routes, &state).with_state(state)
}

/// What stands around every request of the API, around other routes: what these cost more is the API's own work.
pub fn surround<S: Clone + Send + Sync + 'static>(routes: Router<S>, state: &ApiState) -> Router<S> {
    routes
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn_with_state(state.clone(), around::around))
}
