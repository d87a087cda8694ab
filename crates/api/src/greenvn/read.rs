//! `GET /v1/tenants/{sid}/greenvn/{greenvn_id}`: tells of one allocation.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::Effect;
use callveil_domain::allocation::find;

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
    let mut rng = api.node.rng();
    let ctx = api.node.ctx(&mut *rng, Effect::Keep);
    let allocation = find::by_id(&ctx, &tenant, id).await?.ok_or(Kind::NotFound)?;
    Ok(Telling::of(&ctx, Vec::new()).answer(&allocation, &[]))
}
