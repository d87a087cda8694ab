//! Throws away what no rule looks at any more: a few rows of each table in a step, so that no answer waits long.
//!
//! Tables are walked by their keys, because an index on the time would cost every claim that is ever taken.

use callveil_domain::event::EventId;
use callveil_domain::store::{Ended, Tidied, Tidy, TidyTenant};
use callveil_domain::time::Timestamp;
use rusqlite::{Connection, params};

use super::fault::Fault;
use super::rows::{Cells, all, count, first};
use super::statements as sql;

/// After all SIDs, which are ASCII.
const END_OF_TENANTS: &str = "\u{7f}";

/// Where the next step begins in each table. A restart begins anew, which costs nothing but time.
#[derive(Clone)]
pub(super) struct Position {
    claim: (i64, i64, i64),
    connection: (String, String),
    allocation: (String, Vec<u8>),
}

impl Default for Position {
    fn default() -> Position {
        Position {
            claim: (-1, 0, 0),
            connection: (String::new(), String::new()),
            allocation: (String::new(), Vec::new()),
        }
    }
}

/// Takes one step in each table.
pub(super) fn tidy(tx: &Connection, what: &Tidy, position: &mut Position) -> Result<Tidied, Fault> {
    let Tidy { claims_before, allocations_before, receipts_before, audit_before, ref tenants, step } = *what;
    let (on_numbers, claims) = tidy_claims(tx, claims_before, step, &mut position.claim)?;
    let (of_connections, connections) = tidy_connections(tx, claims_before, step, &mut position.connection)?;
    let (gone, allocations) = tidy_allocations(tx, allocations_before, step, &mut position.allocation)?;
    let receipts =
        tx.prepare_cached(sql::TIDY_RECEIPTS)?.execute([receipts_before.as_micros(), count(step)])?;
    let mut tidied = Tidied {
        claims: on_numbers + of_connections,
        allocations: gone,
        receipts: rows_changed(receipts),
        audit: tidy_audit(tx, audit_before, step)?,
        ended: Ended { claims, connections, allocations },
        ..Tidied::default()
    };
    for tenant in tenants {
        tidied.calls += tidy_calls(tx, tenant, step)?;
        tidied.events += tidy_events(tx, tenant, step)?;
    }
    Ok(tidied)
}

fn tidy_calls(tx: &Connection, what: &TidyTenant, step: usize) -> Result<u64, Fault> {
    let before = EventId::least_at(what.calls_before);
    let old = params![what.tenant.as_str(), before.as_bytes(), count(step)];
    Ok(rows_changed(tx.prepare_cached(sql::TIDY_CALLS)?.execute(old)?))
}

fn tidy_events(tx: &Connection, what: &TidyTenant, step: usize) -> Result<u64, Fault> {
    let before = EventId::least_at(what.events_before);
    let old = params![what.tenant.as_str(), before.as_bytes(), count(step)];
    let old: Vec<[u8; 16]> = all(tx, sql::OLD_EVENTS, old, |row| Cells::from(row, 0).take())?;
    for event in &old {
        tx.prepare_cached(sql::TIDY_DELIVERIES)?.execute(params![what.tenant.as_str(), event])?;
        tx.prepare_cached(sql::TIDY_EVENT)?.execute(params![what.tenant.as_str(), event])?;
    }
    Ok(rows_changed(old.len()))
}

fn tidy_audit(tx: &Connection, before: Timestamp, step: usize) -> Result<u64, Fault> {
    let oldest: Vec<(i64, Timestamp)> = all(tx, sql::OLD_AUDIT, [count(step)], |row| {
        let mut cells = Cells::from(row, 0);
        Ok((cells.take()?, cells.moment()?))
    })?;
    match oldest.iter().take_while(|(_, at)| *at < before).last() {
        Some((place, _)) => Ok(rows_changed(tx.prepare_cached(sql::TIDY_AUDIT)?.execute([place])?)),
        None => Ok(0),
    }
}

fn tidy_claims(
    tx: &Connection,
    before: Timestamp,
    step: usize,
    position: &mut (i64, i64, i64),
) -> Result<(u64, bool), Fault> {
    let (kind, key, number) = *position;
    let end = first(tx, sql::CLAIM_STEP, [kind, key, number, last_of(step)], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let (to_kind, to_key, to_number) = end.unwrap_or((i64::MAX, 0, 0));
    let range = [kind, key, number, to_kind, to_key, to_number, before.as_micros()];
    let gone = tx.prepare_cached(sql::TIDY_CLAIMS)?.execute(range)?;
    let ended = end.is_none();
    *position = end.unwrap_or(Position::default().claim);
    Ok((rows_changed(gone), ended))
}

fn tidy_connections(
    tx: &Connection,
    before: Timestamp,
    step: usize,
    position: &mut (String, String),
) -> Result<(u64, bool), Fault> {
    let (tenant, connection) = &*position;
    let end: Option<(String, String)> =
        first(tx, sql::CONNECTION_STEP, params![tenant, connection, last_of(step)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let (to_tenant, to_connection) =
        end.as_ref().map_or((END_OF_TENANTS, ""), |(tenant, connection)| (tenant, connection));
    let range = params![tenant, connection, to_tenant, to_connection, before.as_micros()];
    let gone = tx.prepare_cached(sql::TIDY_CONNECTIONS)?.execute(range)?;
    let ended = end.is_none();
    *position = end.unwrap_or_default();
    Ok((rows_changed(gone), ended))
}

fn tidy_allocations(
    tx: &Connection,
    before: Timestamp,
    step: usize,
    position: &mut (String, Vec<u8>),
) -> Result<(u64, bool), Fault> {
    let (tenant, id) = &*position;
    let end: Option<(String, Vec<u8>)> =
        first(tx, sql::ALLOCATION_STEP, params![tenant, id, last_of(step)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let (to_tenant, to_id): (&str, &[u8]) =
        end.as_ref().map_or((END_OF_TENANTS, &[]), |(tenant, id)| (tenant, id));
    let range = params![tenant, id, to_tenant, to_id, before.as_micros()];
    let gone = tx.prepare_cached(sql::TIDY_ALLOCATIONS)?.execute(range)?;
    let ended = end.is_none();
    *position = end.unwrap_or_default();
    Ok((rows_changed(gone), ended))
}

/// How many rows lie before the last row of a step.
fn last_of(step: usize) -> i64 {
    count(step.max(1)) - 1
}

fn rows_changed(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
