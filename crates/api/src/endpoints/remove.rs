//! `DELETE /v1/tenants/{sid}/endpoints/{endpoint_id}`: ends an endpoint.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::Effect;
use callveil_domain::endpoint;

use super::WireEndpoint;
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{self, Answer, Detail};
use crate::problem::{Kind, Problem};
use crate::tenant::{OfEndpoint, Tenant};

/// End an endpoint
///
/// What is owed there is given up. An endpoint that is a setting is ended by clearing the setting.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{sid}/endpoints/{endpoint_id}",
    operation_id = "removeEndpoint",
    tag = "Endpoints",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("endpoint_id" = String, Path, description = "The endpoint's id"),
        DryRun,
    ),
    responses((status = 200, description = "The endpoint as it was", body = Answer<WireEndpoint>)),
)]
pub(crate) async fn remove(
    State(api): State<ApiState>,
    tenant: Tenant,
    OfEndpoint(id): OfEndpoint,
    conditions: Conditions,
) -> Result<Response<Body>, Problem> {
    let known = tenant.endpoints.iter().find(|endpoint| endpoint.id == id).ok_or(Kind::NoSuchEndpoint)?;
    let mut rng = api.node.rng();
    let ctx = tenant.ctx(&api.node, &mut *rng, conditions.effect);
    if let Err(failure) = endpoint::remove(&ctx, &tenant, &id).await {
        return Err(Problem::of(failure, Problem::of_endpoint));
    }
    if conditions.effect == Effect::Keep {
        api.node.refresh().await?;
    }
    let detail = Detail { dry_run: conditions.effect == Effect::Try, ..Detail::default() };
    Ok(envelope::ok(envelope::body(WireEndpoint::of(known, api.node.now()), detail)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn an_endpoint_ends_and_what_is_owed_there_is_given_up() {
        let world = World::new().await;
        let id = world.endpoint(json!({"url": "https://a.example/hook"})).await;
        world.allocated().await;
        let path = format!("/endpoints/{id}");

        world.delete(&format!("{path}?dry_run=true")).await.granted();
        let told = world.get(&path).await.granted().data();
        assert_eq!(world.delete(&path).await.granted().data(), told);

        world.delete(&path).await.refused(404, 1);
        assert_eq!(world.get("/endpoints").await.data(), json!([]));
        assert_eq!(world.get("/deliveries").await.data()[0]["state"], json!("dead"));
    }

    #[tokio::test]
    async fn a_setting_is_not_ended_here() {
        let world = World::new().await;
        world.set("verified_caller_event_endpoint", "https://a.example/callers").await;
        world.delete("/endpoints/verified_caller_event_endpoint").await.refused(409, 8);
        world.delete("/endpoints/failed_verification_event_endpoint").await.refused(404, 1);
    }
}
