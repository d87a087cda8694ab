//! Calls, events and deliveries in a table a month, where an operator wants it: old months are then dropped, which takes
//! a moment, instead of deleted row by row.
//!
//! Their ids are UUIDv7, which sort by time, and are part of every key: so each table is divided by ranges of its ids,
//! and no statement knows of it. What there was before stays one table, as the first range. A row for which there is no
//! month goes to a table for the others, so that none is ever refused.

use callveil_domain::event::EventId;
use callveil_domain::store::Tidy;
use callveil_domain::time::Timestamp;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::migrate::LOCK;
use super::rows::Cells;
use super::session::Session;
use super::statements::{self as sql, Sql};
use super::wall;

/// A table that can be divided.
struct Divided {
    table: &'static str,
    /// By whose time it is divided.
    id: &'static str,
    /// Finds whether one of its parts, with ids before an end, holds what must stay.
    stays: fn(part: &str, end: &str) -> String,
    /// Before when all tenants are done with it.
    done_before: fn(&Tidy) -> Option<Timestamp>,
}

/// Those tables, whose rows nothing refers to. What is owed is dropped before what it is owed for.
const TABLES: &[Divided] = &[
    Divided {
        table: "call",
        id: "call_id",
        stays: |part, _| format!("select 1 from {part} where ended_at is null limit 1"),
        done_before: |what| what.tenants.iter().map(|tenant| tenant.calls_before).min(),
    },
    Divided {
        table: "delivery",
        id: "event_id",
        stays: |part, _| format!("select 1 from {part} where state = 0 limit 1"),
        done_before: |what| what.tenants.iter().map(|tenant| tenant.events_before).min(),
    },
    Divided {
        table: "event",
        id: "event_id",
        stays: |_, end| format!("select 1 from delivery where state = 0 and event_id < {end} limit 1"),
        done_before: |what| what.tenants.iter().map(|tenant| tenant.events_before).min(),
    },
];

/// What was done to the months, by the names of their tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Those made.
    pub made: Vec<String>,
    /// Those dropped.
    pub dropped: Vec<String>,
}

/// A month, and the moments at which it and the next one begin.
struct Month {
    name: String,
    from: Timestamp,
    to: Timestamp,
}

/// A part of a divided table: the rows with ids before an end.
struct Part {
    name: String,
    end: Timestamp,
}

/// This month and the next, as far ahead as they are made.
const MONTHS: Sql = Sql {
    text: "
        select to_char(month, 'YYYY_MM'),
            cast(extract(epoch from month) * 1000000 as bigint),
            cast(extract(epoch from month + interval '1 month') * 1000000 as bigint)
        from (select date_trunc('month', timestamp '1970-01-01' + $1 * interval '1 microsecond') as first) as present
        cross join lateral generate_series(first, first + interval '3 months', interval '1 month') as month",
    types: &[Type::INT8],
};

const IS_DIVIDED: Sql = Sql {
    text: "select 1 from pg_catalog.pg_partitioned_table where partrelid = to_regclass($1)",
    types: &[Type::TEXT],
};

const PARTS: Sql = Sql {
    text: "
        select cast(child.relname as text), pg_catalog.pg_get_expr(child.relpartbound, child.oid)
        from pg_catalog.pg_inherits as part
        join pg_catalog.pg_class as child
            on child.oid = part.inhrelid
        where part.inhparent = to_regclass($1)",
    types: &[Type::TEXT],
};

/// Keys and references.
const CONSTRAINTS: Sql = Sql {
    text: "
        select cast(conname as text), pg_catalog.pg_get_constraintdef(oid)
        from pg_catalog.pg_constraint
        where conrelid = to_regclass($1)
            and contype in ('p', 'f')",
    types: &[Type::TEXT],
};

const INDEXES: Sql = Sql {
    text: "
        select cast(indexname as text), indexdef
        from pg_catalog.pg_indexes
        where schemaname = any (current_schemas(false))
            and tablename = $1",
    types: &[Type::TEXT],
};

/// How long a table is waited for. Whoever comes after us waits as long.
const PATIENCE: &str = "set local lock_timeout = '2s'; set local bytea_output = 'hex'";

/// Divides the tables that are not divided yet, and makes the months. Each is read through once meanwhile, and whoever
/// wants it waits.
pub(super) async fn divide(
    session: &Session,
    now: Timestamp,
    tenant_role: Option<&str>,
) -> Result<(), Fault> {
    let months = months(session, now).await?;
    let Some(Month { to, .. }) = months.first() else { return Ok(()) };
    for divided in TABLES {
        let split = async {
            if !is_divided(session, divided).await? {
                split(session, divided, *to).await?;
            }
            match tenant_role {
                Some(role) => wall::raise(session, role).await,
                None => Ok(()),
            }
        };
        locked(session, split).await?;
    }
    Ok(())
}

/// Makes the months that are ahead, and drops those with which all tenants are done and of which nothing is under way.
/// Answers with nothing when no table is divided.
pub(super) async fn renew(session: &Session, now: Timestamp, what: &Tidy) -> Result<Option<Renewed>, Fault> {
    let mut renewed = None;
    for divided in TABLES {
        if !is_divided(session, divided).await? {
            continue;
        }
        let Renewed { made, dropped } = renewed.get_or_insert_with(Renewed::default);
        for month in months(session, now).await? {
            made.extend(locked(session, make(session, divided, &month)).await?);
        }
        let Some(done_before) = (divided.done_before)(what) else { continue };
        let past = |part: &Part| part.end <= done_before;
        for part in parts(session, divided).await?.into_iter().filter(past) {
            dropped.extend(locked(session, drop_part(session, divided, part)).await?);
        }
    }
    Ok(renewed)
}

/// Does something in a transaction of its own that no other node's comes between.
async fn locked<T>(session: &Session, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    session.run(LOCK).await?;
    let done = async {
        session.run(PATIENCE).await?;
        work.await
    };
    match done.await {
        Ok(done) => {
            session.run(sql::COMMIT).await?;
            Ok(done)
        }
        Err(fault) => {
            session.run(sql::ROLLBACK).await?;
            Err(fault)
        }
    }
}

async fn is_divided(session: &Session, divided: &Divided) -> Result<bool, Fault> {
    Ok(!session.query(&IS_DIVIDED, &[&divided.table]).await?.is_empty())
}

async fn months(session: &Session, now: Timestamp) -> Result<Vec<Month>, Fault> {
    let rows = session.query(&MONTHS, &[&now.as_micros()]).await?;
    let month = |row| {
        let mut cells = Cells::from(row, 0);
        Ok(Month { name: cells.take()?, from: cells.moment()?, to: cells.moment()? })
    };
    rows.iter().map(month).collect()
}

/// The parts that have an end, which the table of the others has not.
async fn parts(session: &Session, divided: &Divided) -> Result<Vec<Part>, Fault> {
    let mut parts = Vec::new();
    for row in session.query(&PARTS, &[&divided.table]).await? {
        let mut cells = Cells::from(&row, 0);
        let (name, bounds): (String, String) = (cells.take()?, cells.take()?);
        if let Some(end) = end_of(&bounds) {
            parts.push(Part { name, end });
        }
    }
    parts.sort_by_key(|part| part.end);
    Ok(parts)
}

/// The moment of the id at which a range ends: `FOR VALUES FROM (...) TO ('\x0193...')`.
fn end_of(bounds: &str) -> Option<Timestamp> {
    let (_, end) = bounds.split_once("TO ('\\x")?;
    let millis = i64::from_str_radix(end.get(..12)?, 16).ok()?;
    Some(Timestamp::from_micros(millis * 1_000))
}

/// The least id of a moment, as SQL has it.
fn least_at(moment: Timestamp) -> String {
    let digits: String =
        EventId::least_at(moment).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{digits}'")
}

/// Puts a table that is divided in the place of one that is not, which becomes its first part, up to an end. Keys,
/// references and indexes go over by their names.
async fn split(session: &Session, divided: &Divided, end: Timestamp) -> Result<(), Fault> {
    let Divided { table, id, .. } = divided;
    session.run(&format!("lock table {table} in access exclusive mode")).await?;
    let constraints = pairs(session, &CONSTRAINTS, table).await?;
    let mut indexes = pairs(session, &INDEXES, table).await?;
    indexes.retain(|(index, _)| constraints.iter().all(|(constraint, _)| constraint != index));

    let mut steps = vec![format!("alter table {table} rename to {table}_before")];
    for (name, _) in &constraints {
        steps.push(format!("alter table {table}_before rename constraint {name} to {name}_before"));
    }
    for (name, _) in &indexes {
        steps.push(format!("alter index {name} rename to {name}_before"));
    }
    steps.push(format!(
        "create table {table} (like {table}_before including defaults including constraints including storage)
        partition by range ({id})"
    ));
    for (name, definition) in &constraints {
        steps.push(format!("alter table {table} add constraint {name} {definition}"));
    }
    steps.extend(indexes.into_iter().map(|(_, definition)| definition));
    steps.push(format!("create table {table}_other partition of {table} default"));
    steps.push(format!(
        "alter table {table} attach partition {table}_before for values from (minvalue) to ({})",
        least_at(end)
    ));
    session.run(&steps.join(";\n")).await
}

async fn pairs(session: &Session, sql: &'static Sql, table: &str) -> Result<Vec<(String, String)>, Fault> {
    let rows = session.query(sql, &[&table]).await?;
    let pair = |row| {
        let mut cells = Cells::from(row, 0);
        Ok((cells.take()?, cells.take()?))
    };
    rows.iter().map(pair).collect()
}

/// Makes a month, unless it is there. What has come for it before goes over.
async fn make(session: &Session, divided: &Divided, month: &Month) -> Result<Option<String>, Fault> {
    let Divided { table, id, .. } = divided;
    let latest = parts(session, divided).await?.pop();
    if latest.is_some_and(|part| month.from < part.end) {
        return Ok(None);
    }
    let name = format!("{table}_{}", month.name);
    let (from, to) = (least_at(month.from), least_at(month.to));
    session
        .run(&format!(
            "create table {name} (like {table} including all);
            with moved as (delete from {table}_other where {id} >= {from} and {id} < {to} returning *)
            insert into {name} select * from moved;
            alter table {table} attach partition {name} for values from ({from}) to ({to})"
        ))
        .await?;
    Ok(Some(name))
}

async fn drop_part(session: &Session, divided: &Divided, part: Part) -> Result<Option<String>, Fault> {
    let Divided { table, stays, .. } = divided;
    let Part { name, end } = part;
    // The whole before its part, as everybody else takes them.
    session.run(&format!("lock table only {table} in access exclusive mode")).await?;
    let is_there = parts(session, divided).await?.iter().any(|part| part.name == name);
    if !is_there || session.finds(&stays(&name, &least_at(end))).await? {
        return Ok(None);
    }
    session.run(&format!("drop table {name}")).await?;
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_at_the_moment_of_its_id() {
        let moment = Timestamp::from_micros(1_733_011_200_000_000);
        let bounds = format!("FOR VALUES FROM ('\\x00') TO ({})", least_at(moment));
        assert_eq!(end_of(&bounds), Some(moment));
        assert_eq!(end_of(&format!("FOR VALUES FROM (MINVALUE) TO ({})", least_at(moment))), Some(moment));
        assert_eq!(end_of("DEFAULT"), None);
    }
}
