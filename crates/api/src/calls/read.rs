//! `GET /v1/tenants/{sid}/calls/{call_sid}`: tells of one call.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use crate::ApiState;
use crate::envelope::{self, Answer, Detail};
use crate::facts::Call;
use crate::problem::{Kind, Problem};
use crate::tenant::{CallSid, Tenant};

/// Read a call
///
/// Tells of a call while it lasts and afterwards, for as long as it is kept (the setting `calls_kept`).
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/calls/{call_sid}",
    operation_id = "readCall",
    tag = "Calls",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("call_sid" = String, Path, description = "The call's id"),
    ),
    responses((status = 200, description = "The call", body = Answer<Call>)),
)]
pub(crate) async fn read(
    State(api): State<ApiState>,
    tenant: Tenant,
    CallSid(id): CallSid,
) -> Result<Response<Body>, Problem> {
    let call = api.node.store().call(&tenant.sid, id).await?.ok_or(Kind::NoSuchCall)?;
    Ok(envelope::ok_at(call.version, envelope::body(Call::of(&api, &call), Detail::default())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn a_call_is_told_while_it_lasts_and_afterwards() {
        let world = World::new().await;
        world.allocated().await;
        let call = world.call(Some(919_900_000_001), Some("order-1")).await;
        let open = world.get(&format!("/calls/{}", call.id)).await;
        assert_eq!(open.granted().data()["ended_at"], json!(null));

        let call = world.completed_call("order-1").await;
        let ended = world.get(&format!("/calls/{}", call.id)).await;
        let mut data = ended.granted().data();
        data["call_sid"] = json!("[id]");
        data["greenvn_id"] = json!("[id]");
        insta::assert_json_snapshot!(data, @r#"
        {
          "answered_at": "2026-11-23T12:00:05.000Z",
          "call_sid": "[id]",
          "connection_id": "order-1",
          "end": "completed",
          "ended_at": "2026-11-23T12:00:32.000Z",
          "ended_by": "caller",
          "from": "+919900000001",
          "greenvn": "+918000000004",
          "greenvn_id": "[id]",
          "joined_by_pin": false,
          "legs": [
            {
              "answered_at": "2026-11-23T12:00:05.000Z",
              "dialled_at": "2026-11-23T12:00:00.000Z",
              "end": "completed",
              "ended_at": "2026-11-23T12:00:32.000Z",
              "number": "+919900000002",
              "rang_at": "2026-11-23T12:00:01.000Z"
            }
          ],
          "recording_url": null,
          "side": "a",
          "started_at": "2026-11-23T12:00:00.000Z",
          "talk_ms": 27000,
          "to": "+919900000002"
        }
        "#);
    }

    #[tokio::test]
    async fn what_is_no_call_of_the_tenants_is_none() {
        let world = World::new().await;
        for id in ["1", "019ab1c2-0000-7000-8000-000000000000", "%00"] {
            world.get(&format!("/calls/{id}")).await.refused(404, 1);
        }
    }
}
