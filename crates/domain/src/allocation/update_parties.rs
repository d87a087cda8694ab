//! Changing who the parties of an active allocation are (LeadAssist `PUT .../call-party`).
//!
//! A list that is sent replaces the one that was, a list left out stays. The virtual number, the id and the end
//! stay too. Numbers and pins that are new must be free on the same virtual number, or nothing changes; those
//! that go are left to cool.

use crate::allocation::{Allocation, AllocationId, Parties, Side, State, Usage, keys_on};
use crate::event::{self, AllocationStep, told};
use crate::number::PhoneNumber;
use crate::parties::{Fault, Wrong, check_apart, check_numbers, without_repetition};
use crate::pin::{self, Pin};
use crate::placing::{others_pins, pin_room, warn_of_pins};
use crate::receipt::{ReceiptWanted, Warning};
use crate::store::{AllocationWrite, Change, Claim, ClaimKey, Conflict, Outcome, StoreError};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::{ATTEMPTS, Ctx, Failure, refuse};

/// What is to change; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartiesUpdate {
    /// Side A.
    pub a: PartyUpdate,
    /// Side B.
    pub b: PartyUpdate,
    /// Who may call.
    pub usage: Option<Usage>,
}

/// What is to change of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartyUpdate {
    /// Its numbers. Not empty where given.
    pub numbers: Option<Vec<PhoneNumber>>,
    /// Its pins; an empty list takes them all away.
    pub pins: Option<Vec<Pin>>,
}

impl PartiesUpdate {
    fn side(&self, side: Side) -> &PartyUpdate {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }
}

/// An allocation with its new parties.
#[derive(Clone, Debug, PartialEq)]
pub struct Updated {
    /// The allocation.
    pub allocation: Allocation,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
}

/// Why parties are not changed. Nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateRefused {
    /// The tenant has no such allocation.
    NotFound,
    /// It has ended.
    Ended,
    /// It is not of the version that the client wants changed; it is of this one.
    OtherVersion(u64),
    /// Some numbers or pins may not be parties. Never empty.
    Parties(Vec<Fault>),
    /// The number at this place is in use on the virtual number by another allocation.
    NumberTaken(Side, usize),
    /// The pin at this place is in use on the virtual number by another allocation.
    PinTaken(Side, usize),
    /// The virtual number carries as many pins as it may.
    NoRoomForPins {
        /// How many it may carry.
        at_most: u32,
    },
    /// The request was answered meanwhile: the receipt tells how.
    Answered,
}

/// Changes the parties of an active allocation.
pub async fn update_parties(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    id: AllocationId,
    version: Option<u64>,
    update: PartiesUpdate,
    receipt: Option<ReceiptWanted<'_>>,
) -> Result<Updated, Failure<UpdateRefused>> {
    for _ in 0..ATTEMPTS {
        let Some(before) = ctx.store.allocation(&tenant.sid, id).await? else {
            return refuse(UpdateRefused::NotFound);
        };
        if let State::Cooling { .. } = before.state(ctx.now) {
            return refuse(UpdateRefused::Ended);
        }
        if version.is_some_and(|wanted| wanted != before.version) {
            return refuse(UpdateRefused::OtherVersion(before.version));
        }
        let after = match updated(tenant, &before, &update) {
            Ok(after) => after,
            Err(faults) => return refuse(UpdateRefused::Parties(faults)),
        };
        let brings_pins = after.parties.pins().any(|pin| before.side_of_pin(pin).is_none());
        let pins: Vec<Pin> = after.parties.pins().collect();
        let others = match pins.is_empty() {
            true => Vec::new(),
            false => others_pins(ctx, after.virtual_number, id).await?,
        };
        if brings_pins {
            if let Some(taken) = pins.iter().find(|pin| others.contains(pin)) {
                return refuse(taken_pin(&after, *taken));
            }
            if !pin::has_room(others.len(), pins.len(), tenant.settings.live_pins) {
                return refuse(UpdateRefused::NoRoomForPins { at_most: tenant.settings.live_pins });
            }
        }
        let warnings = warn_of_pins(&pins, &others);

        let mut change = change_between(&before, &after, tenant, ctx.now);
        if brings_pins {
            change.guards.push(pin_room(tenant, after.virtual_number, id, pins.len()));
        }
        change.receipt = receipt.as_ref().map(|r| r.write(&after, &warnings, ctx.now));
        event::owe(&mut change, tenant, told(AllocationStep::Updated, &after));
        match ctx.commit(change).await? {
            Outcome::Applied => return Ok(Updated { allocation: after, warnings }),
            Outcome::Refused(Conflict::Held(ClaimKey::Number { number, .. })) => {
                return refuse(taken_number(&after, number));
            }
            Outcome::Refused(Conflict::Held(ClaimKey::Pin { pin, .. })) => {
                return refuse(taken_pin(&after, pin));
            }
            Outcome::Refused(Conflict::Answered) => return refuse(UpdateRefused::Answered),
            Outcome::Refused(
                Conflict::Moved(_)
                | Conflict::Guard(_)
                | Conflict::Directory(_)
                | Conflict::CallMoved(_)
                | Conflict::Sealed
                | Conflict::Held(ClaimKey::Whole { .. } | ClaimKey::Connection { .. }),
            ) => {}
        }
    }
    Err(Failure::Store(StoreError::Busy))
}

/// The allocation as it is to be.
fn updated(tenant: &Tenant, before: &Allocation, update: &PartiesUpdate) -> Result<Allocation, Vec<Fault>> {
    let mut after = before.clone();
    after.version += 1;
    after.usage = update.usage.unwrap_or(before.usage);
    let mut faults = Vec::new();
    for side in Side::BOTH {
        let party = after.parties.side_mut(side);
        let PartyUpdate { numbers, pins } = update.side(side);
        if let Some(numbers) = numbers {
            faults.extend(check_numbers(tenant, side, numbers));
            party.numbers = without_repetition(numbers);
        }
        if let Some(pins) = pins {
            let pins = without_repetition(pins);
            if pins != party.pins {
                party.learned.clear();
            }
            party.pins = pins;
        }
    }
    let sent = |sent: bool| if sent { Side::B } else { Side::A };
    let numbers =
        |side: Side| update.side(side).numbers.as_ref().unwrap_or(&before.party(side).numbers).as_slice();
    let pins = |side: Side| update.side(side).pins.as_ref().unwrap_or(&before.party(side).pins).as_slice();
    let told = sent(update.b.numbers.is_some());
    faults.extend(check_apart(numbers(Side::A), numbers(Side::B), told, Wrong::OnBothSides));
    let told = sent(update.b.pins.is_some());
    faults.extend(check_apart(pins(Side::A), pins(Side::B), told, Wrong::PinOnBothSides));
    forget_learned_that_are_listed(&mut after.parties);
    if faults.is_empty() { Ok(after) } else { Err(faults) }
}

fn forget_learned_that_are_listed(parties: &mut Parties) {
    let listed: Vec<PhoneNumber> = parties.numbers().collect();
    for side in Side::BOTH {
        parties.side_mut(side).learned.retain(|number| !listed.contains(number));
    }
}

/// The change from one form of an allocation to the next on the same virtual number: keys that are new are
/// taken, keys that are gone cool.
fn change_between(before: &Allocation, after: &Allocation, tenant: &Tenant, now: Timestamp) -> Change {
    let old = before.keys();
    let new = keys_on(after.virtual_number, &after.parties, after.exclusive);
    let claim = |key: &ClaimKey, held_until| Claim { key: key.clone(), allocation: after.id, held_until };
    let mut change = Change::at(now);
    change.take = new.iter().filter(|k| !old.contains(k)).map(|k| claim(k, after.held_until())).collect();
    let cooled = now.plus(tenant.settings.cooling);
    change.cool = old.iter().filter(|k| !new.contains(k)).map(|k| claim(k, cooled)).collect();
    change.allocations.push(AllocationWrite::Update(after.clone()));
    change
}

fn taken_number(after: &Allocation, number: PhoneNumber) -> UpdateRefused {
    let place = |side: Side| after.party(side).numbers.iter().position(|n| *n == number).map(|at| (side, at));
    let (side, at) =
        Side::BOTH.into_iter().find_map(place).expect("law: only keys of the allocation are claimed");
    UpdateRefused::NumberTaken(side, at)
}

fn taken_pin(after: &Allocation, pin: Pin) -> UpdateRefused {
    let place = |side: Side| after.party(side).pins.iter().position(|p| *p == pin).map(|at| (side, at));
    let (side, at) =
        Side::BOTH.into_iter().find_map(place).expect("law: only keys of the allocation are claimed");
    UpdateRefused::PinTaken(side, at)
}
