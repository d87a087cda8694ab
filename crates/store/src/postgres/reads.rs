//! The reads of the contract: each is one statement, and so sees one moment.

use std::collections::HashMap;

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::receipt::Receipt;
use callveil_domain::store::{CallFacts, Claim, ClaimKey, ListPage, ListQuery};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use tokio_postgres::Row;

use super::fault::Fault;
use super::reader::Reader;
use super::rows::{self, Cells};
use super::statements as sql;
use crate::encoding::{Garbled, Place, count, digits, ids_between, pin_digits};

/// See [`Store::allocation`](callveil_domain::store::Store::allocation).
pub(super) async fn allocation(
    db: &Reader,
    tenant: &Sid,
    id: AllocationId,
) -> Result<Option<Allocation>, Fault> {
    one_allocation(
        &db.of(tenant).rows(&sql::ALLOCATION, &[&tenant.as_str(), &id.as_bytes().as_slice()]).await?,
    )
}

/// See [`Store::allocation_by_connection`](callveil_domain::store::Store::allocation_by_connection).
pub(super) async fn allocation_by_connection(
    db: &Reader,
    tenant: &Sid,
    connection: &ConnectionId,
) -> Result<Option<Allocation>, Fault> {
    one_allocation(
        &db.of(tenant)
            .rows(&sql::ALLOCATION_BY_CONNECTION, &[&tenant.as_str(), &connection.as_str()])
            .await?,
    )
}

/// See [`Store::allocations_by_number`](callveil_domain::store::Store::allocations_by_number).
pub(super) async fn allocations_by_number(
    db: &Reader,
    tenant: &Sid,
    number: PhoneNumber,
    limit: usize,
) -> Result<Vec<Allocation>, Fault> {
    let which: [super::session::Value<'_>; 3] = [&tenant.as_str(), &digits(number), &count(limit)];
    all_allocations(&db.of(tenant).rows(&sql::ALLOCATIONS_BY_NUMBER, &which).await?)
}

fn one_allocation(rows: &[Row]) -> Result<Option<Allocation>, Fault> {
    rows.first().map(|row| rows::allocation(row, 0)).transpose()
}

fn all_allocations(rows: &[Row]) -> Result<Vec<Allocation>, Fault> {
    rows.iter().map(|row| rows::allocation(row, 0)).collect()
}

/// See [`Store::list`](callveil_domain::store::Store::list).
pub(super) async fn list(db: &Reader, tenant: &Sid, wanted: &ListQuery) -> Result<ListPage, Fault> {
    let ListQuery { from, to, active, now, skip, limit } = *wanted;
    let (least, after) = ids_between(from, to);
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let rows = db
        .of(tenant)
        .long_rows(
            &sql::LIST,
            &[
                &tenant.as_str(),
                &least.as_bytes().as_slice(),
                &after.as_bytes().as_slice(),
                &from.as_micros(),
                &to.as_micros(),
                &active,
                &now.as_micros(),
                &count(limit),
                &skip,
            ],
        )
        .await?;
    let mut page = ListPage { allocations: Vec::new(), total: 0 };
    for row in &rows {
        let mut cells = Cells::from(row, 0);
        page.total = cells.take::<i64>()?.cast_unsigned();
        // A page that is empty is one row with the count alone.
        if cells.take::<Option<&str>>()?.is_some() {
            page.allocations.push(rows::allocation(row, 1)?);
        }
    }
    Ok(page)
}

/// See [`Store::pins_on`](callveil_domain::store::Store::pins_on).
pub(super) async fn pins_on(
    db: &Reader,
    virtual_number: PhoneNumber,
    now: Timestamp,
) -> Result<Vec<(Pin, AllocationId)>, Fault> {
    let rows = db.rows(&sql::PINS_ON, &[&digits(virtual_number), &now.as_micros()]).await?;
    let pin = |row: &Row| {
        let mut cells = Cells::from(row, 0);
        Ok((cells.pin()?, cells.allocation_id()?))
    };
    rows.iter().map(pin).collect()
}

/// See [`Store::call_facts`](callveil_domain::store::Store::call_facts).
pub(super) async fn call_facts(
    db: &Reader,
    virtual_number: PhoneNumber,
    caller: Option<PhoneNumber>,
    now: Timestamp,
) -> Result<CallFacts, Fault> {
    let which: [super::session::Value<'_>; 3] =
        [&digits(virtual_number), &caller.map(digits), &now.as_micros()];
    let rows = db.rows(&sql::CALL_FACTS, &which).await?;
    let row = rows.first().ok_or(Garbled("a call without facts"))?;
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
pub(super) async fn holder_of_pin(
    db: &Reader,
    virtual_number: PhoneNumber,
    pin: Pin,
    now: Timestamp,
) -> Result<Option<Allocation>, Fault> {
    let which: [super::session::Value<'_>; 3] = [&digits(virtual_number), &pin_digits(pin), &now.as_micros()];
    one_allocation(&db.rows(&sql::HOLDER_OF_PIN, &which).await?)
}

/// See [`Store::due`](callveil_domain::store::Store::due).
pub(super) async fn due(db: &Reader, now: Timestamp, limit: usize) -> Result<Vec<Allocation>, Fault> {
    all_allocations(&db.rows(&sql::DUE, &[&now.as_micros(), &count(limit)]).await?)
}

/// See [`Store::receipt`](callveil_domain::store::Store::receipt).
pub(super) async fn receipt(
    db: &Reader,
    tenant: &Sid,
    scope: &str,
    key: &str,
) -> Result<Option<Receipt>, Fault> {
    let rows = db.of(tenant).rows(&sql::RECEIPT, &[&tenant.as_str(), &scope, &key]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut cells = Cells::from(row, 0);
    Ok(Some(Receipt {
        tenant: tenant.clone(),
        scope: scope.to_owned(),
        key: key.to_owned(),
        fingerprint: cells.bytes()?,
        status: cells.take::<i16>()?.cast_unsigned(),
        body: cells.take()?,
        made_at: cells.moment()?,
    }))
}

/// See [`Store::loads`](callveil_domain::store::Store::loads).
pub(super) async fn loads(db: &Reader) -> Result<Vec<(PhoneNumber, u32)>, Fault> {
    let rows = db.long_rows(&sql::LOADS, &[]).await?;
    let load = |row: &Row| {
        let mut cells = Cells::from(row, 0);
        Ok((cells.number()?, u32::try_from(cells.take::<i64>()?).unwrap_or(u32::MAX)))
    };
    rows.iter().map(load).collect()
}

/// See [`Store::allocations_after`](callveil_domain::store::Store::allocations_after).
pub(super) async fn allocations_after(
    db: &Reader,
    after: Option<(Sid, AllocationId)>,
    limit: usize,
) -> Result<Vec<Allocation>, Fault> {
    let (tenant, id): (&str, &[u8]) = match &after {
        Some((tenant, id)) => (tenant.as_str(), id.as_bytes()),
        None => ("", &[]),
    };
    all_allocations(&db.long_rows(&sql::ALLOCATIONS_AFTER, &[&tenant, &id, &count(limit)]).await?)
}

/// See [`Store::claims_after`](callveil_domain::store::Store::claims_after).
pub(super) async fn claims_after(
    db: &Reader,
    after: Option<ClaimKey>,
    limit: usize,
) -> Result<Vec<Claim>, Fault> {
    let (on_numbers, of_connections) = match after.as_ref().map(Place::of) {
        None => (Some((-1, 0, 0)), ("", "")),
        Some(Place::OnNumber { kind, key, virtual_number }) => (Some((kind, key, virtual_number)), ("", "")),
        Some(Place::Connection { tenant, connection }) => (None, (tenant, connection)),
    };
    let mut claims: Vec<Claim> = Vec::new();
    if let Some((kind, key, number)) = on_numbers {
        let rows = db.long_rows(&sql::CLAIMS_AFTER, &[&kind, &key, &number, &count(limit)]).await?;
        claims = rows.iter().map(rows::claim).collect::<Result<_, _>>()?;
    }
    let room = limit - claims.len();
    if room > 0 {
        let (tenant, connection) = of_connections;
        let rows = db.long_rows(&sql::CONNECTION_CLAIMS_AFTER, &[&tenant, &connection, &count(room)]).await?;
        for row in &rows {
            claims.push(rows::connection_claim(row)?);
        }
    }
    Ok(claims)
}

/// See [`Store::claims`](callveil_domain::store::Store::claims).
pub(super) async fn claims(db: &Reader, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, Fault> {
    let (mut kinds, mut values, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tenants, mut connections) = (Vec::new(), Vec::new());
    for key in keys {
        match Place::of(key) {
            Place::OnNumber { kind, key, virtual_number } => {
                kinds.push(kind);
                values.push(key);
                numbers.push(virtual_number);
            }
            Place::Connection { tenant, connection } => {
                tenants.push(tenant);
                connections.push(connection);
            }
        }
    }
    let mut found: HashMap<ClaimKey, Claim> = HashMap::new();
    if !kinds.is_empty() {
        for row in db.rows(&sql::CLAIMS, &[&kinds, &values, &numbers]).await? {
            let claim = rows::claim(&row)?;
            found.insert(claim.key.clone(), claim);
        }
    }
    if !tenants.is_empty() {
        for row in db.rows(&sql::CONNECTION_CLAIMS, &[&tenants, &connections]).await? {
            let claim = rows::connection_claim(&row)?;
            found.insert(claim.key.clone(), claim);
        }
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// See [`Store::damage`](callveil_domain::store::Store::damage). The engine watches over its own files; what can be
/// asked is whether its references hold.
pub(super) async fn damage(db: &Reader) -> Result<Vec<String>, Fault> {
    let rows = db.long_rows(&sql::ORPHANS, &[]).await?;
    let orphan = |row: &Row| {
        let table: &str = Cells::from(row, 0).take()?;
        Ok(format!("a row of {table} refers to a tenant that is not there"))
    };
    rows.iter().map(orphan).collect()
}

/// See [`Store::latest_moment`](callveil_domain::store::Store::latest_moment).
pub(super) async fn latest_moment(db: &Reader) -> Result<Timestamp, Fault> {
    let rows = db.rows(&sql::LATEST_MOMENT, &[]).await?;
    let row = rows.first().ok_or(Garbled("no latest moment"))?;
    Cells::from(row, 0).moment()
}
