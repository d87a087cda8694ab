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
        let mut ctx = api.node.ctx(&mut *rng, effect);
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
