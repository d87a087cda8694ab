//! Throwing away what no rule looks at any more.

use callveil_domain::allocation::Ending;
use callveil_domain::receipt::Receipt;
use callveil_domain::store::{Ended, Tidied, Tidy};
use callveil_domain::time::Timestamp;

use super::receipts::{keep, receipt};
use crate::world::{World, acme, allocation, at, end, vn};

pub fn all_before(moment: Timestamp, step: usize) -> Tidy {
    Tidy {
        claims_before: moment,
        allocations_before: moment,
        receipts_before: moment,
        audit_before: moment,
        tenants: Vec::new(),
        step,
    }
}

/// Takes a step that comes to the end of every table.
async fn whole(world: &World, what: Tidy) -> Tidied {
    let tidied = world.store.tidy(what).await.unwrap();
    assert_eq!(tidied.ended, Ended { claims: true, connections: true, allocations: true });
    Tidied { ended: Ended::default(), ..tidied }
}

pub async fn what_no_rule_looks_at_is_thrown_away(world: &World) {
    let mut first = allocation(1, vn(1), 1, 2);
    first.parties.a.pins = vec![callveil_domain::pin::Pin::from_value(12).unwrap()];
    first.exclusive = true;
    let first = world.lend(first).await;
    world.applied(end(&first, at(10), Ending::Released)).await;
    world.applied(keep(Receipt { made_at: at(4), ..receipt(acme(), "create", "k1") })).await;
    world.applied(keep(Receipt { made_at: at(111), ..receipt(acme(), "create", "k2") })).await;

    let cooled = whole(world, all_before(at(110), 100)).await;
    assert_eq!(
        cooled,
        Tidied { claims: 1, allocations: 0, receipts: 1, ..Tidied::default() },
        "the name alone is free at once"
    );
    let tidied = whole(world, all_before(at(111), 100)).await;

    assert_eq!(tidied, Tidied { claims: 4, allocations: 1, receipts: 0, ..Tidied::default() });
    assert_eq!(world.store.claims_after(None, 100).await.unwrap(), []);
    assert_eq!(world.store.allocations_after(None, 100).await.unwrap(), []);
    assert!(world.store.receipt(&acme(), "create", "k1").await.unwrap().is_none());
    assert!(world.store.receipt(&acme(), "create", "k2").await.unwrap().is_some());
}

pub async fn what_is_held_or_lent_stays(world: &World) {
    let overdue = world.lend(allocation(1, vn(1), 1, 2)).await;
    let picture = world.picture().await;

    let tidied = whole(world, all_before(at(2), 100)).await;
    assert_eq!(tidied, Tidied::default());
    assert_eq!(world.picture().await, picture);

    let long_after = overdue.held_until().plus(std::time::Duration::from_secs(1));
    let tidied = whole(world, all_before(long_after, 100)).await;
    assert_eq!(
        tidied,
        Tidied { claims: 3, allocations: 0, receipts: 0, ..Tidied::default() },
        "its end was never written down"
    );
}

pub async fn a_step_looks_at_so_many_rows(world: &World) {
    for n in 1..=9 {
        let lent = world.lend(allocation(n, vn(n.cast_unsigned()), 1, 2)).await;
        world.applied(end(&lent, at(n), Ending::Released)).await;
        world.applied(keep(receipt(acme(), "create", &format!("k{n}")))).await;
    }
    let mut sum = Tidied::default();
    let mut ends = [0; 3];
    for _ in 0..12 {
        let tidied = world.store.tidy(all_before(at(1_000), 2)).await.unwrap();
        assert!(tidied.claims <= 4 && tidied.allocations <= 2 && tidied.receipts <= 2, "{tidied:?}");
        sum.claims += tidied.claims;
        sum.allocations += tidied.allocations;
        sum.receipts += tidied.receipts;
        let Ended { claims, connections, allocations } = tidied.ended;
        for (end, ended) in ends.iter_mut().zip([claims, connections, allocations]) {
            *end += u32::from(ended);
        }
    }

    assert!(
        ends.iter().all(|ended| (1..12).contains(ended)),
        "each walk comes to its end, some steps later: {ends:?}"
    );
    assert_eq!(sum, Tidied { claims: 27, allocations: 9, receipts: 9, ..Tidied::default() });
}
