//! A change is applied as if alone: all of it, or nothing.

use callveil_domain::allocation::{Allocation, Ending};
use callveil_domain::store::{AllocationWrite, Change, Conflict, DirectoryWrite, Haste, Outcome, StoreError};
use callveil_domain::tenant::Sid;

use super::receipts::receipt;
use crate::world::{World, acme, allocation, at, create, end, number_claim, person, put, vn};

/// A change with something of everything, of which the last part does not fit.
fn with_everything(world_has: &Allocation) -> Change {
    let new = allocation(20, vn(2), 3, 4);
    let mut change = end(world_has, at(20), Ending::Released);
    change.allocations.push(AllocationWrite::Insert(new.clone()));
    change.take = new.claims();
    change.receipt = Some(receipt(acme(), "create", "k1"));
    change.directory.push(DirectoryWrite::AddTenant(Sid::parse("third").unwrap()));
    change.directory.push(put(&acme(), vn(20)));
    change
}

pub async fn nothing_is_kept_of_a_refused_change(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let mut late = with_everything(&first);
    late.directory.push(DirectoryWrite::AddTenant(acme()));
    let mut early = with_everything(&first);
    early.take.push(number_claim(&allocation(20, vn(1), 1, 2), person(1), at(30)));

    // `refused` compares everything that the store shows before and after.
    world.refused(late).await;
    world.refused(early).await;
    world.applied(with_everything(&first)).await;
}

pub async fn a_refused_change_leaves_its_neighbours(world: &World) {
    // Sent at once, so that they are applied in one batch where a store has such.
    let changes: Vec<Change> = (1..=40)
        .map(|n| {
            let haste = if n % 3 == 0 { Haste::CanWait } else { Haste::Prompt };
            let change = create(&allocation(
                n,
                vn(1 + n.cast_unsigned() % 4),
                n.cast_unsigned(),
                49 - n.cast_unsigned() % 2,
            ));
            Change { haste, ..change }
        })
        .collect();
    let tasks: Vec<_> = changes
        .into_iter()
        .map(|change| {
            let store = world.store.clone();
            tokio::spawn(async move { (change.clone(), store.apply(change).await.unwrap()) })
        })
        .collect();

    let mut applied = 0;
    for task in tasks {
        let (change, outcome) = task.await.unwrap();
        let held =
            world.store.claims(&change.take.iter().map(|c| c.key.clone()).collect::<Vec<_>>()).await.unwrap();
        let own = held.iter().flatten().filter(|c| c.allocation == change.take[0].allocation).count();
        match outcome {
            Outcome::Applied => assert_eq!(own, change.take.len()),
            Outcome::Refused(_) => assert_eq!(own, 0),
        }
        applied += u32::from(outcome == Outcome::Applied);
    }
    // Four virtual numbers, on each of which one of the two people that all share can stand once.
    assert!((4..=8).contains(&applied), "{applied}");
}

pub async fn a_change_that_can_wait_needs_no_other(world: &World) {
    for n in 1..=3 {
        let change = create(&allocation(n, vn(n.cast_unsigned()), 1, 2));
        world.applied(Change { haste: Haste::CanWait, ..change }).await;
    }
}

pub async fn a_change_that_no_program_should_make_fails_alone(world: &World) {
    let nobodys = Allocation { tenant: Sid::parse("nobody").unwrap(), ..allocation(1, vn(1), 1, 2) };

    let (failed, applied) = tokio::join!(
        world.store.apply(create(&nobodys)),
        world.store.apply(create(&allocation(2, vn(2), 1, 2)))
    );

    assert!(matches!(failed, Err(StoreError::Corrupt(_))), "{failed:?}");
    assert_eq!(applied.unwrap(), Outcome::Applied);
    assert_eq!(world.store.allocations_after(None, 9).await.unwrap(), [allocation(2, vn(2), 1, 2)]);
}

pub async fn a_rehearsal_keeps_nothing(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let before = world.picture().await;

    let outcome = world.store.rehearse(with_everything(&first)).await.unwrap();

    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(world.picture().await, before);
}

pub async fn a_moved_allocation_goes_before_its_claims(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let second = world.lend(allocation(2, vn(2), 3, 4)).await;
    world.applied(end(&first, at(5), Ending::Released)).await;
    let mut stale = Change::at(at(6));
    stale.allocations.push(AllocationWrite::Update(Allocation { version: 2, ..first.clone() }));
    stale.take.push(number_claim(&Allocation { id: first.id, ..second }, person(3), at(30)));

    assert_eq!(world.refused(stale).await, Conflict::Moved(first.id));
}

pub async fn an_empty_change_keeps_its_moment(world: &World) {
    world.applied(Change::at(at(77))).await;

    assert_eq!(world.store.latest_moment().await.unwrap(), at(77));
}

pub async fn the_latest_moment_never_goes_back(world: &World) {
    world.applied(Change::at(at(77))).await;
    world.applied(Change::at(at(5))).await;

    assert_eq!(world.store.latest_moment().await.unwrap(), at(77));
}

pub async fn nothing_is_damaged(world: &World) {
    world.lend(allocation(1, vn(1), 1, 2)).await;

    assert_eq!(world.store.damage().await.unwrap(), Vec::<String>::new());
}
