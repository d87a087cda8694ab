//! The operations on allocations, which the wire calls GreenVN, and what their answers and requests share.

pub(crate) mod change_number;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod preferences;
pub(crate) mod read;
pub(crate) mod release;
pub(crate) mod update_parties;

use std::borrow::Cow;

use axum::body::Body;
use axum::http::Response;
use callveil_domain::allocation::{Allocation, Side, State, Usage};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::receipt::Warning;
use callveil_domain::tenant::Tenant;
use callveil_domain::time::Timestamp;
use callveil_domain::{Ctx, Effect};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::envelope::{self, Detail, Notice};
use crate::opinion;
use crate::problem::{Faults, Kind, number_path};

/// An allocation as clients see it. What its fields are named after is LeadAssist's; `greenvn` and `green_vn` are
/// the same, since its own documents have both.
#[derive(Serialize, ToSchema)]
pub(crate) struct GreenVn<'a> {
    /// The client's own name for the allocation.
    #[schema(value_type = String, min_length = 1, max_length = 255, example = "order-1001")]
    connection_id: &'a str,
    /// The numbers of side A, in the order in which they ring.
    aparty_numbers: Vec<E164>,
    /// The numbers of side B, in the order in which they ring.
    bparty_numbers: Vec<E164>,
    /// The pins by which others join side A.
    aparty_pins: Vec<WirePin>,
    /// The pins by which others join side B.
    bparty_pins: Vec<WirePin>,
    /// Who may call.
    usage: WireUsage,
    /// Whether it connects calls still.
    state: WireState,
    /// The virtual number that is lent.
    greenvn: E164,
    /// The virtual number that is lent.
    green_vn: E164,
    /// The allocation's id, which never changes.
    #[schema(value_type = String, format = "uuid")]
    greenvn_id: String,
    /// The call flow, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "44XX8X")]
    flow_id: Option<&'a str>,
}

/// A telephone number in E.164's international form.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^\+[1-9][0-9]{7,14}$", example = "+919900000001")]
pub(crate) struct E164(pub PhoneNumber);

/// A telephone number as it may be sent: with `+` and country code, or in a form of the tenant's country
/// (`09900000001`, `9900000001`, `919900000001`). Spaces, hyphens, dots and parentheses are passed over.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 3, example = "+919900000001")]
pub(crate) struct NumberSent(());

/// A pin: 1 to 15 digits that do not begin with 0.
#[derive(ToSchema)]
#[schema(as = Pin, value_type = i64, minimum = 1, maximum = 999_999_999_999_999_i64, example = 483920)]
pub(crate) struct WirePin(Pin);

/// Who may call.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Usage)]
pub(crate) enum WireUsage {
    /// Only side A.
    OneWay,
    /// Both sides.
    TwoWay,
}

/// Whether an allocation connects calls.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = State)]
pub(crate) enum WireState {
    /// It does.
    Active,
    /// It has ended.
    Vault,
}

impl<'a> GreenVn<'a> {
    /// An allocation as it is at `now`. Numbers that joined by pin are not told.
    pub fn of(allocation: &'a Allocation, now: Timestamp) -> GreenVn<'a> {
        let numbers = |side| allocation.party(side).numbers.iter().copied().map(E164).collect();
        let pins = |side| allocation.party(side).pins.iter().copied().map(WirePin).collect();
        GreenVn {
            connection_id: allocation.connection.as_str(),
            aparty_numbers: numbers(Side::A),
            bparty_numbers: numbers(Side::B),
            aparty_pins: pins(Side::A),
            bparty_pins: pins(Side::B),
            usage: match allocation.usage {
                Usage::OneWay => WireUsage::OneWay,
                Usage::TwoWay => WireUsage::TwoWay,
            },
            state: match allocation.state(now) {
                State::Active { .. } => WireState::Active,
                State::Cooling { .. } => WireState::Vault,
            },
            greenvn: E164(allocation.virtual_number),
            green_vn: E164(allocation.virtual_number),
            greenvn_id: allocation.id.to_string(),
            flow_id: allocation.flow.as_ref().map(|flow| flow.as_str()),
        }
    }
}

impl Serialize for E164 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.expose())
    }
}

impl Serialize for WirePin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.expose_value())
    }
}

/// How an allocation is told of in the answer to one request.
pub(crate) struct Telling {
    now: Timestamp,
    effect: Effect,
    odd: Vec<Notice>,
}

impl Telling {
    /// Of what is found at this moment.
    pub fn at(now: Timestamp) -> Telling {
        Telling { now, effect: Effect::Keep, odd: Vec::new() }
    }

    /// Of what is done in this context, to a request in which this is odd.
    pub fn of(ctx: &Ctx<'_>, odd: Vec<Notice>) -> Telling {
        Telling { now: ctx.now, effect: ctx.effect, odd }
    }

    /// Status and body, as they are kept in a receipt too.
    pub fn body(&self, allocation: &Allocation, warnings: &[Warning]) -> (u16, Vec<u8>) {
        let warnings = warnings.iter().map(Notice::from).chain(self.odd.iter().cloned()).collect();
        let detail = Detail { dry_run: self.effect == Effect::Try, warnings, ..Detail::default() };
        (envelope::OK, envelope::body(GreenVn::of(allocation, self.now), detail))
    }

    /// The answer.
    pub fn answer(&self, allocation: &Allocation, warnings: &[Warning]) -> Response<Body> {
        envelope::ok_at(allocation.version, self.body(allocation, warnings).1)
    }
}

/// What is odd about the numbers that were sent for a side: faults where the tenant is strict, and notices
/// otherwise.
pub(crate) fn oddities(
    tenant: &Tenant,
    side: Side,
    numbers: &[PhoneNumber],
    faults: &mut Faults,
) -> Vec<Notice> {
    let odd =
        |(at, number): (usize, &PhoneNumber)| opinion::of(*number).map(|why| (number_path(side, at), why));
    let odd = numbers.iter().enumerate().filter_map(odd);
    if tenant.settings.strict_numbers {
        odd.for_each(|(path, why)| faults.push(Kind::InvalidNumber, path, why));
        return Vec::new();
    }
    let notice = |(path, why): (Cow<'static, str>, &'static str)| Notice {
        path: Some(path),
        message: why.into(),
        chance: None,
    };
    odd.map(notice).collect()
}
