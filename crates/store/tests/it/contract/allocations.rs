//! Allocations, as they are written, found and listed.

use std::time::Duration;

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId, Ending, Standing, Usage};
use callveil_domain::store::{AllocationWrite, Change, Conflict, ListQuery};
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::FlowId;

use crate::world::{
    COOLING, LENT, World, acme, allocation, at, create, end, ended, number_claim, other, party, person, pin,
    vn,
};

pub async fn an_allocation_reads_back_as_it_was_written(world: &World) {
    let plain = allocation(1, vn(1), 1, 2);
    let mut full = allocation(2, vn(2), 1, 2);
    full.parties.a = party(&[3, 1, 4]);
    full.parties.a.pins = vec![pin(999_999_999_999_999), pin(1)];
    full.parties.a.tag = Some("the \"driver\", ñ".to_owned());
    full.parties.b.learned = vec![person(9), person(8)];
    full.parties.b.tag = Some(String::new());
    full.usage = Usage::OneWay;
    full.flow = Some(FlowId::parse("night flow").unwrap());
    full.exclusive = true;
    full.standing = Standing::Lent { expires_at: Timestamp::NEVER, cooling: Duration::ZERO };
    for written in [plain, full] {
        let lent = world.lend(written).await;
        let read = world.store.allocation(&acme(), lent.id).await.unwrap();
        assert_eq!(read, Some(lent.clone()));

        for how in [Ending::Expired, Ending::Released] {
            let mut change = Change::at(at(50));
            let now = world.store.allocation(&acme(), lent.id).await.unwrap().unwrap();
            let ended = ended(&now, at(50), how);
            change.allocations.push(AllocationWrite::Update(ended.clone()));
            world.applied(change).await;
            assert_eq!(world.store.allocation(&acme(), lent.id).await.unwrap(), Some(ended));
        }
    }
}

pub async fn an_id_is_used_once(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let again = Allocation { virtual_number: vn(2), ..first.clone() };

    let conflict = world.refused(create(&again)).await;

    assert_eq!(conflict, Conflict::Moved(first.id));
}

pub async fn an_update_needs_the_form_before_it(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let update = |version| {
        let mut change = Change::at(at(5));
        let parties = callveil_domain::allocation::Parties { a: party(&[1]), b: party(&[5]) };
        change.allocations.push(AllocationWrite::Update(Allocation { version, parties, ..first.clone() }));
        change
    };

    assert_eq!(world.refused(update(1)).await, Conflict::Moved(first.id));
    assert_eq!(world.refused(update(3)).await, Conflict::Moved(first.id));
    world.applied(update(2)).await;
    assert_eq!(world.refused(update(2)).await, Conflict::Moved(first.id));

    let nobodys = ended(&allocation(9, vn(1), 1, 2), at(5), Ending::Expired);
    let mut change = Change::at(at(5));
    change.allocations.push(AllocationWrite::Update(nobodys.clone()));
    assert_eq!(world.refused(change).await, Conflict::Moved(nobodys.id));
}

pub async fn an_allocation_is_its_tenants(world: &World) {
    let lent = world.lend(allocation(1, vn(1), 1, 2)).await;
    let store = &world.store;

    assert_eq!(store.allocation(&other(), lent.id).await.unwrap(), None);
    assert_eq!(store.allocation_by_connection(&other(), &lent.connection).await.unwrap(), None);
    assert_eq!(store.allocations_by_number(&other(), person(1), 10).await.unwrap(), []);
    assert_eq!(store.list(&other(), everything()).await.unwrap().total, 0);
}

pub async fn a_connection_id_finds_what_it_named_last(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let find = async |name: &str| {
        let name = ConnectionId::parse(name).unwrap();
        world.store.allocation_by_connection(&acme(), &name).await.unwrap()
    };
    assert_eq!(find("order-1").await, Some(first.clone()));
    assert_eq!(find("order-2").await, None);

    world.applied(end(&first, at(5), Ending::Released)).await;
    assert_eq!(find("order-1").await, Some(ended(&first, at(5), Ending::Released)));

    let mut second = allocation(6, vn(2), 1, 2);
    second.connection = first.connection;
    let second = world.lend(second).await;
    assert_eq!(find("order-1").await, Some(second));
}

pub async fn a_number_finds_its_allocations_newest_first(world: &World) {
    let first = world.lend(allocation(1, vn(1), 1, 2)).await;
    let second = world.lend(allocation(2, vn(2), 3, 1)).await;
    world.lend(allocation(3, vn(3), 4, 5)).await;
    // The second also holds the number on a virtual number that it had before.
    let mut moved = Change::at(at(4));
    moved.take.push(number_claim(&Allocation { virtual_number: vn(4), ..second.clone() }, person(1), at(9)));
    world.applied(moved).await;

    let find = async |limit| world.store.allocations_by_number(&acme(), person(1), limit).await.unwrap();

    assert_eq!(find(10).await, [second.clone(), first]);
    assert_eq!(find(1).await, [second]);
    assert_eq!(find(0).await, []);
}

fn everything() -> ListQuery {
    ListQuery { from: Timestamp::EPOCH, to: Timestamp::NEVER, active: None, now: at(0), skip: 0, limit: 100 }
}

async fn listed(world: &World, wanted: ListQuery) -> (Vec<AllocationId>, u64) {
    let page = world.store.list(&acme(), wanted).await.unwrap();
    (page.allocations.iter().map(|a| a.id).collect(), page.total)
}

async fn three(world: &World) -> [Allocation; 3] {
    [
        world.lend(allocation(10, vn(1), 1, 2)).await,
        world.lend(allocation(20, vn(2), 1, 2)).await,
        world.lend(allocation(30, vn(3), 1, 2)).await,
    ]
}

pub async fn a_list_is_paged_and_counted(world: &World) {
    let [x, y, z] = three(world).await;

    let page = async |skip, limit| listed(world, ListQuery { skip, limit, ..everything() }).await;

    assert_eq!(page(0, 100).await, (vec![x.id, y.id, z.id], 3));
    assert_eq!(page(0, 2).await, (vec![x.id, y.id], 3));
    assert_eq!(page(2, 2).await, (vec![z.id], 3));
    assert_eq!(page(3, 2).await, (vec![], 3));
    assert_eq!(page(0, 0).await, (vec![], 3));
    assert_eq!(page(u64::MAX, 2).await, (vec![], 3));
}

pub async fn a_list_is_of_what_was_made_in_its_time(world: &World) {
    let [x, y, z] = three(world).await;
    let just_after = |moment: Timestamp| Timestamp::from_micros(moment.as_micros() + 1);

    let between = async |from, to| listed(world, ListQuery { from, to, ..everything() }).await.0;

    assert_eq!(between(at(10), at(30)).await, [x.id, y.id, z.id]);
    assert_eq!(between(at(10), at(10)).await, [x.id]);
    assert_eq!(between(just_after(at(10)), at(30)).await, [y.id, z.id]);
    assert_eq!(between(at(11), just_after(at(20))).await, [y.id]);
    assert_eq!(between(at(31), Timestamp::NEVER).await, []);
    assert_eq!(between(at(30), at(10)).await, []);
    assert_eq!(between(Timestamp::from_micros(-5), at(15)).await, [x.id]);
}

pub async fn a_list_can_be_of_the_active_or_the_others(world: &World) {
    let [x, y, z] = three(world).await;
    world.applied(end(&y, at(40), Ending::Released)).await;
    // The first is due to end, whether or not anybody has written that down.
    let now = x.created_at.plus(LENT);

    let those = async |active| listed(world, ListQuery { active, now, ..everything() }).await;

    assert_eq!(those(Some(true)).await, (vec![z.id], 1));
    assert_eq!(those(Some(false)).await, (vec![x.id, y.id], 2));
    assert_eq!(those(None).await.1, 3);
}

pub async fn what_is_overdue_is_found_longest_first(world: &World) {
    let [x, y, z] = three(world).await;
    let mut never = allocation(31, vn(4), 1, 2);
    never.standing = Standing::Lent { expires_at: Timestamp::NEVER, cooling: COOLING };
    world.lend(never).await;
    let mut soon = allocation(32, vn(5), 1, 2);
    soon.standing = Standing::Lent { expires_at: at(33), cooling: COOLING };
    let soon = world.lend(soon).await;
    world.applied(end(&y, at(40), Ending::Released)).await;

    let due = async |now: Timestamp, limit| {
        let due = world.store.due(now, limit).await.unwrap();
        due.into_iter().map(|a| a.id).collect::<Vec<_>>()
    };

    assert_eq!(due(at(32), 10).await, []);
    assert_eq!(due(at(33), 10).await, [soon.id]);
    assert_eq!(due(z.created_at.plus(LENT), 10).await, [soon.id, x.id, z.id]);
    assert_eq!(due(z.created_at.plus(LENT), 2).await, [soon.id, x.id]);
    assert_eq!(due(x.created_at.plus(LENT), 10).await, [soon.id, x.id]);
}

pub async fn loads_count_what_is_lent(world: &World) {
    let [x, _, _] = three(world).await;
    world.lend(allocation(40, vn(1), 3, 4)).await;
    world.lend(allocation(50, vn(3), 3, 4)).await;
    world.applied(end(&x, at(60), Ending::Expired)).await;

    let mut loads = world.store.loads().await.unwrap();

    loads.retain(|(_, load)| *load > 0);
    loads.sort();
    assert_eq!(loads, [(vn(1), 1), (vn(2), 1), (vn(3), 2)]);
}

pub async fn all_allocations_are_paged_in_one_order(world: &World) {
    let three = three(world).await;
    let mut foreign = allocation(1, vn(9), 1, 2);
    foreign.tenant = other();
    let foreign = world.lend(foreign).await;

    let mut pages: Vec<Allocation> = Vec::new();
    loop {
        let after = pages.last().map(|a| (a.tenant.clone(), a.id));
        let page = world.store.allocations_after(after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }

    assert_eq!(pages, [three.to_vec(), vec![foreign]].concat());
}
