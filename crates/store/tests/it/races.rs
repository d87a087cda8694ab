//! Many writers on few numbers: no key is held twice, and nobody holds a part.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread;

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId, Ending, Standing};
use callveil_domain::store::{AllocationWrite, Change, ClaimKey, Conflict, Outcome, Store, StoreError};
use callveil_domain::time::Timestamp;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::world::{self, World, acme, allocation, at, create, party, pin, vn};

const WRITERS: u64 = 16;
const TRIES: u64 = 200;

/// All of it happens at one moment, so that only the store can say who was first.
const NOW: i64 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_on_few_numbers_never_share_a_key_nor_hold_a_part() {
    let world = world::sqlite().await;
    let store = world.store.clone();
    race(&world, &[store]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_they_on_two_nodes_of_one_postgres() {
    race_on_two_nodes(world::postgres_here().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_they_when_both_nodes_are_behind_a_pooler() {
    race_on_two_nodes(world::pooled_postgres_here().await).await;
}

async fn race_on_two_nodes((world, url): (World, String)) {
    let nodes: [Arc<dyn Store>; 2] = [world.store.clone(), Arc::new(world::open_postgres(&url).await)];
    race(&world, &nodes).await;
}

async fn race(world: &World, nodes: &[Arc<dyn Store>]) {
    let start = Arc::new(Barrier::new(16));
    let runtime = tokio::runtime::Handle::current();
    let writers: Vec<_> = (0..WRITERS)
        .zip(nodes.iter().cycle())
        .map(|(writer, node)| {
            let (store, start, runtime) = (node.clone(), start.clone(), runtime.clone());
            thread::spawn(move || {
                start.wait();
                write(store.as_ref(), writer, &runtime)
            })
        })
        .collect();
    let told: Vec<Told> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();

    let lent: Vec<Allocation> = told.iter().flat_map(|t| t.lent.clone()).collect();
    let refused: u32 = told.iter().map(|t| t.refused).sum();
    assert!(refused > 100, "the writers met each other: {refused} refused");
    assert!(!lent.is_empty());
    check_claims(world, &lent).await;
    check_allocations(world, lent).await;
}

/// What one writer was answered.
struct Told {
    /// What it was lent and did not give back.
    lent: Vec<Allocation>,
    refused: u32,
}

fn write(store: &dyn Store, writer: u64, runtime: &tokio::runtime::Handle) -> Told {
    let mut rng = StdRng::seed_from_u64(writer);
    let mut told = Told { lent: Vec::new(), refused: 0 };
    for _ in 0..TRIES {
        let new = any_allocation(&mut rng);
        match runtime.block_on(insist(store, create(&new))) {
            Outcome::Applied => told.lent.push(new),
            Outcome::Refused(Conflict::Held(_)) => told.refused += 1,
            Outcome::Refused(conflict) => panic!("{conflict:?}"),
        }
        if rng.random_bool(0.5)
            && let Some(old) = told.lent.pop()
        {
            assert_eq!(runtime.block_on(insist(store, give_back(&old))), Outcome::Applied);
        }
    }
    told
}

/// Asks again as long as too much waits: nothing was done then, and a busy machine is no answer.
async fn insist(store: &dyn Store, change: Change) -> Outcome {
    loop {
        match store.apply(change.clone()).await {
            Ok(outcome) => return outcome,
            Err(StoreError::Busy) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// An allocation of two to four of eight people on one of four virtual numbers, with one of forty names.
fn any_allocation(rng: &mut StdRng) -> Allocation {
    let mut people: Vec<u64> = (1..=8).collect();
    people.shuffle(rng);
    let mut lent = allocation(NOW, vn(rng.random_range(1..=4)), 1, 2);
    lent.id = AllocationId::new(at(NOW), rng);
    lent.connection = ConnectionId::parse(&format!("order-{}", rng.random_range(1..=40))).unwrap();
    lent.parties.a = party(&people[..rng.random_range(1..=2)]);
    lent.parties.b = party(&people[2..rng.random_range(3..=4)]);
    lent.parties.b.pins = (0..rng.random_range(0..=1)).map(|_| pin(rng.random_range(1..=9))).collect();
    lent
}

/// Ends an allocation, with nothing cooling: its keys are free at once.
fn give_back(old: &Allocation) -> Change {
    let standing = Standing::Ended { at: at(NOW), cooling_until: at(NOW), how: Ending::Released };
    let ended = Allocation { standing, version: 2, ..old.clone() };
    let mut change = Change::at(at(NOW));
    change.cool = ended.claims();
    change.allocations.push(AllocationWrite::Update(ended));
    change
}

/// What is held is what those who were lent something hold: all of it, and nothing else.
async fn check_claims(world: &World, lent: &[Allocation]) {
    let mut expected: BTreeMap<ClaimKey, (AllocationId, Timestamp)> = BTreeMap::new();
    for claim in lent.iter().flat_map(Allocation::claims) {
        let other = expected.insert(claim.key, (claim.allocation, claim.held_until));
        assert_eq!(other, None, "two were lent the same key");
    }

    let claims = world.store.claims_after(None, usize::MAX).await.unwrap();

    let held = claims.into_iter().filter(|c| c.held_until > at(NOW));
    let held: BTreeMap<_, _> = held.map(|c| (c.key, (c.allocation, c.held_until))).collect();
    assert_eq!(held, expected);
}

async fn check_allocations(world: &World, mut lent: Vec<Allocation>) {
    let mut kept = world.store.allocations_after(None, usize::MAX).await.unwrap();
    kept.retain(|a| a.tenant == acme() && matches!(a.standing, Standing::Lent { .. }));
    lent.sort_by_key(|a| a.id);
    assert_eq!(kept, lent);
}
