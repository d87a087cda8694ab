//! Applies one change inside the writer's transaction, or says which of its conditions does not hold.
//!
//! The order is part of the contract with the use cases: a kept answer goes before every refusal, since whoever
//! repeats a request shall hear the first answer and not that its own first request stands in the way; and a moved
//! allocation goes before the claims that were decided on its old form.

use callveil_domain::allocation::Allocation;
use callveil_domain::receipt::Receipt;
use callveil_domain::store::{AllocationWrite, Change, Claim, ClaimKey, Conflict, Guard, Outcome};
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::Lending;
use rusqlite::{Connection, params};

use super::directory::{self, Held};
use super::facts;
use super::fault::Fault;
use super::reads;
use super::rows::{self, Place};
use super::statements as sql;

/// Why applying stopped.
pub(super) enum Stop {
    /// A condition does not hold.
    Refused(Conflict),
    /// A statement failed.
    Fault(Fault),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Fault(error.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// Applies a change. What was written before a refusal or a fault is for the caller to undo.
pub(super) fn apply(tx: &Connection, change: &Change, held: Option<&Held>) -> Result<Outcome, Fault> {
    match apply_in_order(tx, change, held) {
        Ok(()) => Ok(Outcome::Applied),
        Err(Stop::Refused(conflict)) => Ok(Outcome::Refused(conflict)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

fn apply_in_order(tx: &Connection, change: &Change, held: Option<&Held>) -> Result<(), Stop> {
    let Change {
        now,
        haste: _,
        guards,
        allocations,
        take,
        cool,
        directory,
        receipt,
        calls,
        hangups,
        events,
        deliveries,
        audit,
        seal,
        redact,
        forget,
    } = change;
    if let Some(receipt) = receipt {
        keep_receipt(tx, receipt)?;
    }
    for write in allocations {
        write_allocation(tx, write)?;
    }
    for guard in guards {
        check_before_claims(tx, guard, change)?;
    }
    for claim in take {
        take_claim(tx, claim, *now)?;
    }
    for claim in cool {
        cool_claim(tx, claim)?;
    }
    for guard in guards {
        check_after_claims(tx, guard, *now)?;
    }
    if !directory.is_empty() {
        directory::apply(tx, directory, *now, held)?;
    }
    for call in calls {
        facts::put_call(tx, call)?;
    }
    for (tenant, call) in hangups {
        facts::request_hangup(tx, tenant, *call)?;
    }
    for event in events {
        facts::put_event(tx, event)?;
    }
    for delivery in deliveries {
        facts::write_delivery(tx, delivery)?;
    }
    for entry in audit {
        facts::put_audit(tx, entry)?;
    }
    if let Some(seal) = seal {
        facts::seal(tx, seal)?;
    }
    for redaction in redact {
        facts::redact(tx, redaction)?;
    }
    if let Some(number) = forget {
        facts::forget(tx, *number)?;
    }
    Ok(())
}

fn keep_receipt(tx: &Connection, receipt: &Receipt) -> Result<(), Stop> {
    let Receipt { tenant, scope, key, fingerprint, status, body, made_at } = receipt;
    let kept = tx.prepare_cached(sql::KEEP_RECEIPT)?.execute(params![
        tenant.as_str(),
        scope,
        key,
        fingerprint,
        status,
        body,
        made_at.as_micros()
    ])?;
    match kept {
        1 => Ok(()),
        _ => Err(Stop::Refused(Conflict::Answered)),
    }
}

fn write_allocation(tx: &Connection, write: &AllocationWrite) -> Result<(), Stop> {
    let (sql, allocation): (_, &Allocation) = match write {
        AllocationWrite::Insert(allocation) => (sql::INSERT_ALLOCATION, allocation),
        AllocationWrite::Update(allocation) => (sql::UPDATE_ALLOCATION, allocation),
    };
    match rows::write_allocation(&mut tx.prepare_cached(sql)?, allocation)? {
        1 => Ok(()),
        _ => Err(Stop::Refused(Conflict::Moved(allocation.id))),
    }
}

fn check_before_claims(tx: &Connection, guard: &Guard, change: &Change) -> Result<(), Stop> {
    let holds = match guard {
        Guard::Lendable { tenant, virtual_number } => {
            directory::standing_of(tx, *virtual_number)? == Some((tenant.clone(), Lending::Open))
        }
        Guard::Shared { virtual_number } => {
            let whole = ClaimKey::Whole { virtual_number: *virtual_number };
            reads::claim(tx, &whole)?.is_none_or(|c| c.held_until <= change.now || is_own(&c, change))
        }
        Guard::PinRoom { .. } => true,
    };
    unless_refused(holds, guard)
}

/// Whether a claim is held by an allocation that the change writes.
fn is_own(claim: &Claim, change: &Change) -> bool {
    change.allocations.iter().any(|write| match write {
        AllocationWrite::Insert(own) | AllocationWrite::Update(own) => own.id == claim.allocation,
    })
}

fn unless_refused(holds: bool, guard: &Guard) -> Result<(), Stop> {
    match holds {
        true => Ok(()),
        false => Err(Stop::Refused(Conflict::Guard(guard.clone()))),
    }
}

fn check_after_claims(tx: &Connection, guard: &Guard, now: Timestamp) -> Result<(), Stop> {
    let holds = match guard {
        Guard::Lendable { .. } | Guard::Shared { .. } => true,
        Guard::PinRoom { virtual_number, allocation, others } => {
            let of = params![rows::digits(*virtual_number), now.as_micros(), allocation.as_bytes()];
            let held: u32 = tx.prepare_cached(sql::COUNT_OTHERS_PINS)?.query_one(of, |row| row.get(0))?;
            held <= *others
        }
    };
    unless_refused(holds, guard)
}

fn take_claim(tx: &Connection, claim: &Claim, now: Timestamp) -> Result<(), Stop> {
    let Claim { key, allocation, held_until } = claim;
    let (id, until, now) = (allocation.as_bytes(), held_until.as_micros(), now.as_micros());
    let taken = match Place::of(key) {
        Place::OnNumber { kind, key, virtual_number } => {
            tx.prepare_cached(sql::TAKE)?.execute(params![kind, key, virtual_number, id, until, now])?
        }
        Place::Connection { tenant, connection } => {
            tx.prepare_cached(sql::TAKE_CONNECTION)?.execute(params![tenant, connection, id, until, now])?
        }
    };
    match taken {
        1 => Ok(()),
        _ => Err(Stop::Refused(Conflict::Held(key.clone()))),
    }
}

/// Lets a claim go at its time. One that its allocation does not hold any more is somebody else's, and stays.
fn cool_claim(tx: &Connection, claim: &Claim) -> Result<(), Stop> {
    let Claim { key, allocation, held_until } = claim;
    let (id, until) = (allocation.as_bytes(), held_until.as_micros());
    match Place::of(key) {
        Place::OnNumber { kind, key, virtual_number } => {
            tx.prepare_cached(sql::COOL)?.execute(params![kind, key, virtual_number, id, until])?;
        }
        Place::Connection { tenant, connection } => {
            tx.prepare_cached(sql::COOL_CONNECTION)?.execute(params![tenant, connection, id, until])?;
        }
    }
    Ok(())
}
