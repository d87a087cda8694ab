//! Changing the virtual number of an active allocation (LeadAssist `PUT .../vn`).
//!
//! Everything is claimed on the new number first and left to cool on the old one, in one change. Callers who
//! joined by pin are forgotten: they joined on the old number.

use crate::allocation::create::{PreferenceRefused, Preferences, wanted};
use crate::allocation::{Allocation, AllocationId, Side, State};
use crate::choice::{Shortage, Wanted};
use crate::event::{self, AllocationStep, Fact};
use crate::number::PhoneNumber;
use crate::placing::{NotPlaced, Placing, place};
use crate::receipt::{ReceiptWanted, Warning};
use crate::store::{AllocationWrite, Change, Claim, Conflict, StoreError};
use crate::tenant::Tenant;
use crate::{ATTEMPTS, Ctx, Effect, Failure, refuse};

/// An allocation with its new virtual number.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberChanged {
    /// The allocation.
    pub allocation: Allocation,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
}

/// Why a virtual number is not changed. Nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeNumberRefused {
    /// The tenant has no such allocation.
    NotFound,
    /// It has ended.
    Ended,
    /// It is not of the version that the client wants changed; it is of this one.
    OtherVersion(u64),
    /// What is wished for cannot be.
    Preferences(PreferenceRefused),
    /// No other virtual number may be lent to these parties.
    NoVirtualNumber(Box<Shortage>),
    /// The request was answered meanwhile: the receipt tells how.
    Answered,
}

/// Moves an active allocation to another virtual number. Asking for the number that it has changes nothing.
pub async fn change_number(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    id: AllocationId,
    version: Option<u64>,
    preferences: &Preferences,
    receipt: Option<ReceiptWanted<'_>>,
) -> Result<NumberChanged, Failure<ChangeNumberRefused>> {
    for _ in 0..ATTEMPTS {
        let Some(before) = ctx.store.allocation(&tenant.sid, id).await? else {
            return refuse(ChangeNumberRefused::NotFound);
        };
        if let State::Cooling { .. } = before.state(ctx.now) {
            return refuse(ChangeNumberRefused::Ended);
        }
        if version.is_some_and(|wanted| wanted != before.version) {
            return refuse(ChangeNumberRefused::OtherVersion(before.version));
        }
        let wanted = match wanted(tenant, preferences, before.flow.as_ref()) {
            Ok(wanted) => Wanted { not: Some(before.virtual_number), ..wanted },
            Err(why) => return refuse(ChangeNumberRefused::Preferences(why)),
        };
        if preferences.number == Some(before.virtual_number) {
            return Ok(NumberChanged { allocation: before, warnings: Vec::new() });
        }
        match move_from(ctx, tenant, &before, &wanted, receipt.as_ref()).await {
            Ok(changed) => return Ok(changed),
            Err(Failure::Store(error)) => return Err(Failure::Store(error)),
            Err(Failure::Refused(NotPlaced::Shortage(s))) => {
                return refuse(ChangeNumberRefused::NoVirtualNumber(s));
            }
            Err(Failure::Refused(NotPlaced::Conflict(Conflict::Answered))) => {
                return refuse(ChangeNumberRefused::Answered);
            }
            Err(Failure::Refused(NotPlaced::Conflict(_))) => {}
        }
    }
    Err(Failure::Store(StoreError::Busy))
}

async fn move_from(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    before: &Allocation,
    wanted: &Wanted,
    receipt: Option<&ReceiptWanted<'_>>,
) -> Result<NumberChanged, Failure<NotPlaced>> {
    let now = ctx.now;
    let moved = |virtual_number: PhoneNumber| {
        let mut after = Allocation { virtual_number, version: before.version + 1, ..before.clone() };
        for side in Side::BOTH {
            after.parties.side_mut(side).learned.clear();
        }
        after
    };
    let build = |virtual_number: PhoneNumber, warnings: &[Warning]| {
        let after = moved(virtual_number);
        let claim = |held_until| move |key| Claim { key, allocation: before.id, held_until };
        let mut change = Change::at(now);
        change.take = after.keys().into_iter().map(claim(after.held_until())).collect();
        change.cool = before.keys().into_iter().map(claim(now.plus(tenant.settings.cooling))).collect();
        change.receipt = receipt.map(|r| r.write(&after, warnings, now));
        let moved = Fact::Allocation {
            what: AllocationStep::NumberChanged,
            allocation: Box::new(after.clone()),
            previous: Some(before.virtual_number),
        };
        event::owe(&mut change, tenant, moved);
        change.allocations.push(AllocationWrite::Update(after));
        change
    };
    let placing = Placing { tenant, allocation: before.id, parties: &before.parties, wanted };
    let (virtual_number, warnings) = place(ctx, &placing, &build).await?;
    if ctx.effect == Effect::Keep {
        if let Some(left) = tenant.pool.get(before.virtual_number) {
            left.load.shrink();
        }
        if let Some(taken) = tenant.pool.get(virtual_number) {
            taken.load.grow();
        }
    }
    Ok(NumberChanged { allocation: moved(virtual_number), warnings })
}
