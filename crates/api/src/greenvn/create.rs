//! `POST /v1/tenants/{sid}/greenvn`: lends a virtual number to two parties.

use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::Response;
use callveil_domain::allocation::Allocation;
use callveil_domain::allocation::Side;
use callveil_domain::allocation::create::{self, Created, NewAllocation, NewParty};
use callveil_domain::receipt::Warning;
use callveil_domain::tenant::Tenant as Known;
use serde::Deserialize;
use utoipa::ToSchema;

use super::preferences::{self, Wishes};
use super::{GreenVn, NumberSent, Telling, WirePin, WireUsage};
use crate::ApiState;
use crate::conditions::{Conditions, DryRun};
use crate::envelope::{Answer, Notice};
use crate::idempotency;
use crate::lenient::{self, Nested, Sent};
use crate::limits::Body;
use crate::problem::{Faults, Problem};
use crate::tenant::Tenant;

/// What is sent to make an allocation.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewGreenVn)]
pub(crate) struct Request<'a> {
    /// Your own name for the allocation, unique among your active ones. The name is free again when it ends.
    #[serde(borrow)]
    #[schema(value_type = String, min_length = 1, max_length = 255, example = "order-1001")]
    connection_id: Sent<'a>,
    /// The numbers of side A. They ring in this order; with `oneway` only they may call.
    #[schema(value_type = Vec<NumberSent>, min_items = 1, max_items = 10)]
    aparty_numbers: Sent<'a>,
    /// The numbers of side B. None of them may stand on side A too.
    #[schema(value_type = Vec<NumberSent>, min_items = 1, max_items = 10)]
    bparty_numbers: Sent<'a>,
    /// Pins by which a caller who is not listed joins side A.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    aparty_pins: Sent<'a>,
    /// Pins by which a caller who is not listed joins side B.
    #[schema(value_type = Option<Vec<WirePin>>, max_items = 10)]
    bparty_pins: Sent<'a>,
    /// Who may call.
    #[schema(value_type = WireUsage)]
    usage: Sent<'a>,
    /// Whether all preferences must hold. A boolean as a string is taken too.
    #[schema(value_type = Option<bool>, example = false)]
    strictness: Sent<'a>,
    /// What the virtual number should be like.
    #[schema(value_type = Option<Wishes>)]
    preferences: Option<Nested<Wishes<'a>>>,
    /// When the allocation is to end by itself.
    #[serde(alias = "Deallocation_policy")]
    #[schema(value_type = Option<Policy>)]
    deallocation_policy: Option<Nested<Policy<'a>>>,
    /// The call flow; the setting `default_flow_id` when it is left out.
    #[schema(value_type = Option<String>, max_length = 64, example = "44XX8X")]
    flow_id: Sent<'a>,
    /// Your word for side A in events; the setting `aparty_tag` when it is left out.
    #[schema(value_type = Option<String>, max_length = 255)]
    aparty_tag: Sent<'a>,
    /// Your word for side B in events; the setting `bparty_tag` when it is left out.
    #[schema(value_type = Option<String>, max_length = 255)]
    bparty_tag: Sent<'a>,
}

/// When an allocation is to end by itself.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DeallocationPolicy)]
pub(crate) struct Policy<'a> {
    /// After this long: a whole number and `d`, `h`, `m` or `s`. Longer than the setting `max_deallocation_time`
    /// is cut to it.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = r"^[0-9]+[dhmsDHMS]$", example = "45m")]
    duration: Sent<'a>,
}

/// Make an allocation
///
/// Lends a virtual number of the pool to two parties. No number of either side, and no pin, is in use on that
/// virtual number by any other allocation. When no virtual number may be lent (status 452), `detail.shortage`
/// tells why.
#[utoipa::path(
    post,
    path = "/v1/tenants/{sid}/greenvn",
    operation_id = "createGreenVn",
    tag = "GreenVN",
    params(("sid" = String, Path, description = "Your tenant's SID"), DryRun),
    request_body(content = Request, description = "Who is to be connected, and how"),
    responses((status = 200, description = "The allocation", body = Answer<GreenVn>)),
)]
pub(crate) async fn create(
    State(api): State<ApiState>,
    tenant: Tenant,
    conditions: Conditions,
    Body(body): Body,
) -> Result<Response<ResponseBody>, Problem> {
    let Conditions { effect, version: _, key } = conditions;
    let once = key.map(|key| key.with(&body));
    let act = async {
        let (new, odd) = read(&tenant, &body)?;
        let mut rng = api.node.rng();
        let mut ctx = api.node.ctx(&mut *rng, effect);
        let telling = Telling::of(&ctx, odd);
        let tell = |allocation: &Allocation, warnings: &[Warning]| telling.body(allocation, warnings);
        let receipt = once.as_ref().map(|once| once.receipt(&tell));
        match create::create(&mut ctx, &tenant, new, receipt).await {
            Ok(Created { allocation, warnings }) => Ok(telling.answer(&allocation, &warnings)),
            Err(failure) => Err(Problem::of(failure, |refused| Problem::of_create(refused, &tenant))),
        }
    };
    idempotency::once(&api, &tenant, once.as_ref(), act).await
}

/// Reads what was sent as what was meant, and what is odd about it.
fn read(tenant: &Known, body: &[u8]) -> Result<(NewAllocation, Vec<Notice>), Problem> {
    let sent: Request<'_> = lenient::read(body)?;
    let home = tenant.settings.country;
    let number = |value: &lenient::Loose<'_>| lenient::number(value, home);

    let mut faults = Faults::default();
    let connection = faults.required("connection_id", &sent.connection_id, &lenient::connection_id);
    let a_numbers = faults.required_list("aparty_numbers", &sent.aparty_numbers, &number);
    let b_numbers = faults.required_list("bparty_numbers", &sent.bparty_numbers, &number);
    let a_pins = faults.list("aparty_pins", &sent.aparty_pins, &lenient::pin).unwrap_or_default();
    let b_pins = faults.list("bparty_pins", &sent.bparty_pins, &lenient::pin).unwrap_or_default();
    let usage = faults.required("usage", &sent.usage, &lenient::usage);
    let preferences = preferences::read(tenant, &sent.preferences, &sent.strictness, &mut faults);
    let policy = faults.object("deallocation_policy", &sent.deallocation_policy);
    let lifetime = policy.and_then(|policy| {
        faults.optional("deallocation_policy.duration", &policy.duration, &lenient::duration)
    });
    let flow = faults.optional("flow_id", &sent.flow_id, &lenient::flow_id);
    let a_tag = faults.optional("aparty_tag", &sent.aparty_tag, &lenient::tag);
    let b_tag = faults.optional("bparty_tag", &sent.bparty_tag, &lenient::tag);

    let mut odd = super::oddities(tenant, Side::A, a_numbers.as_deref().unwrap_or_default(), &mut faults);
    odd.extend(super::oddities(tenant, Side::B, b_numbers.as_deref().unwrap_or_default(), &mut faults));
    let (Some(connection), Some(a_numbers), Some(b_numbers), Some(usage), true) =
        (connection, a_numbers, b_numbers, usage, faults.is_empty())
    else {
        return Err(faults.into_problem());
    };
    let a = NewParty { numbers: a_numbers, pins: a_pins, tag: a_tag };
    let b = NewParty { numbers: b_numbers, pins: b_pins, tag: b_tag };
    Ok((NewAllocation { connection, a, b, usage, lifetime, flow, preferences }, odd))
}
