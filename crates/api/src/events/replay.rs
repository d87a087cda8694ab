//! `POST /v1/tenants/{sid}/events/{event_id}/replay`: owes an event once more.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::Effect;
use callveil_domain::delivery;
use callveil_domain::endpoint::EndpointId;
use callveil_domain::tenant::Tenant as Known;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{self, Answer, Detail};
use crate::lenient::{self, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Kind, Problem};
use crate::tenant::{OfEvent, Tenant};

/// Where an event is to be sent once more. The body may be left out.
#[derive(Deserialize, ToSchema)]
#[schema(as = ReplayRequest)]
pub(crate) struct Request<'a> {
    /// To this endpoint alone; to all that want it when left out.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    endpoint_id: Sent<'a>,
}

/// What a replay comes to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Replayed {
    /// The event.
    #[schema(format = "uuid")]
    event_id: String,
    /// To how many endpoints it is owed again.
    #[schema(value_type = i64, minimum = 1)]
    endpoints: usize,
}

/// Send an event again
///
/// Owes an event once more, with the same id, to one endpoint or to all that want it, whether it was delivered there or
/// given up. What is owed still goes on as it was.
#[utoipa::path(
    post,
    path = "/v1/tenants/{sid}/events/{event_id}/replay",
    operation_id = "replayEvent",
    tag = "Events",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("event_id" = String, Path, description = "The event's id"),
        DryRun,
    ),
    request_body(content = Option<Request>, description = "Where to"),
    responses((status = 200, description = "It is owed again", body = Answer<Replayed>)),
)]
pub(crate) async fn replay(
    State(api): State<ApiState>,
    tenant: Tenant,
    OfEvent(id): OfEvent,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let only = read(&tenant, &body)?;
    let mut rng = api.node.rng();
    let ctx = tenant.ctx(&api.node, &mut *rng, conditions.effect);
    let endpoints = match delivery::replay(&ctx, &tenant, id, only.as_ref()).await {
        Ok(endpoints) => endpoints,
        Err(failure) => return Err(Problem::of(failure, Problem::of_replay)),
    };
    let detail = Detail { dry_run: conditions.effect == Effect::Try, ..Detail::default() };
    Ok(envelope::ok(envelope::body(Replayed { event_id: id.to_string(), endpoints }, detail)))
}

fn read(tenant: &Known, body: &[u8]) -> Result<Option<EndpointId>, Problem> {
    let sent: Request<'_> = lenient::read(body)?;
    let mut faults = Faults::default();
    let only = faults.optional("endpoint_id", &sent.endpoint_id, &lenient::endpoint_id);
    if let Some(only) = &only
        && !tenant.endpoints.iter().any(|endpoint| endpoint.id == *only)
    {
        faults.push(Kind::Bad, "endpoint_id", "is none of your endpoints");
    }
    if faults.is_empty() { Ok(only) } else { Err(faults.into_problem()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn an_event_is_owed_again_under_its_id() {
        let world = World::new().await;
        let first = world.endpoint(json!({"url": "https://a.example/hook"})).await;
        world.endpoint(json!({"url": "https://b.example/hook", "events": ["call.completed"]})).await;
        world.allocated().await;
        let event = world.get("/events").await.data()[0]["id"].as_str().unwrap().to_owned();
        world.give_up_deliveries().await;
        let state = async || world.get("/deliveries").await.data()[0]["state"].clone();
        assert_eq!(state().await, json!("dead"));

        let tried = world.send("POST", &format!("/events/{event}/replay?dry_run=true"), "").await;
        assert_eq!(tried.granted().data(), json!({"event_id": event, "endpoints": 1}));
        assert_eq!(state().await, json!("dead"));
        let body = json!({"endpoint_id": first}).to_string();
        let done = world.send("POST", &format!("/events/{event}/replay"), body).await;
        assert_eq!(done.granted().data(), json!({"event_id": event, "endpoints": 1}));

        let deliveries = world.get("/deliveries").await.data();
        assert_eq!(deliveries.as_array().unwrap().len(), 1);
        assert_eq!((&deliveries[0]["state"], &deliveries[0]["attempts"]), (&json!("pending"), &json!(0)));
        assert_eq!(deliveries[0]["event_id"], json!(event));
    }

    #[tokio::test]
    async fn an_event_that_nobody_wants_is_not_sent() {
        let world = World::new().await;
        world.set("event_stream", "true").await;
        let endpoint = world.endpoint(json!({"url": "https://a.example/hook", "events": "number.low"})).await;
        world.allocated().await;
        let event = world.get("/events").await.data()[0]["id"].as_str().unwrap().to_owned();
        let path = format!("/events/{event}/replay");

        world.send("POST", &path, "").await.refused(409, 8);
        world.send("POST", &path, json!({"endpoint_id": endpoint}).to_string()).await.refused(409, 8);
        world.send("POST", &path, r#"{"endpoint_id":"ep_none"}"#).await.refused(400, 5);
        world.send("POST", &path, "[]").await.refused(400, 5);
        let nobodys = "/events/019ab1c2-0000-7000-8000-000000000000/replay";
        world.send("POST", nobodys, "").await.refused(404, 1);
    }
}
