//! The description of the API and the page to read and try it on, all from this program.
//!
//! The page's content security policy lets it reach nothing else: what its settings ask for, the browser enforces.

use std::sync::LazyLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response};
use axum::routing::get;
use scalar_api_reference::get_asset;

use crate::{ApiState, openapi};

/// The page needs styles that its script writes; scripts come from here only.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const PAGE: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <title>callveil: API reference</title>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
  </head>
  <body>
    <div id="app"></div>
    <script src="/docs/scalar.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
"#;

const START: &str = r"Scalar.createApiReference('#app', {
  url: '/openapi.json',
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: 'never',
})
";

/// The descriptions and the page.
pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/openapi.json", get(openapi_3_1))
        .route("/openapi-3.0.json", get(openapi_3_0))
        .route("/docs", get(page))
        .route("/docs/scalar.js", get(scalar))
        .route("/docs/start.js", get(start))
}

async fn openapi_3_1() -> Response<Body> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        serde_json::to_vec(&openapi::document()).expect("law: a description is plain data").into()
    });
    file("application/json", TEXT.clone())
}

async fn openapi_3_0() -> Response<Body> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| openapi::document_3_0().to_string().into());
    file("application/json", TEXT.clone())
}

async fn page() -> Response<Body> {
    let mut response = file("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes()));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

async fn scalar() -> Response<Body> {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| get_asset("scalar.js").unwrap_or_default().into());
    file("text/javascript", TEXT.clone())
}

async fn start() -> Response<Body> {
    file("text/javascript", Bytes::from_static(START.as_bytes()))
}

fn file(kind: &'static str, content: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
