//! What is made of every way in which a receiver may answer, or not.

use std::time::Duration;

use bytes::Bytes;
use callveil_domain::time::Timestamp;
use callveil_webhooks::client::{Answer, Client, Message, Patience, Silence};
use callveil_webhooks::guard::{Forbidden, Guard};
use callveil_webhooks::resolve::Resolver;
use tokio::net::TcpListener;

use crate::sink::{OK, Reply, Sink};

/// Loopback stands for the network that an operator allows.
pub fn guard() -> Guard {
    Guard { allow: vec!["127.0.0.0/8".parse().unwrap()], allow_http: true }
}

pub fn client(resolver: Resolver, guard: Guard) -> Client {
    Client::new(guard, resolver, Patience::default()).unwrap()
}

fn impatient(total: Duration) -> Client {
    let patience = Patience { total, ..Patience::default() };
    Client::new(guard(), Resolver::of_the_system().unwrap(), patience).unwrap()
}

pub fn message(url: &str) -> Message<'_> {
    Message { url, id: "msg_1", body: Bytes::from_static(b"{\"a\":1}"), secrets: &[b"secret"] }
}

pub const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

async fn answer_to(reply: Reply, total: Duration) -> Answer {
    let sink = Sink::start(move |_| reply.clone()).await;
    impatient(total).post(&message(&sink.url()), NOW).await
}

fn status(status: u16, retry_after: Option<u64>) -> Answer {
    let status = status.try_into().unwrap();
    Answer::Status { status, retry_after: retry_after.map(Duration::from_secs) }
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn every_answer_is_told_by_its_status_alone() {
    let retry = vec![("retry-after", "120".to_owned())];
    let elsewhere = vec![("location", "http://127.0.0.1:1/".to_owned())];
    for (reply, expected) in [
        (OK, status(200, None)),
        (Reply::Status(204, vec![]), status(204, None)),
        (Reply::Status(500, vec![]), status(500, None)),
        (Reply::Status(429, retry), status(429, Some(120))),
        (Reply::Status(302, elsewhere), status(302, None)),
        (Reply::Status(410, vec![]), status(410, None)),
        (Reply::Endless, status(200, None)),
    ] {
        let told = format!("{reply:?}");
        assert_eq!(answer_to(reply, LONG).await, expected, "{told}");
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_up() {
    for (reply, total, expected) in [
        (Reply::Hang, SHORT, Silence::TooLong),
        (Reply::Drip, SHORT, Silence::TooLong),
        (Reply::Close, LONG, Silence::Broken),
        (Reply::Babble, LONG, Silence::Broken),
    ] {
        let told = format!("{reply:?}");
        assert_eq!(answer_to(reply, total).await, Answer::Nothing(expected), "{told}");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_no_connection() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = impatient(LONG).post(&message(&format!("http://{gone}/")), NOW).await;
    assert_eq!(answer, Answer::Nothing(Silence::Connection));
}

#[tokio::test]
async fn a_receiver_without_tls_gets_nothing_over_https() {
    let sink = Sink::start(|_| OK).await;
    let url = format!("https://{}/hook", sink.address);
    assert_eq!(impatient(LONG).post(&message(&url), NOW).await, Answer::Nothing(Silence::Tls));
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Sink::start(|_| OK).await;
    let to = other.url();
    let sink = Sink::start(move |_| Reply::Status(307, vec![("location", to.clone())])).await;

    assert_eq!(impatient(LONG).post(&message(&sink.url()), NOW).await, status(307, None));

    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_message_arrives_as_it_was_made_on_one_connection() {
    let sink = Sink::start(|_| OK).await;
    let client = impatient(LONG);
    for _ in 0..3 {
        assert_eq!(client.post(&message(&sink.url()), NOW).await, status(200, None));
    }

    let requests = sink.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(sink.connections(), 1);
    assert!(requests.iter().all(|request| request == &requests[0]));
    let text: Vec<String> =
        requests[0].headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let whole = format!("{}\n{}\n\n{}", requests[0].line, text.join("\n"), requests[0].body)
        .replace(&sink.address.to_string(), "HOST")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(whole, @r#"
    POST /hook HTTP/1.1
    content-length: 7
    content-type: application/json
    host: HOST
    user-agent: callveil/VERSION
    webhook-id: msg_1
    webhook-signature: v1,b6f/QTqXJN0uuTcdVuJSAVTsaQphkQBPt8331bseMNA=
    webhook-timestamp: 1790000000

    {"a":1}
    "#);
}

#[tokio::test]
async fn what_the_guard_refuses_is_not_tried() {
    let sink = Sink::start(|_| OK).await;
    let closed =
        Client::new(Guard::default(), Resolver::of_the_system().unwrap(), Patience::default()).unwrap();
    let answer = closed.post(&message(&sink.url()), NOW).await;
    assert_eq!(answer, Answer::Nothing(Silence::Forbidden(Forbidden::Scheme)));
    let closed = Client::new(
        Guard { allow_http: true, ..Guard::default() },
        Resolver::of_the_system().unwrap(),
        Patience::default(),
    )
    .unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}/", sink.address.port());
        let answer = closed.post(&message(&url), NOW).await;
        assert_eq!(answer, Answer::Nothing(Silence::Forbidden(Forbidden::Address)), "{host}");
    }
    assert_eq!(sink.connections(), 0);
}
