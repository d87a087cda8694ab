//! `GET /v1/tenants/{sid}/events`: lists events.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use callveil_domain::call::CallId;
use callveil_domain::event::{COME_TO_LIGHT, EventKind};
use callveil_domain::store::{EventQuery, Order};
use callveil_domain::tenant::Tenant as Known;
use utoipa::IntoParams;

use crate::ApiState;
use crate::envelope::{self, Page};
use crate::facts::WireEvent;
use crate::problem::Problem;
use crate::query::{Cursor, Filters};
use crate::tenant::Tenant;

/// What the query may have.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are documentation; the query is read into an EventQuery")]
pub(crate) struct EventParams {
    /// What happened at this moment or later, `2026-11-16T14:54:06` in the tenant's zone.
    #[param(required = false, example = "2026-11-16T14:54:06")]
    time_from: String,
    /// What happened at this moment or earlier.
    #[param(required = false, example = "2026-11-17T00:00:00")]
    time_to: String,
    /// Events of this type.
    #[param(required = false, example = "call.completed")]
    r#type: String,
    /// Events of this allocation and its calls.
    #[param(required = false, format = "uuid")]
    greenvn_id: String,
    /// Events of this call.
    #[param(required = false, format = "uuid")]
    call_sid: String,
    /// `newest` first, which is the default, or `oldest` first.
    #[param(required = false, pattern = "^(newest|oldest)$")]
    order: String,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: String,
    /// How many a page holds, 50 when left out.
    #[param(required = false, minimum = 1, maximum = 100)]
    page_size: i64,
}

/// List events
///
/// Lists what happened. An event is kept when an endpoint wants it, or when the setting `event_stream` is `"true"`, for
/// as long as the setting `events_kept` says. With `order=oldest` there is a `next_cursor` on every page that
/// holds anything, so that a reader can come back later for what has followed. There, events are told 20 seconds after
/// they happened, so that none comes to light behind the cursor.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/events",
    operation_id = "listEvents",
    tag = "Events",
    params(("sid" = String, Path, description = "Your tenant's SID"), EventParams),
    responses((status = 200, description = "A page of events", body = Page<WireEvent>)),
)]
pub(crate) async fn list(
    State(api): State<ApiState>,
    tenant: Tenant,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let mut wanted = read(&uri, &tenant)?;
    let (page_size, order) = (wanted.limit - 1, wanted.order);
    if order == Order::Oldest {
        wanted.to = wanted.to.min(api.node.now().minus(COME_TO_LIGHT));
    }
    let found = api.node.store().events(&tenant.sid, wanted).await?;

    let (page, more) = envelope::cut(&found, page_size);
    let next = page.last().filter(|_| more || order == Order::Oldest).map(|event| Cursor::Event(event.id));
    Ok(envelope::page(page.iter().map(|event| WireEvent::of(&api, event)).collect(), page_size, next))
}

/// One more than a page is asked for, which tells whether there is a next.
fn read(uri: &Uri, tenant: &Known) -> Result<EventQuery, Problem> {
    const KNOWN: &[&str] =
        &["time_from", "time_to", "type", "greenvn_id", "call_sid", "order", "cursor", "page_size"];
    let query = Filters::read(uri, KNOWN)?;
    let (from, to) = query.span(tenant.settings.time_zone)?;
    let order = |word: &str| match word {
        "oldest" => Some(Order::Oldest),
        "newest" => Some(Order::Newest),
        _ => None,
    };
    let past = |cursor| match cursor {
        Cursor::Event(id) => Some(id),
        Cursor::Call(_) | Cursor::Delivery(..) => None,
    };
    Ok(EventQuery {
        from,
        to,
        kind: query.parsed("type", EventKind::parse, "must be a type of event, such as call.completed")?,
        allocation: query.allocation()?,
        call: query.parsed("call_sid", CallId::parse, "must be a call's id")?,
        order: query.parsed("order", order, "must be newest or oldest")?.unwrap_or(Order::Newest),
        past: query.cursor(past)?,
        limit: query.page_size()? + 1,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use callveil_domain::event::COME_TO_LIGHT;
    use serde_json::{Value, json};

    use crate::world::{World, order};

    const SECOND: Duration = Duration::from_secs(1);

    /// An allocation that was made, called, and ended, with a minute between.
    async fn a_life() -> (World, String) {
        let world = World::new().await;
        world.set("event_stream", "true").await;
        let path = world.allocated().await;
        world.wait(Duration::from_secs(60));
        world.completed_call("order-1").await;
        world.wait(Duration::from_secs(60));
        world.delete(&path).await.granted();
        (world, path.trim_start_matches("/greenvn/").to_owned())
    }

    async fn types(world: &World, query: &str) -> Vec<Value> {
        let reply = world.get(&format!("/events?{query}")).await;
        let data = reply.granted().data();
        data.as_array().unwrap().iter().map(|event| event["type"].clone()).collect()
    }

    #[tokio::test]
    async fn events_are_found_by_what_is_known_of_them() {
        let (world, id) = a_life().await;
        let all =
            ["allocation.released", "call.completed", "call.answered", "call.started", "allocation.created"];
        assert_eq!(types(&world, "").await, all);
        world.wait(COME_TO_LIGHT + SECOND);
        let mut oldest = all;
        oldest.reverse();
        assert_eq!(types(&world, "order=oldest").await, oldest);
        assert_eq!(types(&world, &format!("greenvn_id={id}")).await, all);
        assert_eq!(types(&world, "type=call.completed").await, ["call.completed"]);
        assert_eq!(types(&world, "time_to=2026-11-23T17:30:00").await, all[4..]);
        assert_eq!(types(&world, "time_from=2026-11-23T17:31:50").await, all[..1]);
        let call = world.get("/calls").await.data()[0]["call_sid"].clone();
        assert_eq!(types(&world, &format!("call_sid={}", call.as_str().unwrap())).await, all[1..4]);
    }

    #[tokio::test]
    async fn a_reader_of_the_oldest_comes_back_for_what_followed() {
        let (world, _) = a_life().await;
        world.wait(COME_TO_LIGHT + SECOND);
        let mut cursor = String::new();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let page = world.get(&format!("/events?order=oldest&page_size=2{cursor}")).await;
            let page = page.granted().json();
            seen.extend(page["data"].as_array().unwrap().iter().map(|event| event["type"].clone()));
            cursor = format!("&cursor={}", page["metadata"]["next_cursor"].as_str().unwrap());
        }
        assert_eq!(seen.len(), 5);
        assert_eq!(types(&world, &format!("order=oldest{cursor}")).await, Vec::<Value>::new());

        world.wait(SECOND);
        world.post(order("order-2")).await.granted();
        // Another node may have decided something before, and keep it only now.
        assert_eq!(types(&world, &format!("order=oldest{cursor}")).await, Vec::<Value>::new());
        world.wait(COME_TO_LIGHT + SECOND);
        assert_eq!(types(&world, &format!("order=oldest{cursor}")).await, ["allocation.created"]);
    }

    #[tokio::test]
    async fn nothing_is_kept_that_nobody_wants() {
        let world = World::new().await;
        world.allocated().await;
        assert_eq!(types(&world, "").await, Vec::<Value>::new());
    }

    #[tokio::test]
    async fn a_filter_that_is_none_is_told() {
        let world = World::new().await;
        let check = async |query: &str, code| {
            let reply = world.get(&format!("/events?{query}")).await;
            assert_eq!((reply.status, reply.code()), (400, Some(code)), "{query}: {}", reply.text);
        };
        check("state=open", 2).await;
        check("type=call.lost", 5).await;
        check("order=up", 5).await;
        check("call_sid=1", 5).await;
        check("greenvn_id=1", 5).await;
        check("cursor=x", 5).await;
        check("page_size=101", 5).await;
        check("time_to=now", 23).await;
    }

    #[tokio::test]
    async fn an_event_tells_the_call_as_the_list_of_calls_does() {
        let (world, _) = a_life().await;
        let event = world.get("/events?type=call.completed").await.data()[0].clone();
        let call = world.get("/calls").await.data()[0].clone();
        assert_eq!(event["data"], call);
        assert_eq!((&event["tenant"], &event["timestamp"]), (&json!("demo"), &call["ended_at"]));
    }
}
