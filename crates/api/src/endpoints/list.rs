//! `GET /v1/tenants/{sid}/endpoints`: lists the endpoints.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use super::WireEndpoint;
use crate::ApiState;
use crate::envelope::{self, Answer, Detail};
use crate::problem::Problem;
use crate::tenant::Tenant;

/// List endpoints
///
/// Lists the tenant's endpoints, and with them the settings of LeadAssist that have a URL.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/endpoints",
    operation_id = "listEndpoints",
    tag = "Endpoints",
    params(("sid" = String, Path, description = "Your tenant's SID")),
    responses((status = 200, description = "The endpoints", body = Answer<Vec<WireEndpoint>>)),
)]
pub(crate) async fn list(State(api): State<ApiState>, tenant: Tenant) -> Result<Response<Body>, Problem> {
    let now = api.node.now();
    let endpoints: Vec<_> = tenant.endpoints.iter().map(|e| WireEndpoint::of(e, now)).collect();
    Ok(envelope::ok(envelope::body(endpoints, Detail::default())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn a_setting_with_a_url_is_an_endpoint() {
        let world = World::new().await;
        assert_eq!(world.get("/endpoints").await.granted().data(), json!([]));
        world.set("greencall_complete_event_endpoint", "https://a.example/calls").await;

        let endpoints = world.get("/endpoints").await;

        insta::assert_json_snapshot!(endpoints.granted().data(), @r#"
        [
          {
            "created_at": null,
            "dialect": "leadassist",
            "disabled_at": null,
            "disabled_because": null,
            "enabled": true,
            "endpoint_id": "greencall_complete_event_endpoint",
            "events": [
              "call.completed"
            ],
            "masked": false,
            "old_secret_until": null,
            "signed": false,
            "url": "https://a.example/calls"
          }
        ]
        "#);
    }
}
