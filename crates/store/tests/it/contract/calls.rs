//! What a call needs to know, in one read.

use callveil_domain::allocation::Ending;
use callveil_domain::store::CallFacts;

use crate::world::{COOLING, LENT, World, allocation, at, end, person, pin, vn};

pub async fn a_call_finds_who_holds_its_number(world: &World) {
    let lent = world.lend(allocation(1, vn(1), 1, 2)).await;
    let facts = async |number, caller, now| world.store.call_facts(number, Some(caller), now).await.unwrap();
    let found = |holder| CallFacts { pooled: true, caller_is_pooled: false, holder, has_pins: false };

    assert_eq!(facts(vn(1), person(1), at(2)).await, found(Some(lent.clone())));
    assert_eq!(facts(vn(1), person(2), at(2)).await, found(Some(lent.clone())));
    assert_eq!(facts(vn(2), person(1), at(2)).await, found(None));

    let free_at = lent.held_until();
    let still_held = callveil_domain::time::Timestamp::from_micros(free_at.as_micros() - 1);
    assert_eq!(free_at, at(1).plus(LENT).plus(COOLING));
    assert_eq!(facts(vn(1), person(1), still_held).await, found(Some(lent)));
    assert_eq!(facts(vn(1), person(1), free_at).await, found(None));
}

pub async fn a_caller_who_holds_nothing_is_nobody(world: &World) {
    world.lend(allocation(1, vn(1), 1, 2)).await;
    let facts = async |number, caller| world.store.call_facts(number, Some(caller), at(2)).await.unwrap();
    let nobody = CallFacts { pooled: true, caller_is_pooled: false, holder: None, has_pins: false };

    assert_eq!(facts(vn(1), person(3)).await, nobody);
    assert_eq!(facts(vn(1), vn(2)).await, CallFacts { caller_is_pooled: true, ..nobody.clone() });
    assert_eq!(facts(vn(20), person(1)).await, CallFacts { pooled: false, ..nobody });
}

pub async fn a_withheld_number_is_nobody(world: &World) {
    world.lend(allocation(1, vn(1), 1, 2)).await;

    let facts = world.store.call_facts(vn(1), None, at(2)).await.unwrap();

    assert_eq!(facts, CallFacts { pooled: true, caller_is_pooled: false, holder: None, has_pins: false });
}

pub async fn a_call_learns_whether_pins_are_held(world: &World) {
    let mut with_pin = allocation(1, vn(1), 1, 2);
    with_pin.parties.b.pins = vec![pin(4839)];
    let lent = world.lend(with_pin).await;
    let has_pins = async |number, now| world.store.call_facts(number, None, now).await.unwrap().has_pins;

    assert!(has_pins(vn(1), at(2)).await);
    assert!(!has_pins(vn(2), at(2)).await);
    assert!(
        !has_pins(vn(1), lent.connection_claim().held_until).await,
        "a pin that cools opens nothing, and is not asked for"
    );
}

pub async fn a_pin_finds_its_holder_while_it_is_held(world: &World) {
    let mut with_pin = allocation(1, vn(1), 1, 2);
    with_pin.parties.b.pins = vec![pin(4839)];
    let lent = world.lend(with_pin).await;
    let holder =
        async |number, digits, now| world.store.holder_of_pin(number, pin(digits), now).await.unwrap();

    assert_eq!(holder(vn(1), 4839, at(2)).await, Some(lent.clone()));
    assert_eq!(holder(vn(1), 4838, at(2)).await, None);
    assert_eq!(holder(vn(2), 4839, at(2)).await, None);
    assert_eq!(holder(vn(1), 4839, lent.held_until()).await, None);
}

pub async fn the_pins_of_a_number_are_those_held(world: &World) {
    let mut first = allocation(1, vn(1), 1, 2);
    first.parties.b.pins = vec![pin(12), pin(11)];
    let mut second = allocation(2, vn(1), 3, 4);
    second.parties.a.pins = vec![pin(13)];
    let mut elsewhere = allocation(3, vn(2), 1, 2);
    elsewhere.parties.a.pins = vec![pin(14)];
    let first = world.lend(first).await;
    let second = world.lend(second).await;
    world.lend(elsewhere).await;
    world.applied(end(&first, at(10), Ending::Released)).await;

    let pins = async |now| {
        let mut pins = world.store.pins_on(vn(1), now).await.unwrap();
        pins.sort();
        pins
    };

    assert_eq!(pins(at(11)).await, [(pin(11), first.id), (pin(12), first.id), (pin(13), second.id)]);
    assert_eq!(pins(at(10).plus(COOLING)).await, [(pin(13), second.id)]);
    assert_eq!(pins(second.held_until()).await, []);
}
