//! `GET /v1/tenants/{sid}/events/{event_id}`: tells of one event.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use crate::ApiState;
use crate::envelope::{self, Answer, Detail};
use crate::facts::WireEvent;
use crate::problem::{Kind, Problem};
use crate::tenant::{OfEvent, Tenant};

/// Read an event
///
/// Tells of one event in the words in which endpoints of the dialect `standard` are told of it.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/events/{event_id}",
    operation_id = "readEvent",
    tag = "Events",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("event_id" = String, Path, description = "The event's id"),
    ),
    responses((status = 200, description = "The event", body = Answer<WireEvent>)),
)]
pub(crate) async fn read(
    State(api): State<ApiState>,
    tenant: Tenant,
    OfEvent(id): OfEvent,
) -> Result<Response<Body>, Problem> {
    let event = api.node.store().event(&tenant.sid, id).await?.ok_or(Kind::NoSuchEvent)?;
    Ok(envelope::ok(envelope::body(WireEvent::of(&api, &event), Detail::default())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn an_event_is_read_by_its_id() {
        let world = World::new().await;
        world.set("event_stream", "true").await;
        world.allocated().await;
        let mut listed = world.get("/events").await.data()[0].clone();

        let read = world.get(&format!("/events/{}", listed["id"].as_str().unwrap())).await;

        assert_eq!(read.granted().data(), listed);
        listed["id"] = json!("[id]");
        listed["data"]["greenvn_id"] = json!("[id]");
        insta::assert_json_snapshot!(listed, @r#"
        {
          "data": {
            "a": {
              "numbers": [
                "+919900000001"
              ],
              "pins": []
            },
            "b": {
              "numbers": [
                "+919900000002"
              ],
              "pins": []
            },
            "connection_id": "order-1",
            "created_at": "2026-11-23T12:00:00.000Z",
            "ends_at": "2027-05-12T12:00:00.000Z",
            "greenvn": "+918000000004",
            "greenvn_id": "[id]",
            "state": "active",
            "usage": "twoway"
          },
          "id": "[id]",
          "sequence": 1,
          "tenant": "demo",
          "timestamp": "2026-11-23T12:00:00.000Z",
          "type": "allocation.created"
        }
        "#);
        for id in ["1", "019ab1c2-0000-7000-8000-000000000000", "%00"] {
            world.get(&format!("/events/{id}")).await.refused(404, 1);
        }
    }
}
