//! Throws away what no rule looks at any more: a few rows of each table in a step.
//!
//! Tables are walked by their keys, because an index on the time would cost every claim that is ever taken. Nodes walk
//! each for itself: what one has thrown away the other does not find.

use callveil_domain::event::EventId;
use callveil_domain::store::{Ended, Tidied, Tidy, TidyTenant};

use super::fault::Fault;
use super::rows::Cells;
use super::session::{Session, Value};
use super::statements as sql;
use crate::encoding::count;

/// After all SIDs, which are ASCII.
const END_OF_TENANTS: &str = "\u{7f}";

/// Where the next step begins in each table. A restart begins anew, which costs nothing but time.
pub(super) struct Position {
    claim: (i16, i64, i64),
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
pub(super) async fn tidy(session: &Session, what: &Tidy, position: &mut Position) -> Result<Tidied, Fault> {
    let Tidy { claims_before, allocations_before, receipts_before, audit_before, ref tenants, step } = *what;
    let last = count(step.max(1)) - 1;
    let (on_numbers, claims) =
        tidy_claims(session, claims_before.as_micros(), last, &mut position.claim).await?;
    let (of_connections, connections) =
        tidy_connections(session, claims_before.as_micros(), last, &mut position.connection).await?;
    let (gone, allocations) =
        tidy_allocations(session, allocations_before.as_micros(), last, &mut position.allocation).await?;
    let receipts = session.query(&sql::TIDY_RECEIPTS, &[&receipts_before.as_micros(), &count(step)]).await?;
    let audit = session.query(&sql::TIDY_AUDIT, &[&audit_before.as_micros(), &count(step)]).await?;
    session.query(&sql::TIDY_WRITERS, &[&claims_before.as_micros()]).await?;
    session.query(&sql::TIDY_NODES, &[&claims_before.as_micros()]).await?;
    let mut tidied = Tidied {
        claims: on_numbers + of_connections,
        allocations: gone,
        receipts: rows_changed(receipts.len()),
        audit: rows_changed(audit.len()),
        ended: Ended { claims, connections, allocations },
        ..Tidied::default()
    };
    for TidyTenant { tenant, calls_before, events_before } in tenants {
        let (calls, events) = (EventId::least_at(*calls_before), EventId::least_at(*events_before));
        let old_calls: [Value<'_>; 3] = [&tenant.as_str(), &calls.as_bytes().as_slice(), &count(step)];
        let old_events: [Value<'_>; 3] = [&tenant.as_str(), &events.as_bytes().as_slice(), &count(step)];
        tidied.calls += rows_changed(session.query(&sql::TIDY_CALLS, &old_calls).await?.len());
        tidied.events += rows_changed(session.query(&sql::TIDY_EVENTS, &old_events).await?.len());
    }
    Ok(tidied)
}

async fn tidy_claims(
    session: &Session,
    before: i64,
    last: i64,
    position: &mut (i16, i64, i64),
) -> Result<(u64, bool), Fault> {
    let (kind, key, number) = *position;
    let found = session.query(&sql::CLAIM_STEP, &[&kind, &key, &number, &last]).await?;
    let end: Option<(i16, i64, i64)> = match found.first() {
        Some(row) => {
            let mut cells = Cells::from(row, 0);
            Some((cells.take()?, cells.take()?, cells.take()?))
        }
        None => None,
    };
    let (to_kind, to_key, to_number) = end.unwrap_or((i16::MAX, 0, 0));
    let gone = session
        .query(&sql::TIDY_CLAIMS, &[&kind, &key, &number, &to_kind, &to_key, &to_number, &before])
        .await?;
    let ended = end.is_none();
    *position = end.unwrap_or(Position::default().claim);
    Ok((rows_changed(gone.len()), ended))
}

async fn tidy_connections(
    session: &Session,
    before: i64,
    last: i64,
    position: &mut (String, String),
) -> Result<(u64, bool), Fault> {
    let (tenant, connection) = &*position;
    let found = session.query(&sql::CONNECTION_STEP, &[tenant, connection, &last]).await?;
    let end: Option<(String, String)> = match found.first() {
        Some(row) => {
            let mut cells = Cells::from(row, 0);
            Some((cells.take()?, cells.take()?))
        }
        None => None,
    };
    let (to_tenant, to_connection) =
        end.as_ref().map_or((END_OF_TENANTS, ""), |(tenant, connection)| (tenant, connection));
    let gone = session
        .query(&sql::TIDY_CONNECTIONS, &[tenant, connection, &to_tenant, &to_connection, &before])
        .await?;
    let ended = end.is_none();
    *position = end.unwrap_or_default();
    Ok((rows_changed(gone.len()), ended))
}

async fn tidy_allocations(
    session: &Session,
    before: i64,
    last: i64,
    position: &mut (String, Vec<u8>),
) -> Result<(u64, bool), Fault> {
    let (tenant, id) = &*position;
    let found = session.query(&sql::ALLOCATION_STEP, &[tenant, id, &last]).await?;
    let end: Option<(String, Vec<u8>)> = match found.first() {
        Some(row) => {
            let mut cells = Cells::from(row, 0);
            Some((cells.take()?, cells.take()?))
        }
        None => None,
    };
    let (to_tenant, to_id): (&str, &[u8]) =
        end.as_ref().map_or((END_OF_TENANTS, &[]), |(tenant, id)| (tenant, id));
    let gone = session.query(&sql::TIDY_ALLOCATIONS, &[tenant, id, &to_tenant, &to_id, &before]).await?;
    let ended = end.is_none();
    *position = end.unwrap_or_default();
    Ok((rows_changed(gone.len()), ended))
}

fn rows_changed(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
