//! Finding a virtual number for parties and taking it, against everybody else who is doing the same.

use crate::allocation::{AllocationId, Parties};
use crate::choice::{self, Past, Shortage, Wanted};
use crate::event::{self, Fact, NumberLow};
use crate::number::PhoneNumber;
use crate::pin::{self, Pin};
use crate::receipt::Warning;
use crate::store::{Change, ClaimKey, Conflict, Guard, Outcome};
use crate::tenant::Tenant;
use crate::{Ctx, Failure, refuse};

/// What is to be placed.
pub(crate) struct Placing<'a> {
    /// Whose pool.
    pub tenant: &'a Tenant,
    /// The allocation that will hold the claims.
    pub allocation: AllocationId,
    /// Its parties.
    pub parties: &'a Parties,
    /// What the number should be like.
    pub wanted: &'a Wanted,
}

/// Why nothing was placed.
pub(crate) enum NotPlaced {
    /// No virtual number may be lent.
    Shortage(Box<Shortage>),
    /// The change met a conflict that another virtual number would not cure.
    Conflict(Conflict),
}

/// Looks for a virtual number and applies the change that `build` makes for it, with the guards that lending
/// needs. A number that somebody else takes meanwhile is passed over and another is looked for: each round
/// excludes one, so that the search ends.
pub(crate) async fn place(
    ctx: &mut Ctx<'_>,
    placing: &Placing<'_>,
    build: &(dyn Fn(PhoneNumber, &[Warning]) -> Change + Sync),
) -> Result<(PhoneNumber, Vec<Warning>), Failure<NotPlaced>> {
    let Placing { tenant, allocation, parties, wanted } = *placing;
    let numbers: Vec<PhoneNumber> = parties.numbers().collect();
    let pins: Vec<Pin> = parties.pins().collect();
    let choice = tenant.settings.choice;
    let mut no_room = Vec::new();
    let mut excluded = Vec::new();
    loop {
        let claims = ctx.store.past_of(&numbers).await?;
        let past = Past::new(&claims, parties, ctx.now);
        let (virtual_number, others) = loop {
            let Some(virtual_number) = choice::pick(&tenant.pool, wanted, choice, &past, &excluded, ctx.rng)
            else {
                let shortage = choice::explain(&tenant.pool, wanted, &claims, parties, &no_room, ctx.now);
                return refuse(NotPlaced::Shortage(Box::new(shortage)));
            };
            if pins.is_empty() {
                break (virtual_number, Vec::new());
            }
            let others = others_pins(ctx, virtual_number, allocation).await?;
            let clash = pins.iter().any(|pin| others.contains(pin));
            if !clash && pin::has_room(others.len(), pins.len(), tenant.settings.live_pins) {
                break (virtual_number, others);
            }
            no_room.push(virtual_number);
            excluded.push(virtual_number);
        };
        let warnings = warn_of_pins(&pins, &others);
        let mut change = build(virtual_number, &warnings);
        change.guards.push(Guard::Lendable { tenant: tenant.sid.clone(), virtual_number });
        change.guards.push(Guard::Shared { virtual_number });
        if !pins.is_empty() {
            change.guards.push(pin_room(tenant, virtual_number, allocation, pins.len()));
        }
        if let Some(low) = low(tenant, &past) {
            event::owe(&mut change, tenant, Fact::NumberLow(low));
        }
        match ctx.commit(change).await? {
            Outcome::Applied => return Ok((virtual_number, warnings)),
            Outcome::Refused(
                Conflict::Held(ClaimKey::Number { .. } | ClaimKey::Pin { .. } | ClaimKey::Whole { .. })
                | Conflict::Guard(_),
            ) => excluded.push(virtual_number),
            Outcome::Refused(
                conflict @ (Conflict::Held(ClaimKey::Connection { .. })
                | Conflict::Moved(_)
                | Conflict::Answered
                | Conflict::Directory(_)
                | Conflict::CallMoved(_)
                | Conflict::Sealed),
            ) => return refuse(NotPlaced::Conflict(conflict)),
        }
    }
}

/// Whether hardly any number is left for these parties once one more is lent to them: less than a tenth of those that
/// are open.
fn low(tenant: &Tenant, past: &Past) -> Option<NumberLow> {
    let open = tenant.pool.open().values().map(Vec::len).sum::<usize>();
    let free = open.saturating_sub(past.in_use() + 1);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (free.saturating_mul(10) < open).then(|| NumberLow { free: count(free), of: count(open) })
}

/// The guard that an allocation may have so many pins on a virtual number: what [`pin::has_room`] found still holds.
pub(crate) fn pin_room(
    tenant: &Tenant,
    virtual_number: PhoneNumber,
    allocation: AllocationId,
    pins: usize,
) -> Guard {
    let brought = u32::try_from(pins).unwrap_or(u32::MAX);
    Guard::PinRoom { virtual_number, allocation, others: tenant.settings.live_pins.saturating_sub(brought) }
}

/// The pins that other allocations hold on a virtual number.
pub(crate) async fn others_pins<R>(
    ctx: &Ctx<'_>,
    virtual_number: PhoneNumber,
    allocation: AllocationId,
) -> Result<Vec<Pin>, Failure<R>> {
    let held = ctx.store.pins_on(virtual_number, ctx.now).await?;
    Ok(held.into_iter().filter(|(_, holder)| *holder != allocation).map(|(pin, _)| pin).collect())
}

/// What the owner of these pins should know of how easily one is guessed, beside those of others on the number.
pub(crate) fn warn_of_pins(pins: &[Pin], others: &[Pin]) -> Vec<Warning> {
    let chance_of = |digits: u32| {
        let live = others.iter().chain(pins).filter(|pin| pin.length() == digits).count();
        (digits, pin::chance_of_a_hit(digits, live))
    };
    let worst = pins.iter().map(|pin| chance_of(pin.length())).max_by(|x, y| x.1.total_cmp(&y.1));
    let warning = worst.filter(|(_, chance)| *chance > pin::ACCEPTED_CHANCE);
    warning.map(|(digits, chance)| Warning::GuessablePins { digits, chance }).into_iter().collect()
}
