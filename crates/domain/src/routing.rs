//! What happens when somebody calls a virtual number.

use crate::allocation::{Allocation, Side, State};
use crate::audit::{Actor, Origin};
use crate::calls::CallRecord;
use crate::event::{self, AllocationStep, Fact, Verified, told};
use crate::number::PhoneNumber;
use crate::pin::Pin;
use crate::store::{AllocationWrite, Change, Claim, ClaimKey, Conflict, Outcome, StoreError};
use crate::tenant::Tenant;
use crate::{ATTEMPTS, Ctx, Failure, refuse};

/// What to do with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Connect it.
    Connect(Box<Connection>),
    /// Ask the caller for a pin.
    AskForPin,
    /// Play an announcement and hang up.
    Refuse(RefuseReason),
}

/// Whom a call is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The allocation that connects it.
    pub allocation: Allocation,
    /// The side of the caller.
    pub from: Side,
    /// The numbers to ring, in this order. All of them are the other side's.
    pub ring: Vec<PhoneNumber>,
    /// The number that they are shown: the virtual number, and never another.
    pub show: PhoneNumber,
}

/// Why a call is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// The number dialled is in no pool.
    NotAVirtualNumber,
    /// The caller is a virtual number itself: the call would go round in a circle.
    Loop,
    /// Nobody that is known there, and no pin would help.
    UnknownCaller,
    /// The caller's allocation has ended, and its numbers cool.
    Ended,
    /// The caller stood in the allocation and was taken out, or the allocation has another number.
    NoLongerAParty,
    /// Only side A may call, and this is side B.
    OneWay,
    /// The pin opens nothing.
    WrongPin,
}

/// Decides a call. `caller` is `None` when its number is withheld or unusable.
pub async fn route(
    ctx: &Ctx<'_>,
    caller: Option<PhoneNumber>,
    virtual_number: PhoneNumber,
) -> Result<Decision, StoreError> {
    let facts = ctx.store.call_facts(virtual_number, caller, ctx.now).await?;
    if !facts.pooled {
        return Ok(Decision::Refuse(RefuseReason::NotAVirtualNumber));
    }
    if facts.caller_is_pooled {
        return Ok(Decision::Refuse(RefuseReason::Loop));
    }
    let Some((allocation, caller)) = facts.holder.zip(caller) else {
        let unknown =
            if facts.has_pins { Decision::AskForPin } else { Decision::Refuse(RefuseReason::UnknownCaller) };
        return Ok(unknown);
    };
    if let State::Cooling { .. } = allocation.state(ctx.now) {
        return Ok(Decision::Refuse(RefuseReason::Ended));
    }
    let side = allocation.side_of(caller).filter(|_| allocation.virtual_number == virtual_number);
    Ok(match side {
        None => Decision::Refuse(RefuseReason::NoLongerAParty),
        Some(side) => connect(allocation, side),
    })
}

fn connect(allocation: Allocation, from: Side) -> Decision {
    if !allocation.usage.lets_call(from) {
        return Decision::Refuse(RefuseReason::OneWay);
    }
    let other = allocation.party(from.other());
    let ring = other.numbers.iter().chain(&other.learned).copied().collect();
    Decision::Connect(Box::new(Connection { ring, show: allocation.virtual_number, from, allocation }))
}

/// Why a pin did not connect a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJoined(pub RefuseReason);

/// Decides a call after its caller has keyed a pin, and owes the event of it. A caller whose number is known joins the pin's side: the
/// number is claimed on the virtual number as if it had been listed, so that the next call goes through unasked.
/// A withheld number is connected and never remembered.
pub async fn join_by_pin(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    call: &CallRecord,
    pin: Pin,
) -> Result<Connection, Failure<NotJoined>> {
    let CallRecord { caller, virtual_number, .. } = *call;
    if ctx.by == Origin::PROGRAM {
        ctx.by.actor = Actor::Caller;
    }
    for _ in 0..ATTEMPTS {
        match route(ctx, caller, virtual_number).await? {
            Decision::AskForPin => {}
            Decision::Connect(connection) => return Ok(*connection),
            Decision::Refuse(why) => return refuse(NotJoined(why)),
        }
        let holder = ctx.store.holder_of_pin(virtual_number, pin, ctx.now).await?;
        let opened = holder.and_then(|a| a.side_of_pin(pin).map(|side| (a, side)));
        let Some((allocation, side)) = opened.filter(|(a, _)| opens(a, virtual_number, ctx)) else {
            return refuse(NotJoined(RefuseReason::WrongPin));
        };
        let joined = match caller {
            Some(caller) => with_learned(&allocation, side, caller),
            None => allocation.clone(),
        };
        let connection = match connect(joined.clone(), side) {
            Decision::Connect(connection) => *connection,
            Decision::Refuse(why) => return refuse(NotJoined(why)),
            Decision::AskForPin => unreachable!("law: an allocation with a side decides without a pin"),
        };

        let mut change = Change::at(ctx.now);
        let verified = Verified {
            call: call.id,
            allocation: Box::new(joined.clone()),
            caller,
            pin,
            side,
            after: call.version,
        };
        event::owe(&mut change, tenant, Fact::Verified(verified));
        if let Some(number) = caller {
            let key = ClaimKey::Number { number, virtual_number };
            change.take.push(Claim { key, allocation: joined.id, held_until: joined.held_until() });
            event::owe(&mut change, tenant, told(AllocationStep::Updated, &joined));
            change.allocations.push(AllocationWrite::Update(joined));
        }
        if change == Change::at(ctx.now) {
            return Ok(connection);
        }
        match ctx.commit(change).await? {
            Outcome::Applied => return Ok(connection),
            // Somebody else's change came between: what holds now is decided anew.
            Outcome::Refused(Conflict::Held(_) | Conflict::Moved(_)) => {}
            Outcome::Refused(
                Conflict::Guard(_)
                | Conflict::Answered
                | Conflict::Directory(_)
                | Conflict::CallMoved(_)
                | Conflict::Sealed,
            ) => {
                unreachable!("law: a join has no guard, receipt or directory write")
            }
        }
    }
    Err(Failure::Store(StoreError::Busy))
}

fn opens(allocation: &Allocation, virtual_number: PhoneNumber, ctx: &Ctx<'_>) -> bool {
    allocation.virtual_number == virtual_number && matches!(allocation.state(ctx.now), State::Active { .. })
}

fn with_learned(allocation: &Allocation, side: Side, caller: PhoneNumber) -> Allocation {
    let mut joined = allocation.clone();
    joined.version += 1;
    joined.parties.side_mut(side).learned.push(caller);
    joined
}
