//! `GET /v1/tenants/{sid}/endpoints/{endpoint_id}`: tells of one endpoint.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use super::WireEndpoint;
use crate::ApiState;
use crate::envelope::{self, Answer, Detail};
use crate::problem::{Kind, Problem};
use crate::tenant::{OfEndpoint, Tenant};

/// Read an endpoint
///
/// Tells of one endpoint. Its secret is told by nobody after it was made.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/endpoints/{endpoint_id}",
    operation_id = "readEndpoint",
    tag = "Endpoints",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("endpoint_id" = String, Path, description = "The endpoint's id"),
    ),
    responses((status = 200, description = "The endpoint", body = Answer<WireEndpoint>)),
)]
pub(crate) async fn read(
    State(api): State<ApiState>,
    tenant: Tenant,
    OfEndpoint(id): OfEndpoint,
) -> Result<Response<Body>, Problem> {
    let endpoint = tenant.endpoints.iter().find(|endpoint| endpoint.id == id).ok_or(Kind::NoSuchEndpoint)?;
    let endpoint = WireEndpoint::of(endpoint, api.node.now());
    Ok(envelope::ok(envelope::body(endpoint, Detail::default())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn an_endpoint_is_told_without_its_secret() {
        let world = World::new().await;
        let id = world.endpoint(json!({"url": "https://a.example/hook"})).await;

        let read = world.get(&format!("/endpoints/{id}")).await;

        assert_eq!(read.granted().data(), world.get("/endpoints").await.data()[0]);
        assert_eq!((&read.data()["signed"], read.data().get("secret")), (&json!(true), None));
        assert!(!read.text.contains("whsec_"));
        world.get("/endpoints/ep_none").await.refused(404, 1);
        world.get("/endpoints/%00").await.refused(404, 1);
    }
}
