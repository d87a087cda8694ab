//! `/live` and `/ready`, on a store that writes and on one that does not.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;

use crate::world::{Reply, World};

#[tokio::test]
async fn a_node_that_writes_is_ready() {
    let world = World::new().await;
    assert_eq!(ask(&world, "/live").await.text, r#"{"live":true}"#);
    let reply = ask(&world, "/ready").await;
    assert_eq!((reply.status, reply.text.as_str()), (200, r#"{"ready":true,"failing":[]}"#));
}

#[tokio::test]
async fn a_node_that_cannot_write_says_so_within_a_second() {
    let world = World::new().await;
    assert_eq!(ask(&world, "/ready").await.status, 200);
    let stopped = world.stop_writing();
    assert_eq!(ask(&world, "/ready").await.status, 200, "the last probe is fresh still");
    world.wait(Duration::from_secs(1));
    // Timers run out as soon as nothing else is left to do.
    tokio::time::pause();

    let reply = ask(&world, "/ready").await;

    assert_eq!(reply.status, 503);
    assert_eq!(reply.text, r#"{"ready":false,"failing":["the store does not answer in time"]}"#);
    assert_eq!(ask(&world, "/live").await.status, 200);
    tokio::time::resume();
    drop(stopped);
    world.wait(Duration::from_secs(1));
    assert_eq!(ask(&world, "/ready").await.status, 200);
}

#[tokio::test]
async fn a_node_that_shuts_down_answers_requests_and_asks_for_no_more() {
    let world = World::new().await;
    world.api.drain();
    let reply = ask(&world, "/ready").await;
    assert_eq!((reply.status, reply.text.contains("shutting down")), (503, true));
    world.get("/settings").await.granted();
}

async fn ask(world: &World, path: &str) -> Reply {
    world.ask(Request::get(path).body(Body::empty()).unwrap()).await
}
