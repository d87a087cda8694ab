//! `GET /v1/tenants/{sid}/greenvn/{greenvn_id}`: tells of one allocation.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;

use super::{GreenVn, Telling};
use crate::ApiState;
use crate::envelope::Answer;
use crate::problem::{Kind, Problem};
use crate::tenant::{Id, Tenant};

/// Read an allocation
///
/// Tells of an allocation, also after it has ended, for as long as it is kept.
#[utoipa::path(
    get,
    path = "/v1/tenants/{sid}/greenvn/{greenvn_id}",
    operation_id = "readGreenVn",
    tag = "GreenVN",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("greenvn_id" = String, Path, description = "The allocation's id"),
    ),
    responses((status = 200, description = "The allocation", body = Answer<GreenVn>)),
)]
pub(crate) async fn read(
    State(api): State<ApiState>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Response<Body>, Problem> {
    let allocation = api.node.store().allocation(&tenant.sid, id).await?.ok_or(Kind::NotFound)?;
    Ok(Telling::at(api.node.now()).answer(&allocation, &[]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn an_allocation_is_read_before_and_after_its_end() {
        let world = World::new().await;
        let path = world.allocated().await;

        let active = world.get(&path).await;
        assert_eq!(active.granted().data()["state"], json!("active"));
        assert_eq!(active.header("etag"), Some("\"1\""));

        world.delete(&path).await.granted();
        let ended = world.get(&path).await;
        assert_eq!(ended.granted().data()["state"], json!("vault"));
        assert_eq!(ended.header("etag"), Some("\"2\""));
    }

    #[tokio::test]
    async fn what_is_no_id_of_ours_names_nothing() {
        let world = World::new().await;
        for id in ["123456", "019ab1c2-0000-7000-8000-000000000000", "%00", "x%2Fy", "..."] {
            world.get(&format!("/greenvn/{id}")).await.refused(404, 1);
        }
    }
}
