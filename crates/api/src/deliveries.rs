//! `GET /v1/tenants/{sid}/deliveries`: lists which event is owed to which endpoint, or was.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use callveil_domain::delivery::{Delivery, DeliveryState};
use callveil_domain::endpoint::EndpointId;
use callveil_domain::event::{EventId, EventKind};
use callveil_domain::store::DeliveryQuery;
use callveil_domain::tenant::Tenant as Known;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::ApiState;
use crate::envelope::{self, Page};
use crate::facts::Moment;
use crate::problem::Problem;
use crate::query::{Cursor, Filters};
use crate::tenant::Tenant;

/// What the query may have.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "its fields are documentation; the query is read into a DeliveryQuery")]
pub(crate) struct DeliveryParams {
    /// Of what happened at this moment or later, `2026-11-16T14:54:06` in the tenant's zone.
    #[param(required = false, example = "2026-11-16T14:54:06")]
    time_from: String,
    /// Of what happened at this moment or earlier.
    #[param(required = false, example = "2026-11-17T00:00:00")]
    time_to: String,
    /// Of events of this type.
    #[param(required = false, example = "call.completed")]
    r#type: String,
    /// To this endpoint.
    #[param(required = false)]
    endpoint_id: String,
    /// Of this event.
    #[param(required = false, format = "uuid")]
    event_id: String,
    /// `pending`, `delivered` or `dead`.
    #[param(required = false, pattern = "^(pending|delivered|dead)$")]
    state: String,
    /// `next_cursor` of the page before.
    #[param(required = false)]
    cursor: String,
    /// How many a page holds, 50 when left out.
    #[param(required = false, minimum = 1, maximum = 100)]
    page_size: i64,
}

/// An event that is owed to an endpoint, or was.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct WireDelivery<'d> {
    /// The event.
    #[schema(format = "uuid")]
    event_id: String,
    /// The endpoint.
    #[schema(value_type = String)]
    endpoint_id: &'d str,
    /// What kind of event it is.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "call.completed")]
    kind: &'static str,
    /// `pending`: it is owed. `delivered`: it was taken. `dead`: it was given up, and can be replayed.
    #[schema(value_type = String)]
    state: &'static str,
    /// The tries that were made.
    #[schema(value_type = i64, minimum = 0)]
    attempts: u32,
    /// When it is tried next; null when it is settled.
    #[schema(required = true)]
    next_attempt_at: Option<Moment>,
    /// When it was settled; null while it is owed.
    #[schema(required = true)]
    settled_at: Option<Moment>,
    /// The HTTP status that the last try was answered with.
    #[schema(value_type = Option<i32>, required = true)]
    last_status: Option<u16>,
    /// What was wrong with the last try.
    #[schema(value_type = Option<String>, required = true)]
    last_error: Option<&'d str>,
}

impl<'d> WireDelivery<'d> {
    fn of(delivery: &'d Delivery) -> WireDelivery<'d> {
        let Delivery { key, line: _, sequence: _, kind, state, attempts, due_at, status, why } = delivery;
        let (next_attempt_at, settled_at) = match state {
            DeliveryState::Pending => (Some(Moment(*due_at)), None),
            DeliveryState::Delivered | DeliveryState::Dead => (None, Some(Moment(*due_at))),
        };
        WireDelivery {
            event_id: key.event.to_string(),
            endpoint_id: key.endpoint.as_str(),
            kind: kind.name(),
            state: state.word(),
            attempts: *attempts,
            next_attempt_at,
            settled_at,
            last_status: *status,
            last_error: why.as_deref(),
        }
    }
}

/// List deliveries
///
/// Lists which events are owed to which endpoints, or were, those of the newest events first. What was given up has
/// the state `dead`.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/deliveries",
    operation_id = "listDeliveries",
    tag = "Events",
    params(("sid" = String, Path, description = "Your tenant's SID"), DeliveryParams),
    responses((status = 200, description = "A page of deliveries", body = Page<WireDelivery>)),
)]
pub(crate) async fn list(
    State(api): State<ApiState>,
    tenant: Tenant,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let wanted = read(&uri, &tenant)?;
    let page_size = wanted.limit - 1;
    let found = api.node.store().deliveries(&tenant.sid, wanted).await?;

    let (page, more) = envelope::cut(&found, page_size);
    let place = |delivery: &Delivery| Cursor::Delivery(delivery.key.event, delivery.key.endpoint.clone());
    let next = page.last().filter(|_| more).map(place);
    Ok(envelope::page(page.iter().map(WireDelivery::of).collect(), page_size, next))
}

/// One more than a page is asked for, which tells whether there is a next.
fn read(uri: &Uri, tenant: &Known) -> Result<DeliveryQuery, Problem> {
    const KNOWN: &[&str] =
        &["time_from", "time_to", "type", "endpoint_id", "event_id", "state", "cursor", "page_size"];
    let query = Filters::read(uri, KNOWN)?;
    let (from, to) = query.span(tenant.settings.time_zone)?;
    let before = |cursor| match cursor {
        Cursor::Delivery(event, endpoint) => Some((event, endpoint)),
        Cursor::Call(_) | Cursor::Event(_) => None,
    };
    Ok(DeliveryQuery {
        from,
        to,
        kind: query.parsed("type", EventKind::parse, "must be a type of event, such as call.completed")?,
        endpoint: query.parsed("endpoint_id", EndpointId::parse, "must be an endpoint's id")?,
        event: query.parsed("event_id", EventId::parse, "must be an event's id")?,
        state: query.parsed("state", DeliveryState::parse, "must be pending, delivered or dead")?,
        before: query.cursor(before)?,
        limit: query.page_size()? + 1,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::world::{World, order};

    /// Two endpoints; what the first allocation owes was given up, and what the second one owes is owed still.
    async fn owed() -> (World, [String; 2]) {
        let world = World::new().await;
        let mut endpoints = [
            world.endpoint(json!({"url": "https://a.example/hook"})).await,
            world.endpoint(json!({"url": "https://b.example/hook"})).await,
        ];
        endpoints.sort();
        world.allocated().await;
        world.give_up_deliveries().await;
        world.wait(Duration::from_secs(60));
        let mut second = order("order-2");
        second["aparty_numbers"] = json!(["+919900000003"]);
        world.post(second).await.granted();
        (world, endpoints)
    }

    async fn found(world: &World, query: &str) -> Vec<Value> {
        let reply = world.get(&format!("/deliveries?{query}")).await;
        reply.granted().data().as_array().unwrap().clone()
    }

    #[tokio::test]
    async fn deliveries_are_found_by_what_is_known_of_them() {
        let (world, [first, second]) = owed().await;
        let all = found(&world, "").await;
        let places: Vec<_> = all.iter().map(|d| (d["state"].clone(), d["endpoint_id"].clone())).collect();
        let place = |state: &str, endpoint: &String| (json!(state), json!(endpoint));
        let expected = [
            place("pending", &second),
            place("pending", &first),
            place("dead", &second),
            place("dead", &first),
        ];
        assert_eq!(places, expected);
        assert_eq!(all[0]["settled_at"], json!(null));
        assert_eq!((&all[2]["next_attempt_at"], &all[2]["last_status"]), (&json!(null), &json!(500)));

        assert_eq!(found(&world, "state=dead").await, all[2..]);
        assert_eq!(found(&world, "state=delivered").await, Vec::<Value>::new());
        assert_eq!(found(&world, &format!("endpoint_id={first}")).await, [all[1].clone(), all[3].clone()]);
        let event = all[2]["event_id"].as_str().unwrap();
        assert_eq!(found(&world, &format!("event_id={event}")).await, all[2..]);
        assert_eq!(found(&world, "type=allocation.created").await, all);
        assert_eq!(found(&world, "type=call.completed").await, Vec::<Value>::new());
        assert_eq!(found(&world, "time_from=2026-11-23T17:30:30").await, all[..2]);
        assert_eq!(found(&world, "time_to=2026-11-23T17:30:00").await, all[2..]);
    }

    #[tokio::test]
    async fn pages_follow_one_another_without_a_gap() {
        let (world, _) = owed().await;
        let first = world.get("/deliveries?page_size=3").await;
        let first = first.granted().json();
        let cursor = first["metadata"]["next_cursor"].as_str().unwrap();
        let second = world.get(&format!("/deliveries?page_size=3&cursor={cursor}")).await;
        let second = second.granted().json();

        assert_eq!(second["metadata"], json!({"page_size": 3, "count": 1, "next_cursor": null}));
        let mut pages = first["data"].as_array().unwrap().clone();
        pages.extend(second["data"].as_array().unwrap().clone());
        assert_eq!(found(&world, "").await, pages);
    }

    #[tokio::test]
    async fn a_filter_that_is_none_is_told() {
        let world = World::new().await;
        let check = async |query: &str, code| {
            let reply = world.get(&format!("/deliveries?{query}")).await;
            assert_eq!((reply.status, reply.code()), (400, Some(code)), "{query}: {}", reply.text);
        };
        check("number=1", 2).await;
        check("state=lost", 5).await;
        check("type=x", 5).await;
        check("endpoint_id=%20", 5).await;
        check("event_id=1", 5).await;
        check("cursor=YwcHBwcHBwcHBwcHBwcHBwc", 5).await;
    }
}
