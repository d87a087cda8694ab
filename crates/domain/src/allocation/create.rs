//! Making an allocation: lending a virtual number to two parties.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::allocation::{
    Allocation, AllocationId, ConnectionId, Parties, Party, Side, Standing, State, Usage,
};
use crate::choice::{Shortage, Wanted};
use crate::event::{self, AllocationStep, told};
use crate::number::PhoneNumber;
use crate::parties::{Fault, Wrong, check_apart, check_numbers, without_repetition};
use crate::pin::Pin;
use crate::placing::{NotPlaced, Placing, place};
use crate::postal;
use crate::receipt::{ReceiptWanted, Warning};
use crate::settings::{Choice, Settings};
use crate::store::{AllocationWrite, Change, Conflict};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::virtual_number::{FlowId, NumberType, Region};
use crate::{Ctx, Effect, Failure, refuse};

/// What a client wants lent, as it meant it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAllocation {
    /// Its own name for it.
    pub connection: ConnectionId,
    /// Side A.
    pub a: NewParty,
    /// Side B.
    pub b: NewParty,
    /// Who may call.
    pub usage: Usage,
    /// For how long; `None` takes the tenant's maximum, and longer is cut to it.
    pub lifetime: Option<Duration>,
    /// The call flow.
    pub flow: Option<FlowId>,
    /// What the virtual number should be like.
    pub preferences: Preferences,
}

/// A side as a client names it: repetitions allowed, they count once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewParty {
    /// Its numbers, in the order in which they are to ring. Not empty.
    pub numbers: Vec<PhoneNumber>,
    /// Its pins.
    pub pins: Vec<Pin>,
    /// The client's word for it in events.
    pub tag: Option<String>,
}

/// What a client wishes of the virtual number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// This very number.
    pub number: Option<PhoneNumber>,
    /// Of this region.
    pub region: Option<Region>,
    /// Of the region of this Indian postal code; a region goes before it.
    pub postal_code: Option<String>,
    /// Of this type.
    pub number_type: Option<NumberType>,
    /// Whether all of them must hold, or as many as can.
    pub strict: bool,
}

/// An allocation that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The allocation.
    pub allocation: Allocation,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
}

/// Why an allocation is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateRefused {
    /// The connection id names an active allocation.
    ConnectionInUse,
    /// Some numbers or pins may not be parties. Never empty.
    Parties(Vec<Fault>),
    /// What is wished for cannot be.
    Preferences(PreferenceRefused),
    /// No virtual number may be lent to these parties.
    NoVirtualNumber(Box<Shortage>),
    /// The request was answered meanwhile: the receipt tells how.
    Answered,
}

/// Why a wish is refused rather than passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PreferenceRefused {
    /// The tenant may not ask for this region.
    UnknownRegion,
    /// The postal code is in no region that the tenant may ask for, and strictness wants it to be.
    UnknownPostalCode,
    /// The tenant has no such flow; these it has.
    UnknownFlow(Vec<FlowId>),
}

/// Lends a virtual number to two parties.
pub async fn create(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    new: NewAllocation,
    receipt: Option<ReceiptWanted<'_>>,
) -> Result<Created, Failure<CreateRefused>> {
    let NewAllocation { connection, a, b, usage, lifetime, flow, preferences } = new;
    let mut faults = check_numbers(tenant, Side::A, &a.numbers);
    faults.extend(check_numbers(tenant, Side::B, &b.numbers));
    faults.extend(check_apart(&a.numbers, &b.numbers, Side::B, Wrong::OnBothSides));
    faults.extend(check_apart(&a.pins, &b.pins, Side::B, Wrong::PinOnBothSides));
    if !faults.is_empty() {
        return refuse(CreateRefused::Parties(faults));
    }
    let parties = Parties { a: party(a), b: party(b) };
    let wanted = match wanted(tenant, &preferences, flow.as_ref()) {
        Ok(wanted) => wanted,
        Err(why) => return refuse(CreateRefused::Preferences(why)),
    };

    let now = ctx.now;
    let id = AllocationId::new(now, ctx.rng);
    let standing = Standing::Lent {
        expires_at: expiry(now, &tenant.settings, lifetime),
        cooling: tenant.settings.cooling,
    };
    let lend = |virtual_number| Allocation {
        id,
        tenant: tenant.sid.clone(),
        connection: connection.clone(),
        virtual_number,
        parties: parties.clone(),
        usage,
        flow: flow.clone(),
        exclusive: tenant.settings.choice == Choice::Exclusive,
        created_at: now,
        standing,
        version: 1,
    };
    let build = |virtual_number, warnings: &[Warning]| {
        let allocation = lend(virtual_number);
        let mut change = Change::at(now);
        change.take = allocation.claims();
        change.receipt = receipt.as_ref().map(|r| r.write(&allocation, warnings, now));
        event::owe(&mut change, tenant, told(AllocationStep::Created, &allocation));
        change.allocations.push(AllocationWrite::Insert(allocation));
        change
    };
    let placing = Placing { tenant, allocation: id, parties: &parties, wanted: &wanted };
    match place(ctx, &placing, &build).await {
        Ok((virtual_number, warnings)) => {
            if let Some(pooled) = tenant.pool.get(virtual_number).filter(|_| ctx.effect == Effect::Keep) {
                pooled.load.grow();
            }
            Ok(Created { allocation: lend(virtual_number), warnings })
        }
        Err(Failure::Store(error)) => Err(Failure::Store(error)),
        Err(Failure::Refused(NotPlaced::Conflict(Conflict::Answered))) => refuse(CreateRefused::Answered),
        Err(Failure::Refused(NotPlaced::Conflict(_))) => refuse(CreateRefused::ConnectionInUse),
        Err(Failure::Refused(NotPlaced::Shortage(shortage))) => {
            // A repeat of a request that was answered finds its own parties in the way: the name tells.
            let namesake = ctx.store.allocation_by_connection(&tenant.sid, &connection).await?;
            match namesake.map(|a| a.state(now)) {
                Some(State::Active { .. }) => refuse(CreateRefused::ConnectionInUse),
                Some(State::Cooling { .. }) | None => refuse(CreateRefused::NoVirtualNumber(shortage)),
            }
        }
    }
}

fn party(new: NewParty) -> Party {
    let NewParty { numbers, pins, tag } = new;
    Party { numbers: without_repetition(&numbers), pins: without_repetition(&pins), learned: Vec::new(), tag }
}

fn expiry(now: Timestamp, settings: &Settings, lifetime: Option<Duration>) -> Timestamp {
    let longest = settings.longest_allocation;
    match (lifetime, longest) {
        (None, None) => Timestamp::NEVER,
        (Some(length), None) | (None, Some(length)) => now.plus(length),
        (Some(length), Some(longest)) => now.plus(length.min(longest)),
    }
}

/// Resolves wishes against what the tenant has.
pub(crate) fn wanted(
    tenant: &Tenant,
    preferences: &Preferences,
    flow: Option<&FlowId>,
) -> Result<Wanted, PreferenceRefused> {
    let Preferences { number, region, postal_code, number_type, strict } = preferences;
    let settings = &tenant.settings;
    if region.as_ref().is_some_and(|r| !settings.regions.contains(r)) {
        return Err(PreferenceRefused::UnknownRegion);
    }
    let by_post = || {
        let circles = postal_code.as_deref().and_then(postal::circles_for)?;
        circles.iter().filter_map(|c| Region::parse(c).ok()).find(|r| settings.regions.contains(r))
    };
    let asked_for = region.clone().or_else(by_post);
    if *strict && asked_for.is_none() && postal_code.is_some() {
        return Err(PreferenceRefused::UnknownPostalCode);
    }
    let flows: BTreeSet<&FlowId> = tenant
        .pool
        .open()
        .keys()
        .filter_map(|kind| kind.flow.as_ref())
        .chain(&settings.default_flow)
        .collect();
    if flow.is_some_and(|f| !flows.contains(f)) {
        return Err(PreferenceRefused::UnknownFlow(flows.into_iter().cloned().collect()));
    }
    let flow = flow.or(settings.default_flow.as_ref()).cloned();
    Ok(Wanted {
        number: *number,
        // The tenant's own preference is never what a request was strict about.
        region: asked_for.or_else(|| settings.default_region.clone().filter(|_| !strict)),
        number_type: *number_type,
        strict: *strict,
        flow_is_default: flow == settings.default_flow,
        flow,
        not: None,
    })
}
