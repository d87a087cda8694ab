//! Every operation of the description refuses whoever has not proven to be its tenant, and says nothing more.

use axum::body::Body;
use axum::http::Request;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};

use crate::world::{DEMO, OTHER, Reply, World, basic, key_id, token};

/// Every operation there is: method, path, and the body with which its tenant is let in.
const OPERATIONS: [(&str, &str, &str); 21] = [
    ("POST", "/v1/tenants/{sid}/greenvn", NEW),
    ("GET", "/v1/tenants/{sid}/greenvn", ""),
    ("GET", "/v1/tenants/{sid}/greenvn/{greenvn_id}", ""),
    ("PUT", "/v1/tenants/{sid}/greenvn/{greenvn_id}/call-party", PARTIES),
    ("PUT", "/v1/tenants/{sid}/greenvn/{greenvn_id}/vn", ""),
    ("GET", "/v1/tenants/{sid}/settings", ""),
    ("PUT", "/v1/tenants/{sid}/settings", "{}"),
    ("GET", "/v1/tenants/{sid}/calls", ""),
    ("GET", "/v1/tenants/{sid}/calls/{call_sid}", ""),
    ("GET", "/v1/Accounts/{sid}/Calls/{call_sid}", ""),
    ("GET", "/v1/tenants/{sid}/events", ""),
    ("GET", "/v1/tenants/{sid}/events/{event_id}", ""),
    ("POST", "/v1/tenants/{sid}/events/{event_id}/replay", ""),
    ("GET", "/v1/tenants/{sid}/deliveries", ""),
    ("GET", "/v1/tenants/{sid}/endpoints", ""),
    ("POST", "/v1/tenants/{sid}/endpoints", r#"{"url":"https://b.example/hook"}"#),
    ("GET", "/v1/tenants/{sid}/endpoints/{endpoint_id}", ""),
    ("PUT", "/v1/tenants/{sid}/endpoints/{endpoint_id}", r#"{"masked":true}"#),
    ("POST", "/v1/tenants/{sid}/endpoints/{endpoint_id}/rotate-secret", ""),
    ("DELETE", "/v1/tenants/{sid}/endpoints/{endpoint_id}", ""),
    ("DELETE", "/v1/tenants/{sid}/greenvn/{greenvn_id}", ""),
];

const NEW: &str = r#"{"connection_id":"order-2","aparty_numbers":["+919900000005"],
    "bparty_numbers":["+919900000006"],"usage":"twoway"}"#;
const PARTIES: &str = r#"{"aparty_numbers":["+919900000007"]}"#;

/// A number that is in the world, and that no stranger may be told.
const SECRET: &str = "919900000001";

/// The ids of one of each thing that a tenant has.
struct Things {
    allocation: String,
    call: String,
    event: String,
    endpoint: String,
}

impl Things {
    async fn of(world: &World) -> Things {
        let endpoint = world.endpoint(json!({"url": "https://a.example/hook"})).await;
        let path = world.allocated().await;
        let call = world.completed_call("order-1").await.id.to_string();
        let event = world.get("/events").await.data()[0]["id"].as_str().unwrap().to_owned();
        let allocation = path.trim_start_matches("/greenvn/").to_owned();
        Things { allocation, call, event, endpoint }
    }

    fn nobodys() -> Things {
        let id = "019ab1c2-0000-7000-8000-000000000000".to_owned();
        Things { allocation: id.clone(), call: id.clone(), event: id, endpoint: "ep_none".to_owned() }
    }

    /// The path of an operation on them.
    fn at(&self, template: &str, sid: &str) -> String {
        let Things { allocation, call, event, endpoint } = self;
        template
            .replace("{sid}", sid)
            .replace("{greenvn_id}", allocation)
            .replace("{call_sid}", call)
            .replace("{event_id}", event)
            .replace("{endpoint_id}", endpoint)
    }
}

#[test]
fn every_operation_of_the_description_is_on_the_list() {
    let description = serde_json::to_value(callveil_api::document()).unwrap();
    let mut described = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|m| (m.to_uppercase(), path.clone())));
    }
    let mut listed: Vec<_> = OPERATIONS.iter().map(|(m, p, _)| ((*m).to_owned(), (*p).to_owned())).collect();
    listed.sort();
    described.sort();
    assert_eq!(listed, described, "add the operation to OPERATIONS, so that strangers are tried on it");
}

#[tokio::test]
async fn without_good_credentials_nothing_is_told() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    world.add_key(DEMO, "2").await;
    world.revoke_key(DEMO, "2").await;
    let before = world.everything().await;
    let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let good = format!("{}:{}", key_id(DEMO, "1"), token(DEMO, "1"));
    let strangers = [
        None,
        Some(String::new()),
        Some("Basic".to_owned()),
        Some("Basic ".to_owned()),
        Some("Basic !!!".to_owned()),
        Some(format!("Bearer {}", token(DEMO, "1"))),
        Some(good.clone()),
        Some(encoded("")),
        Some(encoded(":")),
        Some(encoded(&key_id(DEMO, "1"))),
        Some(encoded(&format!("{}:", key_id(DEMO, "1")))),
        Some(encoded(&format!("{}:{}", key_id(DEMO, "1"), token(OTHER, "1")))),
        Some(encoded(&format!("{}:{} ", key_id(DEMO, "1"), token(DEMO, "1")))),
        Some(encoded(&format!("{DEMO}:{}", token(OTHER, "1")))),
        Some(encoded(&format!("nobody:{}", token(DEMO, "1")))),
        Some(format!("Basic {}", STANDARD.encode(b"\xff\xfe:\xff"))),
        Some(basic(DEMO, "2")),
    ];

    for stranger in &strangers {
        for (method, template, body) in OPERATIONS {
            let reply = ask(&world, method, &things.at(template, DEMO), stranger.as_deref(), body).await;
            assert_eq!((reply.status, reply.code()), (401, Some(7)), "{method} {template} as {stranger:?}");
            assert!(reply.header("www-authenticate").unwrap().starts_with("Basic"), "{method} {template}");
            assert!(!reply.text.contains(SECRET));
        }
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn another_tenants_path_is_closed_whether_or_not_that_tenant_exists() {
    let world = World::new().await;
    let things = Things::of(&world).await;
    let before = world.everything().await;

    for (method, template, body) in OPERATIONS {
        let there = ask(&world, method, &things.at(template, DEMO), Some(&basic(OTHER, "1")), body).await;
        let nowhere = ask(&world, method, &things.at(template, "none"), Some(&basic(OTHER, "1")), body).await;
        there.refused(403, 8);
        assert_eq!((there.status, there.text), (nowhere.status, nowhere.text), "{method} {template}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn what_another_tenant_has_is_as_if_it_had_never_been() {
    let world = World::new().await;
    let theirs = Things::of(&world).await;
    let nobodys = Things::nobodys();
    let before = world.everything().await;

    let mut tried = 0;
    for (method, template, body) in OPERATIONS {
        if nobodys.at(template, "{sid}") == template {
            continue;
        }
        let there = ask(&world, method, &theirs.at(template, OTHER), Some(&basic(OTHER, "1")), body).await;
        let nowhere = ask(&world, method, &nobodys.at(template, OTHER), Some(&basic(OTHER, "1")), body).await;
        there.refused(404, 1);
        assert_eq!(there.text, nowhere.text, "{method} {template}");
        tried += 1;
    }
    assert_eq!(tried, 12);
    for look_up in [
        "greenvn?number=%2B919900000001",
        "calls?number=%2B919900000001",
        "calls",
        "events",
        "deliveries",
        "endpoints",
    ] {
        let path = format!("/v1/tenants/other/{look_up}");
        let found = ask(&world, "GET", &path, Some(&basic(OTHER, "1")), "").await;
        assert_eq!(found.granted().data(), json!([]), "{look_up}");
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn the_tenant_itself_is_let_in_however_its_header_is_written() {
    let plain = format!("{}:{}", key_id(DEMO, "1"), token(DEMO, "1"));
    let by_sid = format!("{DEMO}:{}", token(DEMO, "1"));
    for header in [
        format!("Basic {}", STANDARD.encode(&plain)),
        format!("Basic{}", STANDARD.encode(&plain)),
        format!("basic {}", STANDARD_NO_PAD.encode(&plain)),
        format!("BASIC   {}", STANDARD.encode(&by_sid)),
        format!("Basic{}", STANDARD_NO_PAD.encode(&by_sid)),
    ] {
        let world = World::new().await;
        let things = Things::of(&world).await;
        for (method, template, body) in OPERATIONS {
            let mut path = things.at(template, DEMO);
            if (method, template) == ("GET", "/v1/tenants/{sid}/greenvn") {
                path.push_str("?time_from=2026-01-01T00:00:00");
            }
            let reply = ask(&world, method, &path, Some(&header), body).await;
            assert_eq!(reply.status, 200, "{method} {template} with {header}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn two_keys_are_live_side_by_side_and_a_revoked_one_is_not() {
    let world = World::new().await;
    world.add_key(DEMO, "2").await;
    let settings = async |header: String| {
        ask(&world, "GET", "/v1/tenants/demo/settings", Some(&header), "").await.status
    };
    let by_sid = |name: &str| format!("Basic {}", STANDARD.encode(format!("{DEMO}:{}", token(DEMO, name))));

    for name in ["1", "2"] {
        assert_eq!((settings(basic(DEMO, name)).await, settings(by_sid(name)).await), (200, 200), "{name}");
    }
    world.revoke_key(DEMO, "1").await;
    assert_eq!((settings(basic(DEMO, "1")).await, settings(by_sid("1")).await), (401, 401));
    assert_eq!((settings(basic(DEMO, "2")).await, settings(by_sid("2")).await), (200, 200));
}

#[tokio::test]
async fn a_stranger_is_refused_before_anything_it_sent_is_looked_at() {
    let world = World::new().await;
    let huge = Body::from(vec![b'['; 1_000_000]);
    let request =
        Request::builder().method("POST").uri("/v1/tenants/demo/greenvn?dry_run=perhaps").body(huge);
    let reply = world.ask(request.unwrap()).await;
    assert_eq!(reply.refused(401, 7).json()["detail"], Value::Null);
}

async fn ask(world: &World, method: &str, path: &str, header: Option<&str>, body: &'static str) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(header) = header {
        request = request.header(AUTHORIZATION, header);
    }
    world.ask(request.body(Body::from(body)).unwrap()).await
}
