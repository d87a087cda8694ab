//! Our signatures before the reference library of Standard Webhooks, as a receiver would use it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use callveil_domain::time::Timestamp;
use callveil_webhooks::client::Message;
use callveil_webhooks::resolve::Resolver;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use standardwebhooks::{Webhook, WebhookError};

use crate::attempts::{client, guard};
use crate::sink::{OK, Request, Sink};

const OLD: &[u8] = b"the secret that is going out of use";
const NEW: &[u8] = b"the secret that comes into use..";

/// The library reads the clock itself, so this test has to.
#[expect(clippy::disallowed_methods, reason = "the verifier compares with the wall clock")]
fn now() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

async fn received(secrets: &[&[u8]], at: Timestamp) -> Request {
    let sink = Sink::start(|_| OK).await;
    let body = Bytes::from_static(br#"{"type":"call.completed","data":{"n":1}}"#);
    let message = Message { url: &sink.url(), id: "0199-event", body, secrets };
    client(Resolver::of_the_system().unwrap(), guard()).post(&message, at).await;
    sink.requests().remove(0)
}

fn verify(request: &Request, secret: &[u8]) -> Result<(), WebhookError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    Webhook::new(&format!("whsec_{}", STANDARD.encode(secret)))
        .unwrap()
        .verify(request.body.as_bytes(), &headers)
}

#[tokio::test]
async fn a_message_is_accepted_as_it_came_and_in_no_other_form() {
    let request = received(&[NEW], now()).await;
    assert!(verify(&request, NEW).is_ok());
    assert!(matches!(verify(&request, OLD), Err(WebhookError::InvalidSignature)));

    for at in 0..request.body.len() {
        let mut altered = request.clone();
        let mut bytes = altered.body.into_bytes();
        bytes[at] ^= 1;
        altered.body = String::from_utf8(bytes).unwrap();
        assert!(matches!(verify(&altered, NEW), Err(WebhookError::InvalidSignature)), "byte {at}");
    }
    let mut renamed = request.clone();
    renamed.headers.insert("webhook-id".to_owned(), "0199-other".to_owned());
    assert!(matches!(verify(&renamed, NEW), Err(WebhookError::InvalidSignature)));
}

#[tokio::test]
async fn a_message_that_was_kept_and_sent_again_is_refused() {
    let kept = received(&[NEW], now().minus(Duration::from_secs(360))).await;
    assert!(matches!(verify(&kept, NEW), Err(WebhookError::TimestampTooOldError)));

    let mut redated = kept;
    redated.headers.insert("webhook-timestamp".to_owned(), (now().as_micros() / 1_000_000).to_string());
    assert!(matches!(verify(&redated, NEW), Err(WebhookError::InvalidSignature)));
}

#[tokio::test]
async fn while_a_secret_is_rotated_both_are_good() {
    let rotated = received(&[NEW, OLD], now()).await;
    assert!(verify(&rotated, OLD).is_ok());
    assert!(verify(&rotated, NEW).is_ok());

    let afterwards = received(&[NEW], now()).await;
    assert!(verify(&afterwards, OLD).is_err());
}
