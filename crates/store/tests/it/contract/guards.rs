//! What must hold beside the claims.

use callveil_domain::allocation::Allocation;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{AllocationWrite, Change, Claim, ClaimKey, Conflict, DirectoryWrite, Guard};
use callveil_domain::virtual_number::Lending;

use crate::world::{World, acme, allocation, at, create, other, pin, put, vn};

fn guarded(guard: Guard) -> Change {
    let mut change = Change::at(at(100));
    change.guards.push(guard);
    change
}

pub async fn only_open_numbers_of_the_tenant_are_lendable(world: &World) {
    let mut drain = Change::at(at(1));
    drain.directory.push(put(&other(), vn(20)));
    drain.directory.push(DirectoryWrite::SetLending {
        tenant: acme(),
        number: vn(2),
        lending: Lending::Draining,
    });
    world.applied(drain).await;
    let lendable = |virtual_number| Guard::Lendable { tenant: acme(), virtual_number };

    world.applied(guarded(lendable(vn(1)))).await;
    for refused in [vn(2), vn(20), vn(21)] {
        let conflict = world.refused(guarded(lendable(refused))).await;
        assert_eq!(conflict, Conflict::Guard(lendable(refused)));
    }
}

fn exclusive(n: i64, virtual_number: PhoneNumber) -> Allocation {
    Allocation { exclusive: true, ..allocation(n, virtual_number, 1, 2) }
}

pub async fn a_number_held_whole_is_not_shared(world: &World) {
    let whole = world.lend(exclusive(1, vn(1))).await;
    let shared = Guard::Shared { virtual_number: vn(1) };
    let share = |n| {
        let mut change = create(&allocation(n, vn(1), 3, 4));
        change.guards.push(shared.clone());
        change
    };
    let held_until = whole.held_until().since(at(0)).as_secs().cast_signed();

    assert_eq!(world.refused(share(2)).await, Conflict::Guard(shared.clone()));
    assert_eq!(world.refused(share(held_until - 1)).await, Conflict::Guard(shared.clone()));
    world.applied(guarded(Guard::Shared { virtual_number: vn(2) })).await;
    world.applied(share(held_until)).await;
}

pub async fn an_allocation_shares_with_itself(world: &World) {
    let mut create = create(&exclusive(1, vn(1)));
    create.guards.push(Guard::Shared { virtual_number: vn(1) });
    world.applied(create).await;

    let mut hold_on = Change::at(at(5));
    let mut next = exclusive(1, vn(1));
    next.version = 2;
    hold_on.guards.push(Guard::Shared { virtual_number: vn(1) });
    hold_on.take = next.claims();
    hold_on.allocations.push(AllocationWrite::Update(next));
    world.applied(hold_on).await;
}

/// Lends a number to two people with these pins on side B, if others hold at most so many.
fn with_pins(n: i64, people: [u64; 2], pins: &[u64], others: u32) -> Change {
    let mut lent = allocation(n, vn(1), people[0], people[1]);
    lent.parties.b.pins = pins.iter().map(|value| pin(*value)).collect();
    let mut change = create(&lent);
    change.guards.push(Guard::PinRoom { virtual_number: vn(1), allocation: lent.id, others });
    change
}

pub async fn pins_need_room(world: &World) {
    world.applied(with_pins(1, [1, 2], &[11, 12], 0)).await;
    let one_too_many = with_pins(2, [3, 4], &[13, 14], 1);
    assert_eq!(world.refused(one_too_many.clone()).await, Conflict::Guard(one_too_many.guards[0].clone()));
    world.applied(with_pins(3, [3, 4], &[13], 2)).await;
    let full = with_pins(4, [5, 6], &[14], 2);
    assert_eq!(world.refused(full.clone()).await, Conflict::Guard(full.guards[0].clone()));
}

pub async fn pins_that_are_held_no_more_leave_room(world: &World) {
    let first = with_pins(1, [1, 2], &[11, 12], 0);
    world.applied(first.clone()).await;
    let mut cool = Change::at(at(5));
    cool.cool = first.take.into_iter().map(|claim| Claim { held_until: at(7), ..claim }).collect();
    world.applied(cool).await;

    let early = with_pins(6, [3, 4], &[13], 1);
    assert_eq!(world.refused(early.clone()).await, Conflict::Guard(early.guards[0].clone()));
    world.applied(with_pins(7, [3, 4], &[13], 1)).await;
}

pub async fn its_own_pins_take_no_room_even_when_they_cool(world: &World) {
    let first = with_pins(1, [1, 2], &[11, 12], 0);
    world.applied(first.clone()).await;

    let mut swap = Change::at(at(5));
    swap.guards = first.guards;
    for claim in first.take {
        if let ClaimKey::Pin { pin: old, .. } = claim.key {
            let new = ClaimKey::Pin { pin: pin(old.expose_value() + 10), virtual_number: vn(1) };
            swap.take.push(Claim { key: new, ..claim.clone() });
            swap.cool.push(Claim { held_until: at(50), ..claim });
        }
    }
    world.applied(swap).await;
}
