//! Opening a database: what is refused and how that is told, and two programs on one file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use callveil_domain::store::{Change, DirectoryWrite, Outcome, Store};
use callveil_domain::tenant::Sid;
use callveil_store::sqlite::{Mode, OpenError, SqliteStore};
use rusqlite::Connection;

use crate::world::{Place, acme, allocation, at, create, furnish, vn};

fn refused(path: &Path, mode: Mode) -> OpenError {
    match SqliteStore::open(path, mode) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

#[test]
fn a_second_server_is_refused_and_told_which_database() {
    let place = Place::new();
    let first = SqliteStore::open(&place.database(), Mode::Serve).unwrap();

    let error = refused(&place.database(), Mode::Serve);

    assert!(matches!(error, OpenError::InUse(_)));
    assert!(error.to_string().contains(place.database().to_str().unwrap()), "{error}");
    drop(first);
    SqliteStore::open(&place.database(), Mode::Serve).unwrap();
}

#[tokio::test]
async fn a_tool_writes_beside_a_server_which_sees_the_revision_move() {
    let place = Place::new();
    let server = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    furnish(&server, 3).await;
    let before = server.revision().await.unwrap();
    let third = Sid::parse("third").unwrap();

    let tool = SqliteStore::open(&place.database(), Mode::Tool).unwrap();
    let mut change = Change::at(at(1));
    change.directory.push(DirectoryWrite::AddTenant(third.clone()));
    assert_eq!(tool.apply(change).await.unwrap(), Outcome::Applied);

    assert_eq!(server.revision().await.unwrap(), before + 1);
    assert!(server.directory().await.unwrap().tenant(third.as_str()).is_some());
    let lent = allocation(2, vn(1), 1, 2);
    assert_eq!(server.apply(create(&lent)).await.unwrap(), Outcome::Applied);
    assert_eq!(tool.allocation(&acme(), lent.id).await.unwrap(), Some(lent));
    drop(tool);
    assert_eq!(server.apply(Change::at(at(3))).await.unwrap(), Outcome::Applied);
}

#[test]
fn many_programs_may_make_the_same_database_at_once() {
    for _ in 0..10 {
        let place = Place::new();
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    SqliteStore::open(&place.database(), Mode::Tool).unwrap();
                });
            }
        });
    }
}

#[tokio::test]
async fn all_that_was_answered_is_there_when_opened_again() {
    let place = Place::new();
    let lent = allocation(2, vn(1), 1, 2);
    for opening in 0..3 {
        let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
        if opening == 0 {
            furnish(&store, 3).await;
            assert_eq!(store.apply(create(&lent)).await.unwrap(), Outcome::Applied);
        }
        assert_eq!(store.allocation(&acme(), lent.id).await.unwrap().as_ref(), Some(&lent));
        assert_eq!(store.latest_moment().await.unwrap(), at(2));
    }
}

#[test]
fn a_missing_directory_is_told() {
    let place = Place::new();
    let missing = place.directory().join("not/here");

    let error = refused(&missing.join("callveil.db"), Mode::Serve);

    assert!(matches!(&error, OpenError::NoDirectory(directory) if *directory == missing), "{error}");
    assert!(!missing.exists(), "nothing is made by mistake");
}

#[test]
fn another_kind_of_file_is_left_alone() {
    let place = Place::new();
    let letter = "Dear operator, this is a letter and no database.".repeat(99);
    fs::write(place.database(), &letter).unwrap();

    let error = refused(&place.database(), Mode::Serve);

    assert!(matches!(error, OpenError::NotOurs(_)), "{error}");
    assert_eq!(fs::read_to_string(place.database()).unwrap(), letter);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let place = Place::new();
    let other = Connection::open(place.database()).unwrap();
    other.execute_batch("create table recipe (name text); insert into recipe values ('soup')").unwrap();

    let error = refused(&place.database(), Mode::Tool);

    assert!(matches!(error, OpenError::NotOurs(_)), "{error}");
    let tables: i64 = other.query_one("select count(*) from sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let place = Place::new();
    let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    furnish(&store, 3).await;

    let mut seen = 0;
    for entry in fs::read_dir(place.directory()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 4, "the database, its log, the log's index and the lock");
}
