//! What somebody does to the audit with another program, its chain shows.

use callveil_domain::audit::{self, Actor, Origin};
use callveil_domain::virtual_number::Lending;
use callveil_domain::{Ctx, Effect, admin};
use callveil_store::sqlite::{Mode, SqliteStore};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rusqlite::Connection;

use crate::world::{Place, acme, at, furnish, vn};

/// Where the chain of five entries breaks once this was done to it.
async fn broken_by(sql: &str) -> Option<u64> {
    let place = Place::new();
    let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    furnish(&store, 5).await;
    for n in 1..=5 {
        let mut rng = StdRng::seed_from_u64(n);
        let actor = Actor::Key { name: "ck_1".to_owned(), from: None };
        let by = Origin { actor, request: Some(format!("r-{n}")) };
        let now = at(n.cast_signed());
        let ctx = Ctx { store: &store, now, rng: &mut rng, effect: Effect::Keep, by };
        admin::set_lending(&ctx, &acme(), &[vn(n)], Lending::Draining).await.unwrap();
    }
    audit::seal(&store, at(9)).await.unwrap();
    assert_eq!(audit::verify(&store).await.unwrap().broken, None);
    drop(store);

    let db = Connection::open(place.database()).unwrap();
    assert_eq!(db.execute(sql, []).unwrap(), 1);
    drop(db);

    let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    audit::verify(&store).await.unwrap().broken.map(|(place, _)| place)
}

#[tokio::test]
async fn an_altered_entry_is_named_by_its_place() {
    for column in
        ["actor = 'somebody'", "subject = '1'", "at = at + 1", "request = null", "tenant_sid = null"]
    {
        let sql = format!("update audit set {column} where place = 3");
        assert_eq!(broken_by(&sql).await, Some(3), "{column}");
    }
}

#[tokio::test]
async fn an_entry_that_was_taken_out_is_missed() {
    assert_eq!(broken_by("delete from audit where place = 2").await, Some(2));
    assert_eq!(broken_by("delete from audit where place = 5").await, Some(5));
}
