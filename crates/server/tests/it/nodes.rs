//! Several nodes on one PostgreSQL: what one does the others see, and no two ever lend the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::cluster::{self, Cluster, Durability};
use crate::http::Client;
use crate::world::{SOON, Server, Tenant, World, party, until};

/// The PostgreSQL that all tests share, with a template that the program has made its tables in.
fn shared() -> Cluster {
    cluster::shared(|template| {
        let migrated = World::on(template).run(&["migrate"]);
        assert!(migrated.status.success(), "{migrated:?}");
    })
}

/// A database with nothing in it but the tables.
pub fn fresh_database() -> String {
    let cluster = shared();
    cluster.url(&cluster.fresh_database())
}

fn order(name: &str, a: usize, b: usize) -> Value {
    json!({"connection_id": name, "aparty_numbers": [party(a)], "bparty_numbers": [party(b)], "usage": "twoway"})
}

#[test]
fn what_one_node_does_the_other_sees_at_once() {
    let database = fresh_database();
    let world = World::on(&database);
    let tenant = world.tenant("acme", 5);
    let (first, second) = (world.serve(), world.serve());

    let made = tenant.client(&first).post("", &order("one", 1, 2)).data();
    let path = format!("/{}", made["greenvn_id"].as_str().unwrap());
    assert_eq!(tenant.client(&second).get(&path).data()["greenvn"], made["greenvn"]);
    let twice = tenant.client(&second).post("", &order("one", 3, 4));
    assert_eq!(twice.json()["code"], 18, "{twice:?}");
    let called = world.call(&party(1), made["greenvn"].as_str().unwrap(), &[]);
    assert_eq!(called["decision"], "connect", "{called}");

    assert_eq!(tenant.client(&second).delete(&path).status, 200);
    assert_eq!(tenant.client(&first).get(&path).data()["state"], "vault");
    assert!(first.stop().success());
    assert!(second.stop().success());
    assert_eq!(world.json(&["verify"])["findings"], json!([]));
}

#[test]
fn what_the_operator_changes_holds_on_every_node() {
    let database = fresh_database();
    let world = World::on(&database);
    let (first, second) = (world.serve(), world.serve());

    let tenant = world.tenant("acme", 1);

    for server in [&first, &second] {
        until("the tenant", SOON, || tenant.client(server).get("?connection_id=none").status == 200);
    }
    world.json(&["tenant", "key", "revoke", "acme", &tenant.key]);
    for server in [&first, &second] {
        until("the end of the key", SOON, || tenant.client(server).get("").status == 401);
    }
}

#[test]
fn the_doctor_names_what_would_lose_answers() {
    let database = fresh_database();
    let world = World::on(&database);

    // The cluster of the tests does without.
    let told = world.run(&["doctor"]);

    assert_eq!(told.code(), Some(1), "{told:?}");
    assert!(told.stdout.contains("fsync is off"), "{told:?}");
    assert!(told.stdout.contains("every index is there"), "{told:?}");
    let checked = world.run(&["check", "--json"]);
    assert!(checked.stdout.contains("fsync is off"), "{checked:?}");

    let gone = World::on("postgres://callveil@127.0.0.1:1/nowhere").run(&["doctor"]);
    assert_eq!(gone.code(), Some(1), "{gone:?}");
    assert!(gone.stdout.contains("start it, let this machine in"), "{gone:?}");
}

#[test]
fn requests_wait_for_a_database_that_comes_back_and_are_told_to_come_again_when_it_does_not() {
    let files = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::make(&files.path().join("cluster"), Durability::Full);
    cluster.create_database("callveil", None);
    let world = World::on(&cluster.url("callveil"));
    let tenant = world.tenant("acme", 5);
    let server = world.serve();
    let mut client = tenant.client(&server);
    assert_eq!(client.post("", &order("before", 1, 2)).status, 200);

    cluster.crash();
    let refused = client.post("", &order("meanwhile", 3, 4));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    cluster.start();

    let mut tries = 0;
    until("the database", SOON, || {
        tries += 1;
        client.post("", &order(&format!("after-{tries}"), 5, 6)).status == 200
    });
    // Whether it came about although nobody was told is known by its name.
    assert!(client.get("?connection_id=meanwhile").data().as_array().unwrap().len() <= 1);
    assert!(server.stop().success());
}

#[test]
fn an_installation_moves_from_one_machine_to_a_postgres() {
    let (small, database) = (World::new(), fresh_database());
    let tenant = small.tenant("acme", 5);
    let server = small.serve();
    let made = tenant.client(&server).post("", &order("one", 1, 2)).data();
    let file = format!("sqlite:{}", small.path("callveil.db").display());
    let copy = ["copy", "--from", &file, "--to", &database];
    let refused = small.run(&copy);
    assert!(!refused.status.success() && refused.stderr.contains("another server uses"), "{refused:?}");
    assert!(server.stop().success());

    let copied = small.json(&copy);

    assert!(copied["rows"].as_u64().unwrap() > 10, "{copied}");
    let world = World::on(&database);
    let server = world.serve();
    let path = format!("/{}", made["greenvn_id"].as_str().unwrap());
    assert_eq!(tenant.client(&server).get(&path).data(), made);
    assert_eq!(world.json(&["verify"])["findings"], json!([]));
}

/// How many clients ask at a time, and how often each.
const CLIENTS: usize = 16;
const ASKS: usize = 40;

/// Many allocations of few people, so that most meet what others hold.
const PEOPLE: usize = 12;

/// Far longer than the test: nothing ends by itself, unless by a clock that runs ahead.
const LENT: &str = "80s";

/// What a client knew that it held: a person on a virtual number, from an answer until it asked for the end.
#[derive(Debug)]
struct Held {
    key: (String, usize),
    from: Instant,
    until: Instant,
}

#[test]
fn sixteen_clients_of_two_nodes_with_clocks_apart_never_hold_the_same() {
    let database = fresh_database();
    let ahead = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
    assert!(ahead.exists(), "faketime is there: scripts/setup-tests installs it");
    let world = World::on(&database);
    let fast = World::on(&database)
        .with_variable("LD_PRELOAD", ahead.to_str().unwrap())
        .with_variable("FAKETIME", "+90s")
        .with_variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let tenant = world.tenant("acme", 40);
    world.json(&["settings", "set", "--tenant", "acme", "deletion_time=0"]);
    let nodes = Mutex::new([world.serve(), fast.serve()]);
    let answered = AtomicUsize::new(0);

    let held: Vec<Held> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (tenant, nodes, answered) = (&tenant, &nodes, &answered);
                scope.spawn(move || ask(n, tenant, nodes, answered))
            })
            .collect();
        // Each node is killed once, and another takes its place.
        for (node, wanted) in [(0, CLIENTS * ASKS / 3), (1, CLIENTS * ASKS / 2)] {
            until("answers", SOON * 6, || answered.load(Ordering::Relaxed) >= wanted);
            let next = if node == 0 { world.serve() } else { fast.serve() };
            let old = std::mem::replace(&mut nodes.lock().unwrap()[node], next);
            old.kill();
        }
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });

    assert!(held.len() > CLIENTS * ASKS / 4, "{} were held", held.len());
    check_intervals(held);
    drop(nodes);
    assert_eq!(world.json(&["verify"])["findings"], json!([]));
}

/// Makes allocations and ends them, at one node or the other; answers with what was held for certain.
fn ask(n: usize, tenant: &Tenant, nodes: &Mutex<[Server; 2]>, answered: &AtomicUsize) -> Vec<Held> {
    let mut chance = StdRng::seed_from_u64(n as u64);
    let mut people: Vec<usize> = (1..=PEOPLE).collect();
    let (mut mine, mut held) = (Vec::new(), Vec::new());
    for turn in 0..ASKS {
        let mut client = tenant.client(&nodes.lock().unwrap()[chance.random_range(0..2)]);
        people.shuffle(&mut chance);
        let mut wanted = order(&format!("order-{n}-{turn}"), people[0], people[1]);
        wanted["deallocation_policy"] = json!({"duration": LENT});
        match client.try_ask("POST", "", Some(&wanted)) {
            Ok(answer) if answer.status == 200 => {
                let data = answer.data();
                let text = |name: &str| data[name].as_str().unwrap().to_owned();
                mine.push((text("greenvn_id"), text("greenvn"), [people[0], people[1]], now()));
            }
            // The pool may be at its end for these two; and a node that is killed tells nothing.
            Ok(answer) => assert!([452, 503].contains(&answer.status), "{answer:?}"),
            Err(_) => {}
        }
        if mine.len() > 2 {
            end(mine.remove(0), &mut client, &mut held);
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    let until = now();
    held.extend(mine.into_iter().flat_map(|(_, number, people, from)| {
        people.map(|person| Held { key: (number.clone(), person), from, until })
    }));
    held
}

type Lent = (String, String, [usize; 2], Instant);

fn end((id, number, people, from): Lent, client: &mut Client, held: &mut Vec<Held>) {
    let until = now();
    // Whatever became of the request: from here on it may have ended.
    let _ = client.try_ask("DELETE", &format!("/{id}"), None);
    held.extend(people.map(|person| Held { key: (number.clone(), person), from, until }));
}

/// No person is held twice on a virtual number at a time.
fn check_intervals(held: Vec<Held>) {
    let mut of_key: BTreeMap<(String, usize), Vec<(Instant, Instant)>> = BTreeMap::new();
    for Held { key, from, until } in held {
        of_key.entry(key).or_default().push((from, until));
    }
    for (key, mut intervals) in of_key {
        intervals.sort();
        for pair in intervals.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            assert!(first.1 <= second.0, "{key:?} was lent twice, for {:?}", first.1 - second.0);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the test measures when answers came")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn calls_and_events_go_by_month_while_nodes_work() {
    let database = fresh_database();
    let world = World::on(&database);
    let tenant = world.tenant("acme", 5);
    let server = world.serve();
    let mut client = tenant.client(&server);
    client.post("", &order("before", 1, 2)).data();

    let divided = world.json(&["tidy", "--by-month"]);

    assert_eq!(divided["months"]["made"].as_array().unwrap().len(), 9, "three months ahead: {divided}");
    client.post("", &order("after", 3, 4)).data();
    let again = world.json(&["tidy", "--by-month"]);
    assert_eq!(again["months"], json!({"made": [], "dropped": []}));
    assert_eq!(again["claims"], 0);
    let told = world.run(&["doctor"]);
    assert!(told.stdout.contains("every index is there"), "{told:?}");
    assert_eq!(world.json(&["verify"])["findings"], json!([]));
    assert!(server.stop().success());
}

#[test]
fn a_tenant_is_read_behind_the_wall_that_migrate_builds() {
    let database = fresh_database();
    let url = |role: &str| format!("{database}?tenant_role={role}");
    let nobody = World::on(&url("nobody_at_all")).run(&["migrate"]);
    assert!(nobody.stderr.contains("create role nobody_at_all nologin"), "{nobody:?}");
    let world = World::on(&url(cluster::TENANT_ROLE));
    let early = world.run(&["tenant", "list"]);
    assert!(early.stderr.contains("`callveil migrate` makes them"), "{early:?}");

    world.json(&["migrate"]);

    let tenant = world.tenant("acme", 5);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let made = client.post("", &order("one", 1, 2)).data();
    let id = made["greenvn_id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/{id}")).data()["greenvn"], made["greenvn"]);
    assert_eq!(client.get("?connection_id=one").data().as_array().unwrap().len(), 1);
    assert_eq!(client.get(&format!("?number=%2B{}", &party(1)[1..])).data().as_array().unwrap().len(), 1);
    assert!(server.stop().success());
}
