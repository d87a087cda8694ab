//! The steps by which a database of any earlier program becomes one of this program.
//!
//! Each step is a file that is never edited once it was released: the database remembers the name and the SHA-256
//! of those it took.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::open::OpenError;

/// A step.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// All steps, in their order.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_begin", sql: include_str!("../../migrations/sqlite/0001_begin.sql") },
    Migration { name: "0002_facts", sql: include_str!("../../migrations/sqlite/0002_facts.sql") },
    Migration { name: "0003_trunk", sql: include_str!("../../migrations/sqlite/0003_trunk.sql") },
    Migration { name: "0004_checks", sql: include_str!("../../migrations/sqlite/0004_checks.sql") },
];

/// Marks a file as a database of callveil: "veil" in ASCII, in the place that SQLite keeps for this.
const APPLICATION_ID: i32 = 0x7665_696c;

/// Takes the steps that a database has not taken yet. One that has taken all is only read.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |e| OpenError::sqlite(path, e);
    if owner(db).map_err(sqlite)? != APPLICATION_ID {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        make_ours(&tx, path)?;
        tx.commit().map_err(sqlite)?;
    }
    while check(db, path)? < MIGRATIONS.len() {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        // Another program may have taken the step before this one could write.
        if let Some(migration) = MIGRATIONS.get(check(&tx, path)?) {
            take(&tx, migration).map_err(sqlite)?;
        }
        tx.commit().map_err(sqlite)?;
    }
    Ok(())
}

/// How many steps a database has taken, or that it is none that this program can read.
pub(super) fn recognise(db: &Connection, path: &Path) -> Result<usize, OpenError> {
    match owner(db).map_err(|e| OpenError::sqlite(path, e))? {
        APPLICATION_ID => check(db, path),
        _ => Err(OpenError::NotOurs(path.to_owned())),
    }
}

fn owner(db: &Connection) -> Result<i32, rusqlite::Error> {
    db.query_one("pragma application_id", [], |row| row.get(0))
}

/// Makes an empty file ours, and refuses one that another program filled.
fn make_ours(tx: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |e| OpenError::sqlite(path, e);
    let tables: i64 =
        tx.query_one("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    match (owner(tx).map_err(sqlite)?, tables) {
        (APPLICATION_ID, _) => return Ok(()),
        (0, 0) => {}
        _ => return Err(OpenError::NotOurs(path.to_owned())),
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    tx.execute_batch(
        "create table migration (
            number bigint not null primary key,
            name text not null,
            sha256 text not null
        ) without rowid",
    )
    .map_err(sqlite)
}

/// How many steps a database has taken. Refuses one that took steps which this program does not know.
fn check(db: &Connection, path: &Path) -> Result<usize, OpenError> {
    let taken = taken(db).map_err(|e| OpenError::sqlite(path, e))?;
    if taken.len() > MIGRATIONS.len() {
        return Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found: taken.len(),
            known: MIGRATIONS.len(),
        });
    }
    for ((name, sha256), migration) in taken.iter().zip(MIGRATIONS) {
        if name != migration.name || *sha256 != fingerprint(migration) {
            return Err(OpenError::ChangedMigration { path: path.to_owned(), name: name.clone() });
        }
    }
    Ok(taken.len())
}

fn taken(db: &Connection) -> Result<Vec<(String, String)>, rusqlite::Error> {
    let mut statement = db.prepare("select name, sha256 from migration order by number")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn take(tx: &Connection, migration: &Migration) -> Result<(), rusqlite::Error> {
    tx.execute_batch(migration.sql)?;
    tx.execute(
        "insert into migration (number, name, sha256)
        values ((select count(*) + 1 from migration), ?1, ?2)",
        params![migration.name, fingerprint(migration)],
    )?;
    Ok(())
}

fn fingerprint(migration: &Migration) -> String {
    let digest = Sha256::digest(migration.sql);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
