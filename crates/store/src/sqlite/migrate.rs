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
const MIGRATIONS: &[Migration] =
    &[Migration { name: "0001_begin", sql: include_str!("../../migrations/sqlite/0001_begin.sql") }];

/// Marks a file as a database of callveil: "veil" in ASCII, in the place that SQLite keeps for this.
const APPLICATION_ID: i32 = 0x7665_696c;

/// Takes the steps that a database has not taken yet, each in a transaction of its own.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    claim_file(db, path)?;
    for (taken, migration) in MIGRATIONS.iter().enumerate() {
        // Another program may be taking the same steps: each looks again once it alone may write.
        let tx = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| OpenError::sqlite(path, e))?;
        if check(&tx, path)? == taken {
            take(&tx, migration).map_err(|e| OpenError::sqlite(path, e))?;
        }
        tx.commit().map_err(|e| OpenError::sqlite(path, e))?;
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
fn claim_file(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |e| OpenError::sqlite(path, e);
    let tables: i64 =
        db.query_one("select count(*) from sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    match (owner(db).map_err(sqlite)?, tables) {
        (APPLICATION_ID, _) => {}
        (0, 0) => db.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?,
        _ => return Err(OpenError::NotOurs(path.to_owned())),
    }
    db.execute_batch(
        "create table if not exists migration (
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
