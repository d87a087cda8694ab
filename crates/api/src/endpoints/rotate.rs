//! `POST /v1/tenants/{sid}/endpoints/{endpoint_id}/rotate-secret`: makes a new secret for an endpoint.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::Effect;
use callveil_domain::endpoint;

use super::WireEndpoint;
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{self, Answer, Detail};
use crate::problem::Problem;
use crate::tenant::{OfEndpoint, Tenant};

/// Make a new secret
///
/// The answer has the new `secret`, which is told this once. Deliveries are signed with the one before as well for
/// another day. For an endpoint that is a setting, this is how it comes to be signed at all.
#[utoipa::path(
    post,
    path = "/v1/tenants/{sid}/endpoints/{endpoint_id}/rotate-secret",
    operation_id = "rotateEndpointSecret",
    tag = "Endpoints",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("endpoint_id" = String, Path, description = "The endpoint's id"),
        DryRun,
    ),
    responses((status = 200, description = "The endpoint, with its new secret", body = Answer<WireEndpoint>)),
)]
pub(crate) async fn rotate(
    State(api): State<ApiState>,
    tenant: Tenant,
    OfEndpoint(id): OfEndpoint,
    conditions: Conditions,
) -> Result<Response<Body>, Problem> {
    let mut rng = api.node.rng();
    let mut ctx = tenant.ctx(&api.node, &mut *rng, conditions.effect);
    let now = ctx.now;
    let rotated = match endpoint::rotate(&mut ctx, &tenant, &id).await {
        Ok(rotated) => rotated,
        Err(failure) => return Err(Problem::of(failure, Problem::of_endpoint)),
    };
    if conditions.effect == Effect::Keep {
        api.node.refresh().await?;
    }
    let detail = Detail { dry_run: conditions.effect == Effect::Try, ..Detail::default() };
    Ok(envelope::ok(envelope::body(WireEndpoint::with_secret(&rotated, now), detail)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn the_secret_before_is_good_for_a_day_more() {
        let world = World::new().await;
        let id = world.endpoint(json!({"url": "https://a.example/hook"})).await;
        let path = format!("/endpoints/{id}");

        let first = world.send("POST", &format!("{path}/rotate-secret"), "").await.granted().data();
        assert_eq!(first["old_secret_until"], json!("2026-11-24T12:00:00.000Z"));
        let second = world.send("POST", &format!("{path}/rotate-secret"), "").await.granted().data();
        assert_ne!(first["secret"], second["secret"]);

        world.wait(Duration::from_secs(86_400));
        assert_eq!(world.get(&path).await.data()["old_secret_until"], json!(null));
        world.send("POST", "/endpoints/ep_none/rotate-secret", "").await.refused(404, 1);
    }

    #[tokio::test]
    async fn a_setting_is_signed_once_a_secret_was_made_for_it() {
        let world = World::new().await;
        world.set("greencall_complete_event_endpoint", "https://a.example/calls").await;
        let path = "/endpoints/greencall_complete_event_endpoint";
        assert_eq!(world.get(path).await.data()["signed"], json!(false));

        let tried = world.send("POST", &format!("{path}/rotate-secret?dry_run=true"), "").await;
        assert!(tried.granted().data()["secret"].is_string());
        assert_eq!(world.get(path).await.data()["signed"], json!(false));
        world.send("POST", &format!("{path}/rotate-secret"), "").await.granted();

        let told = world.get(path).await.data();
        assert_eq!((&told["signed"], &told["url"]), (&json!(true), &json!("https://a.example/calls")));
    }
}
