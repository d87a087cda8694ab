//! What stands around every request: its id, its place among those under way, its time, its figures and its
//! closing line.
//!
//! Lines and figures carry ids and words of ours; never a body, a query, a number, a pin or a connection id.

use std::fmt;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Response};
use axum::middleware::Next;
use axum::response::IntoResponse;
use callveil_domain::node::Node;
use tracing::Instrument;

use crate::ApiState;
use crate::metrics::{self, Seen};
use crate::problem::{Kind, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, for whoever handles it.
#[derive(Clone)]
pub(crate) struct RequestId(HeaderValue);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

/// Lets a request through, and accounts for it.
pub(crate) async fn around(State(api): State<ApiState>, mut request: Request, next: Next) -> Response<Body> {
    let began = api.node.now();
    let id = request_id(&request, &api.node);
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = metrics::method(request.method());
    let route = metrics::route(request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
    let span = tracing::info_span!("request", request.id = id.to_str().unwrap_or_default());

    let mut response = answer(&api, request, next).instrument(span.clone()).await;
    let took = api.node.now().since(began);
    let refused = response.extensions().get::<Kind>().copied();
    let status = response.status().as_u16();
    api.metrics.saw(&Seen { method, route, status, refused, took });
    span.in_scope(|| {
        let code = refused.map(Kind::code);
        tracing::info!(method, route, status, code, micros = took.as_micros() as u64, "answered {status}");
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn answer(api: &ApiState, request: Request, next: Next) -> Response<Body> {
    let Some(_place) = api.in_flight.enter() else { return Problem::from(Kind::Shed).into_response() };
    match tokio::time::timeout(api.config.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::from(Kind::TimedOut).into_response(),
    }
}

/// The client's own id of the request where it is short and harmless, otherwise a new UUIDv7.
fn request_id(request: &Request, node: &Node) -> HeaderValue {
    let safe =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    let fits = |id: &&HeaderValue| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(safe);
    match request.headers().get(REQUEST_ID).filter(fits) {
        Some(id) => id.clone(),
        None => {
            let mut random = [0; 10];
            node.rng().fill_bytes(&mut random);
            let id = uuid::Builder::from_unix_timestamp_millis(node.now().as_millis(), &random).into_uuid();
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            let text: &str = id.hyphenated().encode_lower(&mut text);
            HeaderValue::from_str(text).expect("law: hex digits and hyphens may stand in a header")
        }
    }
}
