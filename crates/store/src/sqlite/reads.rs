//! The reads of the contract, each on a connection that is given.

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::receipt::Receipt;
use callveil_domain::store::{CallFacts, Claim, ClaimKey, ListPage, ListQuery, PastClaim};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::rows::{self, Cells, Place, all, count, digits, first, pin_digits};
use super::statements as sql;
use crate::encoding::ids_between;

/// See [`Store::allocation`](callveil_domain::store::Store::allocation).
pub(super) fn allocation(
    db: &Connection,
    tenant: &Sid,
    id: AllocationId,
) -> Result<Option<Allocation>, Fault> {
    first(db, sql::ALLOCATION, params![tenant.as_str(), id.as_bytes()], |row| rows::allocation(row, 0))
}

/// See [`Store::allocation_by_connection`](callveil_domain::store::Store::allocation_by_connection).
pub(super) fn allocation_by_connection(
    db: &Connection,
    tenant: &Sid,
    connection: &ConnectionId,
) -> Result<Option<Allocation>, Fault> {
    let which = [tenant.as_str(), connection.as_str()];
    first(db, sql::ALLOCATION_BY_CONNECTION, which, |row| rows::allocation(row, 0))
}

/// See [`Store::allocations_by_number`](callveil_domain::store::Store::allocations_by_number).
pub(super) fn allocations_by_number(
    db: &Connection,
    tenant: &Sid,
    number: PhoneNumber,
    limit: usize,
) -> Result<Vec<Allocation>, Fault> {
    let which = params![tenant.as_str(), digits(number), count(limit)];
    all(db, sql::ALLOCATIONS_BY_NUMBER, which, |row| rows::allocation(row, 0))
}

/// See [`Store::list`](callveil_domain::store::Store::list).
pub(super) fn list(db: &Connection, tenant: &Sid, wanted: &ListQuery) -> Result<ListPage, Fault> {
    let ListQuery { from, to, active, now, skip, limit } = *wanted;
    let (least, after) = ids_between(from, to);
    let (tenant, from, to, now) = (tenant.as_str(), from.as_micros(), to.as_micros(), now.as_micros());
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let tx = db.unchecked_transaction()?;

    let which = params![tenant, least.as_bytes(), after.as_bytes(), from, to, active, now];
    let total: i64 = tx.prepare_cached(sql::COUNT_LIST)?.query_one(which, |row| row.get(0))?;
    let which =
        params![tenant, least.as_bytes(), after.as_bytes(), from, to, active, now, count(limit), skip];
    let allocations = all(&tx, sql::LIST, which, |row| rows::allocation(row, 0))?;

    Ok(ListPage { allocations, total: total.cast_unsigned() })
}

/// See [`Store::past_of`](callveil_domain::store::Store::past_of).
pub(super) fn past_of(db: &Connection, numbers: &[PhoneNumber]) -> Result<Vec<PastClaim>, Fault> {
    let mut past = Vec::new();
    for number in numbers {
        past.append(&mut all(db, sql::PAST_OF, [digits(*number)], rows::past_claim)?);
    }
    Ok(past)
}

/// See [`Store::pins_on`](callveil_domain::store::Store::pins_on).
pub(super) fn pins_on(
    db: &Connection,
    virtual_number: PhoneNumber,
    now: Timestamp,
) -> Result<Vec<(Pin, AllocationId)>, Fault> {
    all(db, sql::PINS_ON, [digits(virtual_number), now.as_micros()], |row| {
        let mut cells = Cells::from(row, 0);
        Ok((cells.pin()?, cells.allocation_id()?))
    })
}

/// See [`Store::call_facts`](callveil_domain::store::Store::call_facts).
pub(super) fn call_facts(
    db: &Connection,
    virtual_number: PhoneNumber,
    caller: Option<PhoneNumber>,
    now: Timestamp,
) -> Result<CallFacts, Fault> {
    let mut statement = db.prepare_cached(sql::CALL_FACTS)?;
    let mut rows = statement.query(params![digits(virtual_number), caller.map(digits), now.as_micros()])?;
    let row = rows.next()?.ok_or(Fault::Row("a call without facts"))?;
    let mut cells = Cells::from(row, 0);
    Ok(CallFacts {
        pooled: cells.take()?,
        caller_is_pooled: cells.take()?,
        has_pins: cells.take()?,
        holder: match cells.take()? {
            true => Some(rows::allocation(row, 4)?),
            false => None,
        },
    })
}

/// See [`Store::holder_of_pin`](callveil_domain::store::Store::holder_of_pin).
pub(super) fn holder_of_pin(
    db: &Connection,
    virtual_number: PhoneNumber,
    pin: Pin,
    now: Timestamp,
) -> Result<Option<Allocation>, Fault> {
    let which = [digits(virtual_number), pin_digits(pin), now.as_micros()];
    first(db, sql::HOLDER_OF_PIN, which, |row| rows::allocation(row, 0))
}

/// See [`Store::due`](callveil_domain::store::Store::due).
pub(super) fn due(db: &Connection, now: Timestamp, limit: usize) -> Result<Vec<Allocation>, Fault> {
    all(db, sql::DUE, [now.as_micros(), count(limit)], |row| rows::allocation(row, 0))
}

/// See [`Store::receipt`](callveil_domain::store::Store::receipt).
pub(super) fn receipt(
    db: &Connection,
    tenant: &Sid,
    scope: &str,
    key: &str,
) -> Result<Option<Receipt>, Fault> {
    first(db, sql::RECEIPT, [tenant.as_str(), scope, key], |row| {
        let mut cells = Cells::from(row, 0);
        Ok(Receipt {
            tenant: tenant.clone(),
            scope: scope.to_owned(),
            key: key.to_owned(),
            fingerprint: cells.take()?,
            status: cells.take()?,
            body: cells.take()?,
            made_at: cells.moment()?,
        })
    })
}

/// See [`Store::loads`](callveil_domain::store::Store::loads).
pub(super) fn loads(db: &Connection) -> Result<Vec<(PhoneNumber, u32)>, Fault> {
    all(db, sql::LOADS, [], |row| {
        let mut cells = Cells::from(row, 0);
        Ok((cells.number()?, cells.take()?))
    })
}

/// See [`Store::allocations_after`](callveil_domain::store::Store::allocations_after).
pub(super) fn allocations_after(
    db: &Connection,
    after: Option<(Sid, AllocationId)>,
    limit: usize,
) -> Result<Vec<Allocation>, Fault> {
    let (tenant, id): (&str, &[u8]) = match &after {
        Some((tenant, id)) => (tenant.as_str(), id.as_bytes()),
        None => ("", &[]),
    };
    all(db, sql::ALLOCATIONS_AFTER, params![tenant, id, count(limit)], |row| rows::allocation(row, 0))
}

/// See [`Store::claims_after`](callveil_domain::store::Store::claims_after).
pub(super) fn claims_after(
    db: &Connection,
    after: Option<ClaimKey>,
    limit: usize,
) -> Result<Vec<Claim>, Fault> {
    let tx = db.unchecked_transaction()?;
    let (on_numbers, of_connections) = match after.as_ref().map(Place::of) {
        None => (Some((-1, 0, 0)), ("", "")),
        Some(Place::OnNumber { kind, key, virtual_number }) => (Some((kind, key, virtual_number)), ("", "")),
        Some(Place::Connection { tenant, connection }) => (None, (tenant, connection)),
    };
    let mut claims = match on_numbers {
        Some((kind, key, number)) => {
            all(&tx, sql::CLAIMS_AFTER, params![kind, key, number, count(limit)], rows::claim)?
        }
        None => Vec::new(),
    };
    let room = limit - claims.len();
    if room > 0 {
        let (tenant, connection) = of_connections;
        let after = params![tenant, connection, count(room)];
        claims.append(&mut all(&tx, sql::CONNECTION_CLAIMS_AFTER, after, rows::connection_claim)?);
    }
    Ok(claims)
}

/// See [`Store::claims`](callveil_domain::store::Store::claims).
pub(super) fn claims(db: &Connection, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, Fault> {
    keys.iter().map(|key| claim(db, key)).collect()
}

/// The claim that stands under a key, held or free.
pub(super) fn claim(db: &Connection, key: &ClaimKey) -> Result<Option<Claim>, Fault> {
    match Place::of(key) {
        Place::OnNumber { kind, key, virtual_number } => {
            first(db, sql::CLAIM, params![kind, key, virtual_number], rows::claim)
        }
        Place::Connection { tenant, connection } => {
            first(db, sql::CONNECTION_CLAIM, [tenant, connection], rows::connection_claim)
        }
    }
}

/// See [`Store::damage`](callveil_domain::store::Store::damage).
pub(super) fn damage(db: &Connection) -> Result<Vec<String>, Fault> {
    let mut found: Vec<String> = all(db, sql::INTEGRITY, [], |row| Cells::from(row, 0).take())?;
    found.retain(|sentence| sentence != "ok");
    let orphans = all(db, sql::ORPHANS, [], |row| {
        let mut cells = Cells::from(row, 0);
        let table = cells.text()?.to_owned();
        let _: Option<i64> = cells.take()?;
        Ok(format!("a row of {table} refers to one of {} that is not there", cells.text()?))
    });
    found.append(&mut orphans?);
    Ok(found)
}

/// See [`Store::latest_moment`](callveil_domain::store::Store::latest_moment).
pub(super) fn latest_moment(db: &Connection) -> Result<Timestamp, Fault> {
    let latest = first(db, sql::LATEST_MOMENT, [], |row| Cells::from(row, 0).moment())?;
    latest.ok_or(Fault::Row("no latest moment"))
}
