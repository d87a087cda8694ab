//! What holds for every request: its id, its limits, paths and methods there are not, and figures.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use callveil_api::{ApiConfig, metrics_router};
use serde_json::json;
use tower::ServiceExt;
use tracing_subscriber::filter::LevelFilter;

use crate::world::{World, order};

#[tokio::test]
async fn a_request_has_an_id_its_own_or_a_new_one() {
    let world = World::new().await;
    let id = async |sent: &str| {
        let reply = world.send_with("GET", "/settings", &[("x-request-id", sent)], "").await;
        reply.header("x-request-id").unwrap().to_owned()
    };

    assert_eq!(id("order-1001/attempt:2").await, "order-1001/attempt:2");
    for unfit in ["", "with space", "semi;colon", &"x".repeat(65)] {
        let new = id(unfit).await;
        assert_eq!((new.len(), &new[14..15]), (36, "7"), "{unfit:?}: a UUIDv7");
    }
    assert_ne!(id("").await, id("").await);
    assert!(world.ask(get("/nowhere")).await.header("x-request-id").is_some());
}

#[tokio::test]
async fn every_change_tells_the_audit_whose_key_asked_for_it_and_in_which_request() {
    let world = World::new().await;
    let endpoint = world.endpoint(json!({"url": "https://a.example/hook"})).await;
    let path = world.allocated().await;
    let event = world.get("/events").await.data()[0]["id"].as_str().unwrap().to_owned();
    world.give_up_deliveries().await;
    let changes = [
        ("POST", "/greenvn".to_owned(), order("order-2").to_string(), "allocation.created"),
        (
            "PUT",
            format!("{path}/call-party"),
            r#"{"aparty_numbers":["+919900000007"]}"#.to_owned(),
            "allocation.updated",
        ),
        ("PUT", format!("{path}/vn"), String::new(), "allocation.updated"),
        ("DELETE", path, String::new(), "allocation.released"),
        ("PUT", "/settings".to_owned(), r#"{"timezone":"UTC"}"#.to_owned(), "setting.set"),
        ("POST", format!("/events/{event}/replay"), String::new(), "event.replayed"),
        ("POST", "/endpoints".to_owned(), r#"{"url":"https://b.example"}"#.to_owned(), "endpoint.put"),
        ("PUT", format!("/endpoints/{endpoint}"), r#"{"masked":true}"#.to_owned(), "endpoint.put"),
        ("POST", format!("/endpoints/{endpoint}/rotate-secret"), String::new(), "endpoint.put"),
        ("DELETE", format!("/endpoints/{endpoint}"), String::new(), "endpoint.removed"),
    ];

    for (at, (method, path, body, _)) in changes.iter().enumerate() {
        let id = format!("r-{at}");
        let headers = [("x-request-id", id.as_str())];
        world.send_with(method, path, &headers, body.clone()).await.granted();
    }

    let entries = world.node.store().unsealed_audit(100).await.unwrap();
    let told = |at: usize| entries.iter().filter(move |e| e.request.as_deref() == Some(&format!("r-{at}")));
    for (at, (method, path, _, what)) in changes.iter().enumerate() {
        let told: Vec<_> = told(at).map(|entry| (entry.actor.as_str(), entry.what.as_str())).collect();
        assert_eq!(told, [("key:cvk_demo1", *what)], "{method} {path}");
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_told_in_the_envelope() {
    let world = World::new().await;
    for path in
        ["/", "/v1", "/v1/tenants/demo", "/v1/tenants/demo/greenpin", "/v2/tenants/demo/greenvn", "/metrics"]
    {
        world.ask(get(path)).await.refused(404, 5);
    }
    let patch = world.send("PATCH", "/greenvn", "").await;
    let allowed = patch.refused(405, 8).header("allow").unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    let post = world.send("POST", "/settings", "{}").await;
    assert!(post.refused(405, 8).header("allow").unwrap().contains("PUT"));
}

#[tokio::test]
async fn a_tenant_over_its_rate_is_told_when_to_come_again() {
    let world = World::new().await;
    world.set("requests_per_minute", "2").await;

    world.get("/settings").await.granted();
    world.get("/settings").await.granted();
    let reply = world.get("/settings").await;

    reply.refused(429, 17);
    assert_eq!(reply.header("retry-after"), Some("30"));
    assert_eq!(reply.header("ratelimit-policy"), Some("\"tenant\";q=2;w=60"));
    assert_eq!(reply.header("ratelimit"), Some("\"tenant\";r=0;t=30"));
    world.wait(Duration::from_secs(30));
    world.get("/settings").await.granted();
    world.get("/settings").await.refused(429, 17);
}

#[tokio::test]
async fn too_many_at_a_time_are_turned_away_at_once() {
    let world = World::with(ApiConfig { most_in_flight: 0, ..ApiConfig::default() }).await;
    let reply = world.post(order("order-1")).await;
    reply.refused(503, 0);
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(figures(&world).await.contains("callveil_http_shed_total 1"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let world = World::new().await;
    let _stopped = world.stop_writing();
    // Timers run out as soon as nothing else is left to do.
    tokio::time::pause();

    let reply = world.post(order("order-1")).await;

    reply.refused(503, 0);
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert!(reply.message().contains("connection_id"), "{}", reply.text);
}

#[tokio::test]
async fn figures_have_closed_labels_and_no_numbers() {
    let world = World::new().await;
    world.allocated().await;
    world.post(order("order-1")).await.refused(409, 18);
    world.ask(get("/nowhere/919900000001")).await;
    world.send("BREW919900000001", "/greenvn", "").await;

    let figures = figures(&world).await;

    for line in [
        r#"callveil_http_requests_total{method="POST",route="/v1/tenants/{sid}/greenvn",status="200"} 1"#,
        r#"callveil_http_requests_total{method="POST",route="/v1/tenants/{sid}/greenvn",status="409"} 1"#,
        r#"callveil_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"callveil_refusals_total{code="18"} 1"#,
        "callveil_allocations_active 1",
        r#"callveil_virtual_numbers{lending="open"} 5"#,
        r#"callveil_virtual_numbers{lending="draining"} 0"#,
        r#"callveil_http_request_seconds_count{route="/v1/tenants/{sid}/greenvn"} 3"#,
    ] {
        assert!(figures.contains(line), "{line}\n{figures}");
    }
    assert!(!figures.contains("9900000") && !figures.contains("9180000") && !figures.contains("demo"));
}

#[tokio::test]
async fn a_request_leaves_one_line_with_ids_and_no_secrets() {
    // For the whole process: other tests' threads would switch a line off that only this one listens to.
    let subscriber = tracing_subscriber::fmt().json().with_max_level(LevelFilter::TRACE);
    subscriber.with_writer(|| Log).init();
    let world = World::new().await;
    let mut wanted = order("a-name-of-the-client");
    wanted["aparty_pins"] = serde_json::json!([483_920]);
    Log::take();

    let id = [("x-request-id", "req-1")];
    world.send_with("POST", "/greenvn?number=919900000001", &id, wanted.to_string()).await.granted();

    let lines = Log::take();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    for told in ["req-1", "POST", "/v1/tenants/{sid}/greenvn", "\"status\":200", "micros", "answered 200"] {
        assert!(lines.contains(told), "{told} in {lines}");
    }
    world.post(wanted).await.refused(409, 18);
    world.ask(get("/v1/tenants/demo/greenvn?number=919900000001")).await.refused(401, 7);
    let lines = lines + &Log::take();
    assert!(lines.contains("\"code\":18"), "{lines}");
    for secret in ["99000000", "80000000", "483920", "a-name-of-the-client", "cvt_", "Basic"] {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }
}

#[tokio::test]
async fn the_description_and_its_page_come_from_here_alone() {
    let world = World::new().await;
    for (path, version) in [("/openapi.json", "3.1.0"), ("/openapi-3.0.json", "3.0.3")] {
        let reply = world.ask(get(path)).await;
        assert_eq!((reply.status, reply.json()["openapi"].as_str()), (200, Some(version)), "{path}");
    }
    let page = world.ask(get("/docs")).await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'self'") && policy.contains("connect-src 'self'"), "{policy}");
    assert!(!policy.contains("http"), "{policy}");
    assert!(!page.text.contains("//"), "{}", page.text);
    assert_eq!(world.ask(get("/docs/start.js")).await.status, 200);
    assert!(world.ask(get("/docs/scalar.js")).await.text.len() > 1_000_000);
}

thread_local! {
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What was logged on this thread.
struct Log;

impl Log {
    fn take() -> String {
        String::from_utf8(LOGGED.take()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.with_borrow_mut(|logged| logged.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn figures(world: &World) -> String {
    let router: Router = metrics_router(world.api.clone());
    let response = router.oneshot(get("/metrics")).await.unwrap();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}
