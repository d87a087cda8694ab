//! Figures for Prometheus, on a listener of their own.
//!
//! Every label is of a closed set; none can hold a telephone number, and none names a tenant.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response};
use axum::routing::get;
use callveil_domain::virtual_number::Lending;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::ApiState;
use crate::problem::Kind;

/// The figures of the HTTP side, and the registry that all of the program's figures stand in.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Answered, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    refusals: Family<Code, Counter>,
    store_errors: Counter,
    shed: Counter,
    in_flight: Gauge,
    allocations: Gauge,
    nodes: Gauge,
    numbers: Family<Pooled, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Pooled {
    lending: &'static str,
}

/// One answered request, as it is counted.
pub(crate) struct Seen {
    pub method: &'static str,
    pub route: &'static str,
    pub status: u16,
    pub refused: Option<Kind>,
    pub took: Duration,
}

impl Metrics {
    /// Figures of the HTTP side in a registry that may have others already.
    pub fn new(mut registry: Registry) -> Metrics {
        let requests = Family::default();
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        let refusals = Family::default();
        let (store_errors, shed) = (Counter::default(), Counter::default());
        let (in_flight, allocations, nodes) = (Gauge::default(), Gauge::default(), Gauge::default());
        let numbers = Family::default();
        registry.register("callveil_http_requests", "Requests answered", requests.clone());
        registry.register("callveil_http_request_seconds", "Time to the answer", durations.clone());
        registry.register(
            "callveil_refusals",
            "Requests refused, by the code of the refusal",
            refusals.clone(),
        );
        registry.register(
            "callveil_store_errors",
            "Requests that the store could not serve",
            store_errors.clone(),
        );
        registry.register(
            "callveil_http_shed",
            "Requests refused because too many were under way",
            shed.clone(),
        );
        registry.register("callveil_http_in_flight", "Requests under way", in_flight.clone());
        registry.register("callveil_allocations_active", "Allocations that are lent", allocations.clone());
        registry.register("callveil_nodes", "Nodes that live, this one among them", nodes.clone());
        registry.register("callveil_virtual_numbers", "Virtual numbers in all pools", numbers.clone());
        Metrics {
            registry: Arc::new(registry),
            requests,
            durations,
            refusals,
            store_errors,
            shed,
            in_flight,
            allocations,
            nodes,
            numbers,
        }
    }

    /// Counts an answered request.
    pub(crate) fn saw(&self, seen: &Seen) {
        let Seen { method, route, status, refused, took } = *seen;
        self.requests.get_or_create(&Answered { method, route, status }).inc();
        self.durations.get_or_create(&Route { route }).observe(took.as_secs_f64());
        let Some(kind) = refused else { return };
        self.refusals.get_or_create(&Code { code: kind.code() }).inc();
        if kind == Kind::Shed {
            self.shed.inc();
        }
        if matches!(kind, Kind::Busy | Kind::StoreUnavailable) {
            self.store_errors.inc();
        }
    }

    /// Looks up what is only known at the moment of asking.
    fn look(&self, api: &ApiState) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let directory = api.node.directory();
        let pooled = || directory.tenants().flat_map(|tenant| tenant.pool.numbers());
        let standing = |lending| pooled().filter(|p| p.number.state == lending).count();
        self.nodes.set(whole(api.node.nodes()));
        self.in_flight.set(whole(api.in_flight.count()));
        self.allocations.set(pooled().map(|p| i64::from(p.load.get())).sum());
        for (lending, name) in [(Lending::Open, "open"), (Lending::Draining, "draining")] {
            self.numbers.get_or_create(&Pooled { lending: name }).set(whole(standing(lending)));
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new(Registry::default())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// From half a millisecond, under which a durable write is not seen, to the time-out.
fn buckets() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

/// A method as a label.
pub(crate) fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// A route as a label.
pub(crate) fn route(matched: Option<&str>) -> &'static str {
    const KNOWN: [&str; 22] = [
        "/v1/tenants/{sid}/greenvn",
        "/v1/tenants/{sid}/greenvn/{greenvn_id}",
        "/v1/tenants/{sid}/greenvn/{greenvn_id}/call-party",
        "/v1/tenants/{sid}/greenvn/{greenvn_id}/vn",
        "/v1/tenants/{sid}/settings",
        "/v1/tenants/{sid}/calls",
        "/v1/tenants/{sid}/calls/{call_sid}",
        "/v1/Accounts/{sid}/Calls/{call_sid}",
        "/v1/tenants/{sid}/events",
        "/v1/tenants/{sid}/events/{event_id}",
        "/v1/tenants/{sid}/events/{event_id}/replay",
        "/v1/tenants/{sid}/deliveries",
        "/v1/tenants/{sid}/endpoints",
        "/v1/tenants/{sid}/endpoints/{endpoint_id}",
        "/v1/tenants/{sid}/endpoints/{endpoint_id}/rotate-secret",
        "/openapi.json",
        "/openapi-3.0.json",
        "/docs",
        "/docs/scalar.js",
        "/docs/start.js",
        "/live",
        "/ready",
    ];
    KNOWN.into_iter().find(|known| matched == Some(*known)).unwrap_or("none")
}

/// `/metrics`, for a listener that only the operator reaches.
pub fn metrics_router(state: ApiState) -> Router {
    Router::new().route("/metrics", get(tell)).with_state(state)
}

async fn tell(State(api): State<ApiState>) -> Response<Body> {
    api.metrics.look(&api);
    let mut text = String::new();
    encode(&mut text, &api.metrics.registry).expect("law: writing to a string does not fail");
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_label_of_its_own() {
        for path in crate::document().paths.paths.keys() {
            assert_eq!(route(Some(path)), path, "add it to metrics::route");
        }
        assert_eq!(route(None), "none");
    }
}
