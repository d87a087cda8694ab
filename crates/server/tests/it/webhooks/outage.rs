//! A database that is away, or a disk that takes no writes, delays events and loses none.

use std::collections::BTreeSet;
use std::sync::MutexGuard;

use super::*;
use crate::cluster::{Cluster, Durability};
use crate::disk::{Disk, run};
use crate::world::SOON;

/// How many lives of allocations are told.
const LIVES: usize = 40;

/// A receiver that takes everything, but answers nothing while the gate is held.
struct Gated {
    receiver: Receiver,
    gate: Arc<Mutex<()>>,
    /// How many messages it has begun to take.
    begun: Arc<AtomicUsize>,
}

impl Gated {
    fn start() -> Gated {
        let (gate, begun): (Arc<Mutex<()>>, Arc<AtomicUsize>) = Default::default();
        let (held, count) = (Arc::clone(&gate), Arc::clone(&begun));
        let receiver = Receiver::start(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            drop(held.lock().unwrap());
            Reply::Take
        });
        Gated { receiver, gate, begun }
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }

    /// The ids that were taken. What came twice said the same.
    fn ids(&self) -> BTreeSet<String> {
        let mut bodies: BTreeMap<String, String> = BTreeMap::new();
        for Taken { id, body, .. } in self.receiver.taken() {
            let first = bodies.entry(id).or_insert_with(|| body.clone());
            assert_eq!(*first, body, "a repeat says the same");
        }
        bodies.into_keys().collect()
    }
}

fn ids_of(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stopped_database_delays_events_and_loses_none() {
    let files = tempfile::tempdir().unwrap();
    let cluster = Mutex::new(Cluster::make(&files.path().join("cluster"), Durability::Full));
    let database = {
        let cluster = cluster.lock().unwrap();
        cluster.create_database("callveil", None);
        cluster.url("callveil")
    };
    check(World::on(&database), || cluster.lock().unwrap().crash(), || cluster.lock().unwrap().start());
}

#[test]
fn a_disk_that_takes_no_writes_delays_events_and_loses_none() {
    let images = tempfile::tempdir().unwrap();
    let disk = Disk::in_file(&images.path().join("image"));
    let log = disk.file("callveil.db-wal");
    let flag = |flag: &str| run("chattr", &[flag, log.to_str().unwrap()]);
    check(disk.world(), || flag("+i"), || flag("-i"));
}

/// Breaks what the world keeps its events in while some are owed and others are being delivered, and mends it.
fn check(world: World, breaks: impl FnOnce(), mends: impl FnOnce()) {
    let (world, tenant, config) = furnished(world);
    let gated = Gated::start();
    world.json(&["endpoint", "add", "--tenant", "acme", &gated.receiver.url()]);
    let server = serve(&world, &config);
    let mut client = tenant.client(&server);

    // 1. Some deliveries are under way, and many more are owed.
    let gate = gated.hold();
    for n in 1..=LIVES {
        life(&mut client, n).unwrap();
    }
    let owed = ids_of(&listed(&tenant, &server, "events?"));
    assert_eq!(owed.len(), 3 * LIVES);
    until("a delivery under way", SOON, || gated.begun.load(Ordering::Relaxed) > 0);

    // 2. What is answered now cannot be written down.
    breaks();
    drop(gate);
    let failing = "events are not delivered while the store fails";
    until("the courier's word", SOON * 2, || server.log().contains(failing));
    assert!(gated.ids().len() < owed.len(), "some are owed still");
    mends();

    // 3. Every event arrives under the id that it had, and all is written down.
    until("every event", SOON * 3, || gated.ids() == owed);
    let pending = || listed(&tenant, &server, "deliveries?state=pending&");
    until("nothing that is owed", SOON * 3, || pending().is_empty());
    assert_eq!(listed(&tenant, &server, "deliveries?state=delivered&").len(), owed.len());
    let log = server.log();
    assert_eq!(log.matches(failing).count(), 1, "it is told once: {log}");
    assert_eq!(log.matches("events are delivered again").count(), 1, "{log}");
    assert!(server.stop().success());
}
