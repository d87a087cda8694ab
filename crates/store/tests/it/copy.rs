//! Everything goes from one engine to the other and back, and is the same.

use std::sync::Arc;

use callveil_domain::allocation::Ending;
use callveil_domain::store::{Change, DirectoryWrite, Store};
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_store::copy::{Copied, CopyError, Phase, Place, copy};
use callveil_store::sqlite::{Mode, SqliteStore};
use rusqlite::Connection;

use crate::contract::receipts::receipt;
use crate::world::{
    self, World, acme, allocation, at, create, end, furnish, open_postgres, pin, shared_cluster, vn,
};

/// Tables that tell of the database alone.
const NOT_COPIED: &[&str] = &["audit_head", "migration", "moment", "node", "revision"];

async fn fill(store: &dyn Store) {
    furnish(store, 9).await;
    let mut first = allocation(1, vn(1), 1, 2);
    first.parties.a.pins = vec![pin(4839)];
    first.parties.b.tag = Some("a tag, with \"quotes\" and ünïcödé".to_owned());
    first.exclusive = true;
    let mut change = create(&first);
    change.receipt = Some(receipt(acme(), "create", "k1"));
    let mut trunk = Trunk::new(TrunkName::parse("carrier").unwrap());
    trunk.set("targets", "sip.example.com").unwrap();
    let mut directory = Change::at(at(3));
    directory.directory.push(DirectoryWrite::PutTrunk(trunk));
    for change in
        [change, create(&allocation(2, vn(2), 3, 4)), end(&first, at(9), Ending::Released), directory]
    {
        let _ = store.apply(change).await.unwrap();
    }
}

async fn picture(store: impl Store + 'static) -> String {
    World::of(Arc::new(store)).picture().await
}

async fn copied(from: &Place, to: &Place) -> Result<Copied, CopyError> {
    copy(from, to, &mut |_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_to_postgres_and_back() {
    let files = world::Place::new();
    let path = files.directory().join("first.db");
    let store = SqliteStore::open(&path, Mode::Serve).unwrap();
    fill(&store).await;
    let before = picture(store).await;
    let cluster = shared_cluster();
    let url = cluster.url(&cluster.fresh_database());
    let (first, there) = (Place::Sqlite(path), Place::Postgres(Box::new(url.parse().unwrap())));
    let (back, again) = (files.directory().join("back.db"), files.directory().join("again.db"));

    let mut phases = Vec::new();
    let done = copy(&first, &there, &mut |progress| phases.push(progress)).await.unwrap();
    assert_eq!(picture(open_postgres(&url).await).await, before);
    assert_eq!(done.before, 0);
    assert!(phases.iter().any(|p| p.phase == Phase::Copying && p.done == p.total), "{phases:?}");
    assert!(phases.iter().any(|p| p.phase == Phase::Comparing && p.done == p.total), "{phases:?}");

    copied(&there, &Place::Sqlite(back.clone())).await.unwrap();
    assert_eq!(picture(SqliteStore::open(&back, Mode::Serve).unwrap()).await, before);

    copied(&Place::Sqlite(back), &Place::Sqlite(again.clone())).await.unwrap();
    assert_eq!(picture(SqliteStore::open(&again, Mode::Serve).unwrap()).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_broken_off_goes_on() {
    let files = world::Place::new();
    let (from, to) = (files.directory().join("from.db"), files.directory().join("to.db"));
    let store = SqliteStore::open(&from, Mode::Serve).unwrap();
    fill(&store).await;
    let before = picture(store).await;
    let (from, to) = (Place::Sqlite(from), Place::Sqlite(to));
    let whole = copied(&from, &to).await.unwrap();
    let Place::Sqlite(path) = &to else { unreachable!("law: it was said above") };
    let db = Connection::open(path).unwrap();
    // The last rows of a table, and all that come after it, have not arrived.
    db.execute_batch("delete from claim where kind > 0; delete from connection_claim; delete from receipt")
        .unwrap();
    drop(db);

    let rest = copied(&from, &to).await.unwrap();

    assert_eq!(rest.rows, whole.rows);
    assert!(0 < rest.before && rest.before < whole.rows, "{rest:?}");
    assert_eq!(picture(SqliteStore::open(path, Mode::Serve).unwrap()).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_copied_into_a_database_that_others_use() {
    let files = world::Place::new();
    let path = files.database();
    fill(&SqliteStore::open(&path, Mode::Serve).unwrap()).await;
    let cluster = shared_cluster();
    let url = cluster.url(&cluster.fresh_database());
    let mut other = Change::at(at(0));
    other.directory.push(DirectoryWrite::AddTenant(callveil_domain::tenant::Sid::parse("else").unwrap()));
    let _ = open_postgres(&url).await.apply(other).await.unwrap();

    let refused = copied(&Place::Sqlite(path), &Place::Postgres(Box::new(url.parse().unwrap()))).await;

    assert!(matches!(refused, Err(CopyError::NotEmpty(_))), "{refused:?}");
}

#[test]
fn every_table_with_its_columns_is_copied() {
    let files = world::Place::new();
    drop(SqliteStore::open(&files.database(), Mode::Serve).unwrap());
    let db = Connection::open(files.database()).unwrap();
    let mut statement = db
        .prepare(
            "select t.name, c.name
            from sqlite_schema as t, pragma_table_info(t.name) as c
            where t.type = 'table'",
        )
        .unwrap();
    let mut there: Vec<(String, String)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .filter(|(table, _): &(String, String)| !NOT_COPIED.contains(&table.as_str()))
        .collect();
    there.sort();

    let mut copied: Vec<(String, String)> = callveil_store::copy::columns()
        .map(|(table, column)| (table.to_owned(), column.to_owned()))
        .collect();
    copied.sort();

    assert_eq!(copied, there);
}
