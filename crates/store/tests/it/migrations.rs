//! A database of any earlier program becomes one of this program, and keeps its rows.

use std::path::Path;

use callveil_domain::store::Store;
use callveil_store::postgres::{self, Url};
use callveil_store::sqlite::{Mode, OpenError, SqliteStore};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::cluster::Cluster;
use crate::pooler::Pooler;
use crate::world::{Place, acme, allocation, create, furnish, open_postgres, shared_cluster, vn};

fn change(path: &Path, sql: &str) {
    let db = Connection::open(path).unwrap();
    assert_eq!(db.execute(sql, []).unwrap(), 1);
}

fn refused(path: &Path) -> OpenError {
    match SqliteStore::open(path, Mode::Serve) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    let place = Place::new();
    let lent = allocation(1, vn(1), 1, 2);
    let first = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
    furnish(&first, 3).await;
    let _ = first.apply(create(&lent)).await.unwrap();
    drop(first);
    let schema = |path: &Path| -> Vec<String> {
        let db = Connection::open(path).unwrap();
        let mut statement = db.prepare("select sql from sqlite_schema where sql is not null").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = schema(&place.database());

    let second = SqliteStore::open(&place.database(), Mode::Serve).unwrap();

    assert_eq!(schema(&place.database()), before);
    assert_eq!(second.allocation(&acme(), lent.id).await.unwrap(), Some(lent));
}

#[test]
fn a_newer_schema_is_refused_with_what_to_do() {
    let place = Place::new();
    drop(SqliteStore::open(&place.database(), Mode::Serve).unwrap());
    change(
        &place.database(),
        "insert into migration (number, name, sha256) values (99, '0099_later', 'abc')",
    );

    let error = refused(&place.database());

    assert!(matches!(error, OpenError::NewerSchema { found: 5, known: 4, .. }), "{error}");
    assert!(
        error.to_string().contains("use the version of callveil that wrote it, or a later one"),
        "{error}"
    );
}

#[test]
fn a_changed_migration_is_refused() {
    let place = Place::new();
    drop(SqliteStore::open(&place.database(), Mode::Serve).unwrap());
    change(&place.database(), "update migration set sha256 = 'abc' where number = 1");

    let error = refused(&place.database());

    assert!(matches!(&error, OpenError::ChangedMigration { name, .. } if name == "0001_begin"), "{error}");
}

/// The steps that were all before claims and deliveries were made anew.
const FIRST_STEPS: [(&str, &str); 3] = [
    ("0001_begin", include_str!("../../migrations/sqlite/0001_begin.sql")),
    ("0002_facts", include_str!("../../migrations/sqlite/0002_facts.sql")),
    ("0003_trunk", include_str!("../../migrations/sqlite/0003_trunk.sql")),
];

#[test]
fn a_database_of_the_first_steps_keeps_its_claims_and_deliveries() {
    let place = Place::new();
    let db = Connection::open(place.database()).unwrap();
    db.execute_batch(
        "pragma application_id = 0x7665696c;
        create table migration (number bigint not null primary key, name text not null, sha256 text not null)
        without rowid",
    )
    .unwrap();
    for (number, (name, sql)) in (1..).zip(FIRST_STEPS) {
        db.execute_batch(sql).unwrap();
        let sha256: String = Sha256::digest(sql).iter().map(|byte| format!("{byte:02x}")).collect();
        db.execute("insert into migration values (?1, ?2, ?3)", (number, name, sha256)).unwrap();
    }
    db.execute_batch(
        "insert into claim values (0, 911, 918, x'01', 9), (1, 1234, 918, x'01', 8), (2, 0, 919, x'02', 7);
        insert into delivery values
            ('acme', x'03', 'ep', x'04', 1, 'call.completed', 0, 2, 5, 500, 'no'),
            ('acme', x'05', 'ep', x'04', 2, 'call.completed', 2, 9, 6, null, null)",
    )
    .unwrap();
    let rows = |db: &Connection| -> Vec<String> {
        let text = "select format('%d %d %d %s %d', kind, key, virtual_number, hex(allocation_id), held_until) from claim
            union all select format('%s %s %s %s %d %s %d %d %d %d %s', tenant_sid, hex(event_id), endpoint_id, hex(line),
                sequence, kind, state, attempts, due_at, status, why) from delivery";
        db.prepare(text).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = rows(&db);
    drop(db);

    drop(SqliteStore::open(&place.database(), Mode::Serve).unwrap());

    assert_eq!(before.len(), 5);
    assert_eq!(rows(&Connection::open(place.database()).unwrap()), before);
}

/// As a program meets it whose release is followed by one that took another step.
#[tokio::test]
async fn a_node_of_the_release_before_works_on_a_postgres_whose_next_step_only_adds() {
    let cluster = shared_cluster();
    let database = cluster.fresh_database();
    let url: Url = cluster.url(&database).parse().unwrap();
    let next = |needs: u32| {
        format!(
            "insert into migration (number, name, sha256, needs) values (99, '0099_next', 'abc', {needs})"
        )
    };

    cluster.run(&database, &next(1));
    assert_eq!(postgres::migrate(&url).await.unwrap(), Vec::<&str>::new());
    let node = open_postgres(&cluster.url(&database)).await;
    furnish(&node, 3).await;

    cluster.run(&database, "delete from migration where number = 99");
    cluster.run(&database, &next(99));
    let refused = postgres::migrate(&url).await.unwrap_err().to_string();
    assert!(refused.contains("use the version of callveil that wrote it, or a later one"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_make_a_postgres_together() {
    let cluster = shared_cluster();
    let database = format!("empty_{}", std::process::id());
    make_together(&cluster, &database, &cluster.url(&database)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_do_nodes_behind_a_pooler() {
    let cluster = shared_cluster();
    let database = format!("empty_pooled_{}", std::process::id());
    make_together(&cluster, &database, &Pooler::shared(&cluster).url(&database)).await;
}

async fn make_together(cluster: &Cluster, database: &str, url: &str) {
    cluster.create_database(database, None);

    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let url: Url = url.parse().unwrap();
            tokio::spawn(async move { postgres::migrate(&url).await.unwrap().len() })
        })
        .collect();
    let mut taken = 0;
    for node in nodes {
        taken += node.await.unwrap();
    }

    let steps = cluster.run(database, "select count(*) from migration where number > 0");
    assert_eq!(taken.to_string(), steps, "each step is taken once");
    furnish(&open_postgres(url).await, 3).await;
}
