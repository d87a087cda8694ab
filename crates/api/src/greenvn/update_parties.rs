//! `PUT /v1/tenants/{sid}/greenvn/{greenvn_id}/call-party`: changes who the parties of an allocation are.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::allocation::update_parties::{self, PartiesUpdate, PartyUpdate, Updated};
use callveil_domain::allocation::{Allocation, Side};
use callveil_domain::receipt::Warning;
use callveil_domain::tenant::Tenant as Known;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{GreenVn, NumberSent, Telling, WirePin, WireUsage};
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{Answer, Notice};
use crate::idempotency;
use crate::lenient::{self, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Kind, Problem};
use crate::tenant::{Id, Tenant};

/// What is sent to change the parties. At least one of the two lists of numbers must be; what is left out stays as
/// it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = CallParty)]
pub(crate) struct Request<'a> {
    /// The numbers of side A from here on.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<NumberSent>>, min_items = 1, max_items = 10)]
    aparty_numbers: Sent<'a>,
    /// The numbers of side B from here on.
    #[schema(value_type = Option<Vec<NumberSent>>, min_items = 1, max_items = 10)]
    bparty_numbers: Sent<'a>,
    /// The pins of side A from here on; an empty list takes them all away.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    aparty_pins: Sent<'a>,
    /// The pins of side B from here on; an empty list takes them all away.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    bparty_pins: Sent<'a>,
    /// Who may call from here on.
    #[schema(value_type = Option<WireUsage>)]
    usage: Sent<'a>,
}

/// Change the parties
///
/// Changes numbers, pins and usage of an active allocation. The virtual number, the id, the connection id and the
/// end stay. New numbers and pins must be free on the same virtual number, or the whole request is refused with
/// status 409 and nothing is changed.
#[utoipa::path(
    put,
    path = "/v1/tenants/{sid}/greenvn/{greenvn_id}/call-party",
    operation_id = "updateCallParty",
    tag = "GreenVN",
    params(
        ("sid" = String, Path, description = "Your tenant's SID"),
        ("greenvn_id" = String, Path, description = "The allocation's id"),
        DryRun,
    ),
    request_body(content = Request, description = "What is to change"),
    responses((status = 200, description = "The allocation with its new parties", body = Answer<GreenVn>)),
)]
pub(crate) async fn update_parties(
    State(api): State<ApiState>,
    tenant: Tenant,
    Id(id): Id,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let Conditions { effect, version, key } = conditions;
    let once = key.map(|key| key.with(&body));
    let act = async {
        let (update, odd) = read(&tenant, &body)?;
        let mut rng = api.node.rng();
        let mut ctx = api.node.ctx(&mut *rng, effect);
        let telling = Telling::of(&ctx, odd);
        let tell = |allocation: &Allocation, warnings: &[Warning]| telling.body(allocation, warnings);
        let receipt = once.as_ref().map(|once| once.receipt(&tell));
        match update_parties::update_parties(&mut ctx, &tenant, id, version, update, receipt).await {
            Ok(Updated { allocation, warnings }) => Ok(telling.answer(&allocation, &warnings)),
            Err(failure) => Err(Problem::of(failure, Problem::of_update)),
        }
    };
    idempotency::once(&api, &tenant, once.as_ref(), act).await
}

/// Reads what was sent as what was meant, and what is odd about it.
fn read(tenant: &Known, body: &[u8]) -> Result<(PartiesUpdate, Vec<Notice>), Problem> {
    let sent: Request<'_> = lenient::read(body)?;
    let home = tenant.settings.country;
    let number = |value: &lenient::Loose<'_>| lenient::number(value, home);

    let mut faults = Faults::default();
    if sent.aparty_numbers.is_none() && sent.bparty_numbers.is_none() {
        let why = "or bparty_numbers must be sent, at least one of the two";
        faults.push(Kind::Missing, "aparty_numbers", why);
    }
    let a_numbers = faults.filled_list("aparty_numbers", &sent.aparty_numbers, &number);
    let b_numbers = faults.filled_list("bparty_numbers", &sent.bparty_numbers, &number);
    let a_pins = faults.list("aparty_pins", &sent.aparty_pins, &lenient::pin);
    let b_pins = faults.list("bparty_pins", &sent.bparty_pins, &lenient::pin);
    let usage = faults.optional("usage", &sent.usage, &lenient::usage);

    let mut odd = super::oddities(tenant, Side::A, a_numbers.as_deref().unwrap_or_default(), &mut faults);
    odd.extend(super::oddities(tenant, Side::B, b_numbers.as_deref().unwrap_or_default(), &mut faults));
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    let a = PartyUpdate { numbers: a_numbers, pins: a_pins };
    let b = PartyUpdate { numbers: b_numbers, pins: b_pins };
    Ok((PartiesUpdate { a, b, usage }, odd))
}
