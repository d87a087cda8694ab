//! `PUT /v1/tenants/{sid}/greenvn/{greenvn_id}/vn`: moves an allocation to another virtual number.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::allocation::Allocation;
use callveil_domain::allocation::change_number::{self, NumberChanged};
use callveil_domain::allocation::create::Preferences;
use callveil_domain::receipt::Warning;
use callveil_domain::tenant::Tenant as Known;
use serde::Deserialize;
use utoipa::ToSchema;

use super::preferences::{self, Wishes};
use super::{GreenVn, Telling};
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::Answer;
use crate::idempotency;
use crate::lenient::{self, Nested, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Problem};
use crate::tenant::{Id, Tenant};

/// What the new virtual number should be like. Without a body any other one will do.
#[derive(Deserialize, ToSchema)]
#[schema(as = ChangeVn)]
pub(crate) struct Request<'a> {
    /// Whether all preferences must hold. A boolean as a string is taken too.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>, example = false)]
    strictness: Sent<'a>,
    /// What the virtual number should be like.
    #[schema(value_type = Option<Wishes>)]
    preferences: Option<Nested<Wishes<'a>>>,
}

/// Change the virtual number
///
/// Moves an active allocation to another virtual number, with everything else as it is. Asking for the number that
/// it has changes nothing. When no other may be lent (status 452), the allocation is left as it is.
#[utoipa::path(
    put,
    path = "/v1/tenants/{sid}/greenvn/{greenvn_id}/vn",
    operation_id = "changeVn",
    tag = "GreenVN",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("greenvn_id" = String, Path, description = "The allocation's id"),
        DryRun,
    ),
    request_body(content = Option<Request>, description = "What the new number should be like"),
    responses((status = 200, description = "The allocation with its new number", body = Answer<GreenVn>)),
)]
pub(crate) async fn change_number(
    State(api): State<ApiState>,
    tenant: Tenant,
    Id(id): Id,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let Conditions { effect, version, key } = conditions;
    let once = key.map(|key| key.with(&body));
    let act = async {
        let preferences = read(&tenant, &body)?;
        let mut rng = api.node.rng();
        let mut ctx = api.node.ctx(&mut *rng, effect);
        let telling = Telling::of(&ctx, Vec::new());
        let tell = |allocation: &Allocation, warnings: &[Warning]| telling.body(allocation, warnings);
        let receipt = once.as_ref().map(|once| once.receipt(&tell));
        match change_number::change_number(&mut ctx, &tenant, id, version, &preferences, receipt).await {
            Ok(NumberChanged { allocation, warnings }) => Ok(telling.answer(&allocation, &warnings)),
            Err(failure) => Err(Problem::of(failure, |refused| Problem::of_change_number(refused, &tenant))),
        }
    };
    idempotency::once(&api, &tenant, once.as_ref(), act).await
}

fn read(tenant: &Known, body: &[u8]) -> Result<Preferences, Problem> {
    let Request { strictness, preferences } = lenient::read(body)?;
    let mut faults = Faults::default();
    let preferences = preferences::read(tenant, &preferences, &strictness, &mut faults);
    if faults.is_empty() { Ok(preferences) } else { Err(faults.into_problem()) }
}
