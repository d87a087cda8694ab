//! One person's number: what is kept of it, and taking it out of everything.
//!
//! Rows stay, and say when and how; the number goes. What remains of it is an entry of the audit, which tells whoever
//! knows the number that it was erased. Backups keep it until they are thrown away.

use crate::allocation::expire::expire_due;
use crate::allocation::release::release;
use crate::allocation::{Allocation, Side, State};
use crate::calls::{CallRecord, CallStanding};
use crate::event::{Event, Fact, Rejected, Verified};
use crate::number::PhoneNumber;
use crate::store::{Change, Mentions, MentionsAfter, Outcome, Redaction, StoreError};
use crate::tenant::Directory;
use crate::{Ctx, Failure, refuse};

/// How much is looked at and rewritten in one step. More would hold up clients' changes, which wait behind.
const PAGE: usize = 200;

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Active allocations that were ended for it.
    pub released: u64,
    /// Allocations that it was taken out of.
    pub allocations: u64,
    /// Calls that it was taken out of.
    pub calls: u64,
    /// Events that it was taken out of.
    pub events: u64,
    /// Calls that keep it because they go on still.
    pub open_calls: u64,
}

/// Why a number is not erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseRefused {
    /// It is in a pool, and nobody's own.
    VirtualNumber,
}

/// Takes a number out of everything, after ending the active allocations in which it stands. Repeating it is
/// harmless, and takes out what a call that went on has brought meanwhile.
pub async fn erase(
    ctx: &mut Ctx<'_>,
    directory: &Directory,
    number: PhoneNumber,
) -> Result<Erased, Failure<EraseRefused>> {
    if directory.owner(number).is_some() {
        return refuse(EraseRefused::VirtualNumber);
    }
    // What is overdue is ended as it would have been.
    while expire_due(ctx.store, directory, ctx.now).await? > 0 {}
    let mut erased = Erased::default();
    let mut walk = Walk::new(number);
    while let Some(page) = walk.next(ctx, Part::Allocations).await? {
        for allocation in &page.allocations {
            if matches!(allocation.state(ctx.now), State::Active { .. }) {
                end(ctx, directory, allocation).await?;
                erased.released += 1;
            }
        }
    }
    // From the beginning: what was ended is a row of its own now, and an event.
    let mut walk = Walk::new(number);
    while let Some(page) = walk.next(ctx, Part::All).await? {
        let mut change = Change::at(ctx.now);
        for mut allocation in page.allocations {
            if take_out_of_allocation(&mut allocation, number, ctx) {
                erased.allocations += 1;
                change.redact.push(Redaction::Allocation(allocation));
            }
        }
        for mut call in page.calls {
            if call.standing == CallStanding::Open {
                erased.open_calls += 1;
                continue;
            }
            take_out_of_call(&mut call, number);
            erased.calls += 1;
            change.redact.push(Redaction::Call(call));
        }
        for mut event in page.events {
            take_out_of_event(&mut event, number);
            erased.events += 1;
            change.redact.push(Redaction::Event(event));
        }
        keep(ctx, change).await?;
    }
    let mut change = Change::at(ctx.now);
    change.forget = Some(number);
    keep(ctx, change).await?;
    Ok(erased)
}

async fn end(ctx: &mut Ctx<'_>, directory: &Directory, allocation: &Allocation) -> Result<(), StoreError> {
    let Some(tenant) = directory.tenant(allocation.tenant.as_str()) else { return Ok(()) };
    match release(ctx, tenant, allocation.id, None, None).await {
        // Refused: somebody else has ended it in this moment.
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(Failure::Store(error)) => Err(error),
    }
}

async fn keep(ctx: &Ctx<'_>, change: Change) -> Result<(), StoreError> {
    match ctx.commit(change).await? {
        Outcome::Applied => Ok(()),
        Outcome::Refused(_) => unreachable!("law: taking a number out meets no conflict"),
    }
}

/// Everything that is kept of a number, for whoever asks what is known of them.
pub async fn mentions(ctx: &Ctx<'_>, number: PhoneNumber) -> Result<Mentions, StoreError> {
    let mut all = Mentions::default();
    let mut walk = Walk::new(number);
    while let Some(page) = walk.next(ctx, Part::All).await? {
        all.allocations.extend(page.allocations);
        all.calls.extend(page.calls);
        all.events.extend(page.events);
    }
    Ok(all)
}

/// Which rows a walk ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Allocations,
    All,
}

/// A walk through everything in which a number stands.
struct Walk {
    number: PhoneNumber,
    after: MentionsAfter,
}

impl Walk {
    fn new(number: PhoneNumber) -> Walk {
        Walk { number, after: MentionsAfter::default() }
    }

    /// The next page; `None` after the last.
    async fn next(&mut self, ctx: &Ctx<'_>, part: Part) -> Result<Option<Mentions>, StoreError> {
        let page = ctx.store.mentions(self.number, self.after.clone(), PAGE).await?;
        let Mentions { allocations, calls, events } = &page;
        let is_last =
            allocations.is_empty() && (part == Part::Allocations || calls.is_empty() && events.is_empty());
        if is_last {
            return Ok(None);
        }
        if let Some(last) = allocations.last() {
            self.after.allocation = Some((last.tenant.clone(), last.id));
        }
        if let Some(last) = calls.last() {
            self.after.call = Some((last.tenant.clone(), last.id));
        }
        if let Some(last) = events.last() {
            self.after.event = Some((last.tenant.clone(), last.id));
        }
        Ok(Some(page))
    }
}

/// Takes a number out of an allocation that has ended. One that is active, made in this moment, keeps it.
fn take_out_of_allocation(allocation: &mut Allocation, number: PhoneNumber, ctx: &Ctx<'_>) -> bool {
    let ended = matches!(allocation.state(ctx.now), State::Cooling { .. });
    if ended {
        take_out(allocation, number);
    }
    ended
}

fn take_out(allocation: &mut Allocation, number: PhoneNumber) {
    for side in Side::BOTH {
        let party = allocation.parties.side_mut(side);
        party.numbers.retain(|other| *other != number);
        party.learned.retain(|other| *other != number);
    }
}

fn take_out_of_call(call: &mut CallRecord, number: PhoneNumber) {
    call.caller = call.caller.filter(|other| *other != number);
    for leg in &mut call.legs {
        leg.number = leg.number.filter(|other| *other != number);
    }
}

fn take_out_of_event(event: &mut Event, number: PhoneNumber) {
    match &mut event.fact {
        Fact::Allocation { allocation, .. } => take_out(allocation, number),
        Fact::Call { call, .. } => take_out_of_call(call, number),
        Fact::Verified(Verified { allocation, caller, .. }) => {
            take_out(allocation, number);
            *caller = caller.filter(|other| *other != number);
        }
        Fact::Rejected(Rejected { caller, .. }) => *caller = caller.filter(|other| *other != number),
        Fact::NumberLow(_) => {}
    }
}
