//! More changes than can be written: a bounded number waits, the others are told at once, and none is lost.

use std::sync::Arc;

use callveil_domain::store::{Change, Outcome, Store, StoreError};
use callveil_store::sqlite::{Mode, SqliteStore};
use rusqlite::{Connection, TransactionBehavior};

use crate::world::{Place, at};

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_the_queue_full_is_told_at_once_and_the_others_are_answered() {
    const CALLERS: i64 = 9_500;
    let place = Place::new();
    let store = Arc::new(SqliteStore::open(&place.database(), Mode::Serve).unwrap());
    let mut other = Connection::open(place.database()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();

    let callers: Vec<_> = (1..=CALLERS)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.apply(Change::at(at(n))).await })
        })
        .collect();
    // The first to be answered is one who was refused: all others wait for the lock.
    while !callers.iter().any(|caller| caller.is_finished()) {
        tokio::task::yield_now().await;
    }
    lock.rollback().unwrap();

    let (mut applied, mut busy) = (0, 0);
    for caller in callers {
        match caller.await.unwrap() {
            Ok(Outcome::Applied) => applied += 1,
            Err(StoreError::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(applied >= 8_192, "{applied} waited and were answered");
    assert!(busy > 0, "{busy} were told that too much waits");
    assert_eq!(applied + busy, CALLERS);
}

#[tokio::test]
async fn who_waits_too_long_for_another_program_is_told_that_it_is_busy() {
    let place = Place::new();
    let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    let mut other = Connection::open(place.database()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();

    let refused = store.apply(Change::at(at(1))).await;
    assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
    lock.rollback().unwrap();

    assert_eq!(store.apply(Change::at(at(2))).await.unwrap(), Outcome::Applied);
}
