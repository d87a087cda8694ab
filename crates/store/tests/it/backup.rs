//! Copies of a database, and putting one back.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callveil_domain::store::{Outcome, Store};
use callveil_domain::verify;
use callveil_store::sqlite::{BackupError, Mode, OpenError, RestoreError, SqliteStore, backup, restore};
use rusqlite::Connection;

use crate::world::{Place, acme, allocation, at, create, furnish, vn};

async fn served(place: &Place) -> SqliteStore {
    let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    furnish(&store, 9).await;
    assert_eq!(store.apply(create(&allocation(1, vn(1), 1, 2))).await.unwrap(), Outcome::Applied);
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_while_serving_is_whole() {
    let place = Place::new();
    let store = Arc::new(served(&place).await);
    let copied = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, copied) = (store.clone(), copied.clone());
        async move {
            let mut written = 1;
            while !copied.load(Ordering::Relaxed) {
                written += 1;
                let mut lent = allocation(written, vn(1), 1, 2);
                lent.tenant = acme();
                lent.virtual_number = vn(1 + written.cast_unsigned() % 9);
                lent.standing = callveil_domain::allocation::Standing::Lent {
                    expires_at: lent.created_at.plus(std::time::Duration::from_secs(1)),
                    cooling: std::time::Duration::ZERO,
                };
                assert!(store.apply(create(&lent)).await.is_ok());
            }
            written
        }
    });

    let copy = place.directory().join("copy.db");
    let (from, to) = (place.database(), copy.clone());
    tokio::task::spawn_blocking(move || backup(&from, &to)).await.unwrap().unwrap();
    copied.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();

    let restored = SqliteStore::open(&copy, Mode::Serve).unwrap();
    let report = verify::verify(&restored, at(written)).await.unwrap();
    assert_eq!(report.findings, []);
    assert!(restored.allocation(&acme(), allocation(1, vn(1), 1, 2).id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_copy_overwrites_nothing() {
    let place = Place::new();
    let _store = served(&place).await;
    let letter = place.directory().join("letter");
    fs::write(&letter, "do not lose me").unwrap();

    let error = backup(&place.database(), &letter).unwrap_err();

    assert!(matches!(error, BackupError::Exists(_)), "{error}");
    assert_eq!(fs::read_to_string(&letter).unwrap(), "do not lose me");
}

#[test]
fn nothing_is_copied_from_nothing() {
    let place = Place::new();
    let error = backup(&place.database(), &place.directory().join("copy.db")).unwrap_err();

    assert!(matches!(error, BackupError::Open(OpenError::NoDatabase(_))), "{error}");
    assert_eq!(fs::read_dir(place.directory()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_restored_database_is_the_copy_and_nothing_after_it() {
    let place = Place::new();
    let store = served(&place).await;
    let copy = place.directory().join("copy.db");
    backup(&place.database(), &copy).unwrap();
    let later = allocation(2, vn(2), 1, 2);
    assert_eq!(store.apply(create(&later)).await.unwrap(), Outcome::Applied);

    let while_serving = restore(&copy, &place.database()).unwrap_err();
    assert!(matches!(while_serving, RestoreError::Open(OpenError::InUse(_))), "{while_serving}");
    assert_eq!(store.allocation(&acme(), later.id).await.unwrap().as_ref(), Some(&later));
    drop(store);
    // What a killed server would have left.
    fs::write(place.directory().join("callveil.db-wal"), "a log of long ago").unwrap();
    restore(&copy, &place.database()).unwrap();

    let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    assert!(store.allocation(&acme(), allocation(1, vn(1), 1, 2).id).await.unwrap().is_some());
    assert!(store.allocation(&acme(), later.id).await.unwrap().is_none());
    assert_eq!(verify::verify(&store, at(3)).await.unwrap().findings, []);
    assert!(copy.exists());
    let left: Vec<_> = fs::read_dir(place.directory()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("restoring")), "{left:?}");
}

#[tokio::test]
async fn a_copy_becomes_a_database_where_there_was_none() {
    let place = Place::new();
    drop(served(&place).await);
    let new = place.directory().join("new.db");

    restore(&place.database(), &new).unwrap();

    let store = SqliteStore::open(&new, Mode::Serve).unwrap();
    assert!(store.allocation(&acme(), allocation(1, vn(1), 1, 2).id).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_no_whole_copy_is_refused_and_the_database_stays() {
    let place = Place::new();
    drop(served(&place).await);
    let check = |bytes: Vec<u8>, expected: fn(&RestoreError) -> bool| {
        let copy = place.directory().join("copy.db");
        fs::write(&copy, bytes).unwrap();
        let error = restore(&copy, &place.database()).unwrap_err();
        assert!(expected(&error), "{error:?}");
    };
    let whole = fs::read(place.database()).unwrap();
    let mut scribbled = whole.clone();
    let middle = scribbled.len() / 2;
    scribbled[middle..middle + 3_000].fill(0x55);

    check(b"a letter".repeat(999), |e| matches!(e, RestoreError::Open(OpenError::NotOurs(_))));
    check(Vec::new(), |e| matches!(e, RestoreError::Open(OpenError::NotOurs(_))));
    // Which of them depends on what stood there: rows, or the schema itself.
    check(scribbled, |e| {
        matches!(
            e,
            RestoreError::Damaged { .. }
                | RestoreError::Store(_)
                | RestoreError::Open(OpenError::Engine { .. })
        )
    });
    check(whole[..whole.len() / 2].to_vec(), |_| true);
    let newer = place.directory().join("newer.db");
    fs::write(&newer, &whole).unwrap();
    let db = Connection::open(&newer).unwrap();
    db.execute("insert into migration (number, name, sha256) values (99, '0099_later', 'abc')", []).unwrap();
    drop(db);
    let error = restore(&newer, &place.database()).unwrap_err();
    assert!(matches!(error, RestoreError::Open(OpenError::NewerSchema { .. })), "{error}");

    let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    assert!(store.allocation(&acme(), allocation(1, vn(1), 1, 2).id).await.unwrap().is_some());
}
