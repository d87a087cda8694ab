//! What happened: calls and events, read back and found.

use std::time::Duration;

use callveil_domain::allocation::{AllocationId, ConnectionId, Ending, Side};
use callveil_domain::call::CallId;
use callveil_domain::calls::{
    CallEnd, CallLeg, CallRecord, CallStanding, Disconnector, LegEnd, Link, RecordingName,
};
use callveil_domain::event::{
    AllocationStep, CallStep, Event, EventId, EventKind, Fact, Keyed, Line, NumberLow, Rejected, Verified,
};
use callveil_domain::live::NodeId;
use callveil_domain::routing::RefuseReason;
use callveil_domain::store::{CallQuery, Change, Conflict, EventQuery, Order, TidyTenant};
use callveil_domain::time::Timestamp;
use callveil_domain::trunk::TrunkName;

use super::tidying::all_before;
use crate::world::{World, acme, allocation, at, ended, other, person, pin, vn};

/// The node of a number.
pub fn node(n: u8) -> NodeId {
    NodeId::from_bytes([n; 16])
}

/// The call that arrives at second `n`, on node 1: person 1 calls virtual number 1.
pub fn call(n: i64) -> CallRecord {
    let mut id = *EventId::least_at(at(n)).as_bytes();
    id[15] = 1;
    CallRecord {
        id: CallId::from_bytes(id),
        tenant: acme(),
        node: node(1),
        virtual_number: vn(1),
        caller: Some(person(1)),
        trunk: None,
        link: None,
        by_pin: false,
        started_at: at(n),
        answered_at: None,
        standing: CallStanding::Open,
        legs: Vec::new(),
        recording: None,
        version: 1,
    }
}

/// A call in which everything is said, ended 60 seconds after it came.
pub fn full_call(n: i64) -> CallRecord {
    let first = allocation(n, vn(1), 1, 2);
    let mut full = CallRecord {
        trunk: TrunkName::parse("carrier"),
        link: Some(Link {
            allocation: first.id,
            connection: first.connection,
            from: Side::A,
            tags: ["buyer".to_owned(), "seller".to_owned()],
        }),
        by_pin: true,
        answered_at: Some(at(n + 20)),
        legs: vec![
            CallLeg {
                number: Some(person(2)),
                dialled_at: at(n + 1),
                rang_at: None,
                answered_at: None,
                ended: Some((at(n + 9), LegEnd::Failed(404))),
            },
            CallLeg {
                number: Some(person(3)),
                dialled_at: at(n + 9),
                rang_at: Some(at(n + 11)),
                answered_at: Some(at(n + 20)),
                ended: None,
            },
        ],
        recording: RecordingName::parse("0f3a-7.wav"),
        version: 4,
        ..call(n)
    };
    full.end(at(n + 60), CallEnd::Completed, Disconnector::Callee);
    full
}

/// The change that keeps a call.
pub fn keep(call: &CallRecord) -> Change {
    let mut change = Change::at(call.started_at);
    change.calls.push(call.clone());
    change
}

/// All calls of `acme`.
pub fn all_calls() -> CallQuery {
    CallQuery {
        from: Timestamp::EPOCH,
        to: Timestamp::NEVER,
        allocation: None,
        number: None,
        virtual_number: None,
        state: None,
        before: None,
        limit: 100,
    }
}

pub async fn found(world: &World, wanted: CallQuery) -> Vec<CallId> {
    world.store.calls(&acme(), wanted).await.unwrap().into_iter().map(|call| call.id).collect()
}

pub async fn a_call_reads_back_as_it_was_kept(world: &World) {
    let mut refused = call(2);
    refused.caller = None;
    refused.end(at(3), CallEnd::Refused(RefuseReason::OneWay.into()), Disconnector::Program);
    for kept in [call(1), refused, full_call(4)] {
        world.applied(keep(&kept)).await;

        assert_eq!(world.store.call(&acme(), kept.id).await.unwrap(), Some(kept.clone()));
        assert_eq!(world.store.call(&other(), kept.id).await.unwrap(), None, "it is its tenant's");
    }
}

pub async fn a_call_moves_on_until_it_has_ended(world: &World) {
    let first = call(1);
    world.applied(keep(&first)).await;
    assert_eq!(world.refused(keep(&first)).await, Conflict::CallMoved(first.id), "a step is taken once");

    // What came between may be left out.
    let mut last = CallRecord { version: 5, ..first.clone() };
    last.end(at(9), CallEnd::GivenUp, Disconnector::Caller);
    world.applied(keep(&last)).await;

    let earlier = CallRecord { version: 3, ..first.clone() };
    assert_eq!(world.refused(keep(&earlier)).await, Conflict::CallMoved(first.id));
    let later = CallRecord { version: 6, ..first };
    assert_eq!(world.refused(keep(&later)).await, Conflict::CallMoved(later.id), "an end is an end");
    assert_eq!(world.store.call(&acme(), last.id).await.unwrap(), Some(last));
}

pub async fn calls_are_found_newest_first_by_what_they_are(world: &World) {
    let open = call(1);
    let full = full_call(2);
    let refused = {
        let mut refused = CallRecord { virtual_number: vn(2), caller: Some(person(4)), ..call(3) };
        refused.end(at(3), CallEnd::Refused(RefuseReason::UnknownCaller.into()), Disconnector::Program);
        refused
    };
    for kept in [&open, &full, &refused] {
        world.applied(keep(kept)).await;
    }
    let all = [refused.id, full.id, open.id];

    assert_eq!(found(world, all_calls()).await, all);
    assert_eq!(found(world, CallQuery { limit: 1, ..all_calls() }).await, all[..1]);
    assert_eq!(found(world, CallQuery { before: Some(full.id), ..all_calls() }).await, all[2..]);
    assert_eq!(found(world, CallQuery { from: at(2), to: at(3), ..all_calls() }).await, [full.id]);
    let number = |n| CallQuery { number: Some(person(n)), ..all_calls() };
    assert_eq!(found(world, number(1)).await, all[1..]);
    assert_eq!(found(world, number(3)).await, [full.id], "one that was rung");
    assert_eq!(found(world, number(5)).await, []);
    let allocation = full.link.as_ref().map(|link| link.allocation);
    assert_eq!(found(world, CallQuery { allocation, ..all_calls() }).await, [full.id]);
    assert_eq!(found(world, CallQuery { virtual_number: Some(vn(2)), ..all_calls() }).await, [refused.id]);
    let state = |word: &str| CallQuery { state: Some(word.to_owned()), ..all_calls() };
    assert_eq!(found(world, state("open")).await, [open.id]);
    assert_eq!(found(world, state("refused")).await, [refused.id]);
    assert!(world.store.calls(&other(), all_calls()).await.unwrap().is_empty());
}

pub async fn the_calls_of_a_dead_node_are_orphans(world: &World) {
    let lease = Duration::from_secs(15);
    let (mine, theirs) = (call(1), CallRecord { node: node(2), ..call(2) });
    let mut over = CallRecord { node: node(2), ..call(3) };
    over.end(at(4), CallEnd::GivenUp, Disconnector::Caller);
    for kept in [&mine, &theirs, &over] {
        world.applied(keep(kept)).await;
    }
    // Node 2 is heard once and node 1 for longer than a lease, the judge without a gap.
    world.store.beat(node(2), at(0), lease).await.unwrap();
    for second in (0..60).step_by(5) {
        world.store.beat(node(1), at(second), lease).await.unwrap();
    }

    // A store with a clock of its own is one that many nodes may have open.
    let nodes = if world.has_own_clock { 2 } else { 1 };
    assert_eq!(world.store.nodes(lease).await.unwrap(), nodes);

    if world.has_own_clock {
        // By the database's clock both were heard just now, and no test waits for that to be otherwise.
        assert_eq!(world.store.orphaned_calls(node(1), at(60), lease, 10).await.unwrap(), []);
        world
            .wait_until(async || {
                world.store.beat(node(1), at(60), Duration::from_millis(900)).await.unwrap();
                let orphans =
                    world.store.orphaned_calls(node(1), at(60), Duration::from_millis(900), 10).await;
                orphans.unwrap() == [theirs.clone()]
            })
            .await;
    } else {
        assert_eq!(world.store.orphaned_calls(node(1), at(60), lease, 10).await.unwrap(), [theirs]);
    }
}

pub async fn a_node_is_told_which_calls_to_hang_up(world: &World) {
    let (first, second) = (call(1), call(2));
    world.applied(keep(&first)).await;
    world.applied(keep(&second)).await;
    assert_eq!(world.store.hangups(node(1)).await.unwrap(), []);

    let mut change = Change::at(at(3));
    change.hangups.push((acme(), first.id));
    change.hangups.push((other(), second.id));
    world.applied(change).await;
    assert_eq!(world.store.hangups(node(1)).await.unwrap(), [first.id]);
    assert_eq!(world.store.hangups(node(2)).await.unwrap(), []);

    // The call goes on for a step, and then ends.
    world.applied(keep(&CallRecord { version: 2, ..first.clone() })).await;
    assert_eq!(world.store.hangups(node(1)).await.unwrap(), [first.id]);
    let mut over = CallRecord { version: 3, ..first };
    over.end(at(4), CallEnd::Completed, Disconnector::Program);
    world.applied(keep(&over)).await;
    assert_eq!(world.store.hangups(node(1)).await.unwrap(), []);
}

pub async fn old_calls_go_unless_they_are_open(world: &World) {
    let (open, over, young) = (call(1), full_call(2), full_call(100));
    for kept in [&open, &over, &young] {
        world.applied(keep(kept)).await;
    }
    let mut what = all_before(Timestamp::EPOCH, 10);
    what.tenants = vec![TidyTenant { tenant: acme(), calls_before: at(50), events_before: at(50) }];

    assert_eq!(world.store.tidy(what).await.unwrap().calls, 1);

    assert_eq!(found(world, all_calls()).await, [young.id, open.id]);
}

/// An event of second `n` with this content, alone in its line.
pub fn event(n: i64, fact: Fact) -> Event {
    let mut id = *EventId::least_at(at(n)).as_bytes();
    id[15] = 7;
    Event { id: EventId::from_bytes(id), tenant: acme(), at: at(n), line: Line(id), sequence: 1, fact }
}

/// An event of second `n` that says little.
pub fn small_event(n: i64) -> Event {
    event(n, Fact::NumberLow(NumberLow { free: 1, of: 9 }))
}

/// The change that owes these events.
pub fn owe(events: &[Event]) -> Change {
    let mut change = Change::at(at(0));
    change.events = events.to_vec();
    change
}

fn facts() -> Vec<Fact> {
    let mut full = allocation(1, vn(1), 1, 2);
    full.parties.a.pins = vec![pin(1234)];
    full.parties.b.learned = vec![person(5)];
    full.parties.b.tag = Some("seller".to_owned());
    let expired = ended(&full, at(5), Ending::Expired);
    let told = |what, allocation: &callveil_domain::allocation::Allocation, previous| Fact::Allocation {
        what,
        allocation: Box::new(allocation.clone()),
        previous,
    };
    vec![
        told(AllocationStep::Created, &full, None),
        told(AllocationStep::Updated, &full, None),
        told(AllocationStep::NumberChanged, &full, Some(vn(2))),
        told(AllocationStep::Released, &ended(&full, at(5), Ending::Released), None),
        told(AllocationStep::Expired, &expired, None),
        Fact::Call { what: CallStep::Started, call: Box::new(call(1)) },
        Fact::Call { what: CallStep::Ringing, call: Box::new(call(1)) },
        Fact::Call { what: CallStep::Answered, call: Box::new(call(1)) },
        Fact::Call { what: CallStep::Completed, call: Box::new(full_call(1)) },
        Fact::Call { what: CallStep::Refused, call: Box::new(full_call(1)) },
        Fact::Verified(Verified {
            call: call(1).id,
            allocation: Box::new(full),
            caller: None,
            pin: pin(1234),
            side: Side::B,
            after: 1,
        }),
        Fact::Rejected(Rejected {
            call: call(1).id,
            virtual_number: vn(1),
            caller: Some(person(3)),
            keyed: Keyed::new("12*4#"),
            started_at: at(1),
            after: 1,
        }),
        Fact::NumberLow(NumberLow { free: 2, of: 40 }),
    ]
}

pub async fn every_kind_of_event_reads_back_as_it_was_owed(world: &World) {
    let events: Vec<Event> = facts().into_iter().zip(1..).map(|(fact, n)| event(n, fact)).collect();
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), EventKind::ALL);

    world.applied(owe(&events)).await;

    for kept in events {
        assert_eq!(world.store.event(&acme(), kept.id).await.unwrap(), Some(kept.clone()));
        assert_eq!(world.store.event(&other(), kept.id).await.unwrap(), None);
    }
}

pub async fn an_event_is_owed_once(world: &World) {
    let first = small_event(1);
    world.applied(owe(std::slice::from_ref(&first))).await;
    world.applied(owe(std::slice::from_ref(&first))).await;

    assert_eq!(world.store.events(&acme(), all_events(Order::Oldest)).await.unwrap(), [first]);
}

fn all_events(order: Order) -> EventQuery {
    EventQuery {
        from: Timestamp::EPOCH,
        to: Timestamp::NEVER,
        kind: None,
        allocation: None,
        call: None,
        order,
        past: None,
        limit: 100,
    }
}

pub async fn events_are_found_in_both_orders_by_what_they_are(world: &World) {
    let events: Vec<Event> = facts().into_iter().zip(1..).map(|(fact, n)| event(n, fact)).collect();
    world.applied(owe(&events)).await;
    let found = async |wanted: EventQuery| world.store.events(&acme(), wanted).await.unwrap();
    let oldest = || all_events(Order::Oldest);
    let newest = || all_events(Order::Newest);

    assert_eq!(found(oldest()).await, events);
    assert_eq!(found(newest()).await, events.iter().rev().cloned().collect::<Vec<_>>());
    let past = Some(events[4].id);
    assert_eq!(found(EventQuery { past, limit: 2, ..oldest() }).await, events[5..7]);
    assert_eq!(found(EventQuery { past, limit: 1, ..newest() }).await, events[3..4]);
    assert_eq!(found(EventQuery { from: at(3), to: at(5), ..oldest() }).await, events[2..4]);
    assert_eq!(found(EventQuery { from: at(3), to: at(4), ..newest() }).await, events[2..3]);
    let kind = Some(EventKind::AllocationExpired);
    assert_eq!(found(EventQuery { kind, ..oldest() }).await, events[4..5]);
    let id: AllocationId = allocation(1, vn(1), 1, 2).id;
    let of_allocation = found(EventQuery { allocation: Some(id), ..oldest() }).await;
    assert_eq!(of_allocation.len(), 8, "five of its own, two of a call in it, one of its pin");
    let of_call = found(EventQuery { call: Some(call(1).id), ..oldest() }).await;
    assert_eq!(of_call, events[5..12]);
    assert!(world.store.events(&other(), oldest()).await.unwrap().is_empty());
}

pub async fn a_name_that_needs_care_reads_back(world: &World) {
    let mut strange = allocation(1, vn(1), 1, 2);
    strange.connection = ConnectionId::parse("\"<12025550101>\" \\ 你好 💥").unwrap();
    let kept = event(
        1,
        Fact::Allocation { what: AllocationStep::Created, allocation: Box::new(strange), previous: None },
    );

    world.applied(owe(std::slice::from_ref(&kept))).await;

    assert_eq!(world.store.event(&acme(), kept.id).await.unwrap(), Some(kept));
}
