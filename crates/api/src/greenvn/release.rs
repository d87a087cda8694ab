//! `DELETE /v1/tenants/{sid}/greenvn/{greenvn_id}`: ends an allocation.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::allocation::{Allocation, release};
use callveil_domain::receipt::Warning;

use super::{GreenVn, Telling};
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::Answer;
use crate::idempotency;
use crate::limits::Body;
use crate::problem::Problem;
use crate::tenant::{Id, Tenant};

/// End an allocation
///
/// Its numbers and pins stay in the vault for the setting `deletion_time`; its connection id is free at once. Calls
/// in progress go on.
#[utoipa::path(
    delete,
    path = "/v1/tenants/{sid}/greenvn/{greenvn_id}",
    operation_id = "releaseGreenVn",
    tag = "GreenVN",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("greenvn_id" = String, Path, description = "The allocation's id"),
        DryRun,
    ),
    responses((status = 200, description = "The allocation, in the vault", body = Answer<GreenVn>)),
)]
pub(crate) async fn release(
    State(api): State<ApiState>,
    tenant: Tenant,
    Id(id): Id,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let Conditions { effect, version, key } = conditions;
    let once = key.map(|key| key.with(&body));
    let act = async {
        let mut rng = api.node.rng();
        let mut ctx = tenant.ctx(&api.node, &mut *rng, effect);
        let telling = Telling::of(&ctx, Vec::new());
        let tell = |allocation: &Allocation, warnings: &[Warning]| telling.body(allocation, warnings);
        let receipt = once.as_ref().map(|once| once.receipt(&tell));
        match release::release(&mut ctx, &tenant, id, version, receipt).await {
            Ok(allocation) => Ok(telling.answer(&allocation, &[])),
            Err(failure) => Err(Problem::of(failure, Problem::of_release)),
        }
    };
    idempotency::once(&api, &tenant, once.as_ref(), act).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn an_allocation_ends_once() {
        let world = World::new().await;
        let path = world.allocated().await;

        let ended = world.delete(&path).await;
        assert_eq!(ended.granted().data()["state"], json!("vault"));

        world.delete(&path).await.refused(410, 22);
        world.put(&format!("{path}/vn"), json!({})).await.refused(410, 22);
        let update = json!({"aparty_numbers": ["+919900000009"]});
        world.put(&format!("{path}/call-party"), update).await.refused(410, 22);
        world.delete("/greenvn/019ab1c2-0000-7000-8000-000000000000").await.refused(404, 1);
    }

    #[tokio::test]
    async fn only_the_version_that_was_seen_is_ended() {
        let world = World::new().await;
        let path = world.allocated().await;
        let delete = async |tag: &str| world.send_with("DELETE", &path, &[("if-match", tag)], "").await;

        for other in ["\"2\"", "W/\"1\"", "\"x\"", "1", ""] {
            let reply = delete(other).await;
            reply.refused(412, 5);
            assert_eq!(reply.header("etag"), Some("\"1\""), "{other}");
        }
        delete("\"1\", \"2\"").await.refused(400, 5);
        delete("\"1\"").await.granted();
    }

    #[tokio::test]
    async fn a_repeat_with_the_same_key_is_no_second_end() {
        let world = World::new().await;
        let path = world.allocated().await;
        let key = [("idempotency-key", "k-1")];

        let tried = world.delete(&format!("{path}?dry_run=true")).await;
        assert_eq!(tried.granted().data()["state"], json!("vault"));
        let first = world.send_with("DELETE", &path, &key, "").await;
        let again = world.send_with("DELETE", &path, &key, "").await;

        assert_eq!(first.granted().text, again.granted().text);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
}
