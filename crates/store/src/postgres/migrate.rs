//! The steps by which a database of any earlier program becomes one of this program.
//!
//! Each step is a file that is never edited once it was released: the database remembers the name and the SHA-256
//! of those it took. Nodes that start at the same time take them one after the other: a row is locked meanwhile.

use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::rows::Cells;
use super::session::Session;
use super::statements::{self as sql, Sql};
use crate::encoding::count;

/// A step.
struct Migration {
    name: &'static str,
    sql: &'static str,
    /// How many steps a program must know to work on a database that has taken this one. A step that only adds what
    /// older programs pass over asks for no more than those before it: nodes are then renewed one after the other.
    needs: usize,
}

/// All steps, in their order: those on SQLite by their names.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_begin", sql: include_str!("../../migrations/postgres/0001_begin.sql"), needs: 1 },
    Migration { name: "0002_facts", sql: include_str!("../../migrations/postgres/0002_facts.sql"), needs: 1 },
    Migration { name: "0003_trunk", sql: include_str!("../../migrations/postgres/0003_trunk.sql"), needs: 1 },
    Migration {
        name: "0004_checks",
        sql: include_str!("../../migrations/postgres/0004_checks.sql"),
        needs: 1,
    },
];

/// Why a database is not one that this program can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It has no table of ours, and none shall be made.
    #[error("the database is empty: `callveil migrate` makes its tables")]
    Empty,
    /// A later program wrote it.
    #[error(
        "the database has schema {found} and this program knows schemas up to {known}: use the version of callveil \
        that wrote it, or a later one"
    )]
    Newer {
        /// Its schema.
        found: usize,
        /// The latest that this program knows.
        known: usize,
    },
    /// A program with other steps wrote it.
    #[error(
        "the database was brought up by another {0} than this program has: use the version of callveil that wrote it"
    )]
    Changed(String),
    /// There is no such role, or it is not ours to take.
    #[error(
        "there is no role {0} for the reads of tenants: `create role {0} nologin` and `grant {0} to` the one who logs in"
    )]
    NoRole(String),
    /// The policies of that role are not there.
    #[error("the role {0} has no policies here: `callveil migrate` makes them")]
    NoWall(String),
    /// The engine refused.
    #[error("the database cannot be used: {0}")]
    Engine(String),
}

impl From<Fault> for SchemaError {
    fn from(fault: Fault) -> SchemaError {
        SchemaError::Engine(callveil_domain::store::StoreError::from(fault).to_string())
    }
}

/// The table of the steps, with a row 0 that is no step: whoever takes steps locks it. Both are made in one
/// transaction, so that nobody sees the table without the row.
const TABLE: &str = "
    begin;
    create table if not exists migration (
        number bigint not null primary key,
        name text not null,
        sha256 text not null,
        needs bigint not null
    );
    insert into migration (number, name, sha256, needs)
    values (0, 'lock', '', 0)
    on conflict (number) do nothing;
    commit";

/// Begins a transaction that no other of this kind comes between.
pub(super) const LOCK: &str = "
    begin;
    set local lock_timeout = '60s';
    update migration set name = 'lock' where number = 0";

const HAS_TABLE: Sql = Sql {
    text: "select 1 from pg_catalog.pg_tables where tablename = 'migration' and schemaname = any (current_schemas(false))",
    types: &[],
};

const TAKEN: Sql =
    Sql { text: "select name, sha256, needs from migration where number > 0 order by number", types: &[] };

const TAKE: Sql = Sql {
    text: "insert into migration (number, name, sha256, needs) values ($1, $2, $3, $4)",
    types: &[Type::INT8, Type::TEXT, Type::TEXT, Type::INT8],
};

/// A write that changes nothing, and is made durable all the same.
pub(super) const TOUCH: Sql = Sql { text: "update migration set name = 'lock' where number = 0", types: &[] };

/// How many steps a database has taken, and how many this program knows.
pub(super) async fn progress(session: &Session) -> Result<(usize, usize), SchemaError> {
    recognise(session).await?;
    Ok((check(session).await?, MIGRATIONS.len()))
}

/// The indexes that so many steps make.
pub(super) fn indexes(steps: usize) -> impl Iterator<Item = &'static str> {
    let lines = MIGRATIONS.iter().take(steps).flat_map(|migration| migration.sql.lines());
    lines.filter_map(|line| {
        let made =
            line.strip_prefix("create index ").or_else(|| line.strip_prefix("create unique index "))?;
        made.split_whitespace().next()
    })
}

/// Takes the steps that a database has not taken yet, and answers with their names.
pub(super) async fn migrate(session: &Session) -> Result<Vec<&'static str>, SchemaError> {
    if session.query(&HAS_TABLE, &[]).await?.is_empty() {
        make_table(session).await?;
    }
    let mut taken = Vec::new();
    while check(session).await? < MIGRATIONS.len() {
        session.run(LOCK).await?;
        match step(session).await {
            Ok(name) => {
                session.run(sql::COMMIT).await?;
                taken.extend(name);
            }
            Err(error) => {
                session.run(sql::ROLLBACK).await?;
                return Err(error);
            }
        }
    }
    Ok(taken)
}

/// Two that make the table at once are in each other's way: the second finds it made.
async fn make_table(session: &Session) -> Result<(), Fault> {
    let Err(fault) = session.run(TABLE).await else { return Ok(()) };
    session.run(sql::ROLLBACK).await?;
    match session.query(&HAS_TABLE, &[]).await?.is_empty() {
        true => Err(fault),
        false => Ok(()),
    }
}

/// Another node may have taken the step while this one waited for the lock.
async fn step(session: &Session) -> Result<Option<&'static str>, SchemaError> {
    let done = check(session).await?;
    let Some(migration) = MIGRATIONS.get(done) else { return Ok(None) };
    session.run(migration.sql).await?;
    session
        .query(&TAKE, &[&count(done + 1), &migration.name, &fingerprint(migration), &count(migration.needs)])
        .await?;
    Ok(Some(migration.name))
}

/// Refuses a database on which not all steps were taken.
pub(super) async fn recognise(session: &Session) -> Result<(), SchemaError> {
    if session.query(&HAS_TABLE, &[]).await?.is_empty() {
        return Err(SchemaError::Empty);
    }
    match check(session).await? {
        0 => Err(SchemaError::Empty),
        _ => Ok(()),
    }
}

/// How many steps a database has taken. Refuses one that took steps with which this program cannot live.
async fn check(session: &Session) -> Result<usize, SchemaError> {
    let taken = session.query(&TAKEN, &[]).await?;
    for (number, row) in taken.iter().enumerate() {
        let mut cells = Cells::from(row, 0);
        let (name, sha256, needs): (String, String, i64) = (cells.take()?, cells.take()?, cells.take()?);
        if needs > count(MIGRATIONS.len()) {
            return Err(SchemaError::Newer { found: taken.len(), known: MIGRATIONS.len() });
        }
        let Some(migration) = MIGRATIONS.get(number) else { continue };
        if name != migration.name || sha256 != fingerprint(migration) {
            return Err(SchemaError::Changed(name));
        }
    }
    Ok(taken.len())
}

fn fingerprint(migration: &Migration) -> String {
    let digest = Sha256::digest(migration.sql);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
