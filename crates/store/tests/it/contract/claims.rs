//! Exclusive keys: who holds one, until when, and who may take it over.

use callveil_domain::store::{Change, Claim, ClaimKey, Conflict};

use crate::world::{
    COOLING, LENT, World, acme, allocation, at, create, end, number_claim, other, person, pin, vn,
};
use callveil_domain::allocation::{AllocationId, ConnectionId, Ending};

fn only(claim: Claim, now: i64) -> Change {
    let mut change = Change::at(at(now));
    change.take.push(claim);
    change
}

/// One key of each kind.
fn keys() -> [ClaimKey; 4] {
    [
        ClaimKey::Number { number: person(1), virtual_number: vn(1) },
        ClaimKey::Pin { pin: pin(4839), virtual_number: vn(1) },
        ClaimKey::Whole { virtual_number: vn(1) },
        ClaimKey::Connection { tenant: acme(), connection: ConnectionId::parse("order-1").unwrap() },
    ]
}

fn ids() -> [AllocationId; 2] {
    [allocation(1, vn(1), 1, 2).id, allocation(2, vn(1), 1, 2).id]
}

pub async fn a_key_is_held_by_one_allocation(world: &World) {
    let [first, second] = ids();
    for key in keys() {
        world.applied(only(Claim { key: key.clone(), allocation: first, held_until: at(10) }, 0)).await;

        let conflict =
            world.refused(only(Claim { key: key.clone(), allocation: second, held_until: at(20) }, 9)).await;

        assert_eq!(conflict, Conflict::Held(key.clone()));
        assert_eq!(world.claim(key).await, Some((first, at(10))));
    }
}

pub async fn a_claim_is_free_from_its_time_on(world: &World) {
    let [first, second] = ids();
    for key in keys() {
        world.applied(only(Claim { key: key.clone(), allocation: first, held_until: at(10) }, 0)).await;

        world.applied(only(Claim { key: key.clone(), allocation: second, held_until: at(20) }, 10)).await;

        assert_eq!(world.claim(key).await, Some((second, at(20))));
    }
}

pub async fn an_allocation_holds_on_to_its_own_claim(world: &World) {
    let [first, _] = ids();
    for key in keys() {
        world.applied(only(Claim { key: key.clone(), allocation: first, held_until: at(10) }, 0)).await;

        world.applied(only(Claim { key: key.clone(), allocation: first, held_until: at(30) }, 5)).await;
        assert_eq!(world.claim(key.clone()).await, Some((first, at(30))));

        world.applied(only(Claim { key: key.clone(), allocation: first, held_until: at(7) }, 6)).await;
        assert_eq!(world.claim(key).await, Some((first, at(7))));
    }
}

pub async fn only_its_own_claims_cool(world: &World) {
    let [first, second] = ids();
    for key in keys() {
        world.applied(only(Claim { key: key.clone(), allocation: first, held_until: at(10) }, 0)).await;

        let mut change = Change::at(at(1));
        change.cool.push(Claim { key: key.clone(), allocation: second, held_until: at(2) });
        world.applied(change).await;

        assert_eq!(world.claim(key).await, Some((first, at(10))));
    }
    let nobodys = ClaimKey::Whole { virtual_number: vn(2) };
    let mut change = Change::at(at(1));
    change.cool.push(Claim { key: nobodys.clone(), allocation: second, held_until: at(2) });
    world.applied(change).await;
    assert_eq!(world.claim(nobodys).await, None);
}

pub async fn a_cooled_claim_is_free_at_its_new_time(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    world.applied(end(&first, at(500), Ending::Released)).await;
    let free_at = at(500).plus(COOLING);
    let key = ClaimKey::Number { number: person(1), virtual_number: vn(1) };
    assert_eq!(world.claim(key.clone()).await, Some((first.id, free_at)));

    let second = allocation(599, vn(1), 1, 3);
    assert_eq!(world.refused(create(&second)).await, Conflict::Held(key.clone()));
    let third = world.lend(allocation(600, vn(1), 1, 3)).await;

    assert_eq!(world.claim(key).await, Some((third.id, at(600).plus(LENT).plus(COOLING))));
}

pub async fn a_number_is_claimed_on_each_virtual_number_apart(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let second = world.lend(allocation(2, vn(2), 1, 2)).await;

    for lent in [first, second] {
        let claim = number_claim(&lent, person(1), lent.held_until());
        assert_eq!(world.claim(claim.key).await, Some((lent.id, lent.held_until())));
    }
}

pub async fn tenants_name_their_connections_apart(world: &World) {
    let [first, second] = ids();
    let named = |tenant, allocation| {
        let key = ClaimKey::Connection { tenant, connection: ConnectionId::parse("the same").unwrap() };
        Claim { key, allocation, held_until: at(10) }
    };
    world.applied(only(named(acme(), first), 0)).await;
    world.applied(only(named(other(), second), 0)).await;

    assert_eq!(world.claim(named(acme(), first).key).await, Some((first, at(10))));
    assert_eq!(world.claim(named(other(), first).key).await, Some((second, at(10))));
}

pub async fn claims_are_found_in_the_place_of_their_keys(world: &World) {
    let lent = world.lend(allocation(1, vn(1), 1, 2)).await;
    let nobodys = ClaimKey::Number { number: person(3), virtual_number: vn(1) };
    let mut keys: Vec<ClaimKey> = lent.claims().into_iter().map(|c| c.key).collect();
    keys.insert(1, nobodys);

    let found = world.store.claims(&keys).await.unwrap();

    let mut expected: Vec<Option<Claim>> = lent.claims().into_iter().map(Some).collect();
    expected.insert(1, None);
    assert_eq!(found, expected);
}

pub async fn claims_are_paged_in_the_order_of_their_keys(world: &World) {
    let mut first = allocation(1, vn(2), 3, 2);
    first.parties.a.pins = vec![pin(77), pin(5)];
    first.exclusive = true;
    let mut second = allocation(2, vn(1), 1, 2);
    second.parties.b.pins = vec![pin(77)];
    let first = world.lend(first).await;
    let second = world.lend(second).await;

    let mut pages = Vec::new();
    loop {
        let after = pages.last().map(|claim: &Claim| claim.key.clone());
        let page = world.store.claims_after(after, 4).await.unwrap();
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }

    let mut expected = [first.claims(), second.claims()].concat();
    expected.sort_by(|x, y| x.key.cmp(&y.key));
    assert_eq!(pages, expected);
}

pub async fn what_a_number_held_is_remembered(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    world.applied(end(&first, at(5), Ending::Released)).await;
    let second = world.lend(allocation(10, vn(2), 1, 3)).await;

    let past = world.store.past_of(&[person(1), person(3), person(4)]).await.unwrap();

    let mut told: Vec<_> =
        past.into_iter().map(|p| (p.number, p.virtual_number, p.allocation, p.held_until)).collect();
    told.sort();
    let cooled = at(5).plus(COOLING);
    assert_eq!(
        told,
        [
            (person(1), vn(1), first.id, cooled),
            (person(1), vn(2), second.id, second.held_until()),
            (person(3), vn(2), second.id, second.held_until()),
        ]
    );
}
