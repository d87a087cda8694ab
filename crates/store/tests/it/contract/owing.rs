//! The domain's use cases on a store: what they owe, what they interrupt, and what they erase.

use std::sync::Arc;
use std::time::Duration;

use callveil_domain::allocation::create::{NewAllocation, NewParty, Preferences, create};
use callveil_domain::allocation::expire::expire_due;
use callveil_domain::allocation::release::release;
use callveil_domain::allocation::{Allocation, ConnectionId, Usage};
use callveil_domain::audit::Origin;
use callveil_domain::call::CallId;
use callveil_domain::calls::{self, CallEnd, CallRecord, Disconnector, Kept, Link};
use callveil_domain::delivery::{ReplayRefused, replay};
use callveil_domain::endpoint::{self, EndpointChange, EndpointRefused, NewEndpoint};
use callveil_domain::erasure::{EraseRefused, erase, mentions};
use callveil_domain::event::{EventId, EventKind, Keyed};
use callveil_domain::live;
use callveil_domain::routing::join_by_pin;
use callveil_domain::store::{Change, DeliveryQuery, DirectoryWrite, EventQuery, Order, Outcome, StoreError};
use callveil_domain::tenant::Tenant;
use callveil_domain::time::Timestamp;
use callveil_domain::{Ctx, Effect, Failure, verify};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::happenings::{all_calls, call, keep, node};
use crate::world::{World, acme, at, person, pin, vn};

/// Runs a use case of `acme` at second `n`.
async fn act<T>(world: &World, n: i64, case: impl AsyncFnOnce(&mut Ctx<'_>, &Tenant) -> T) -> T {
    let mut rng = StdRng::seed_from_u64(n.cast_unsigned());
    let mut tenant = Tenant::clone(&*tenant(world).await);
    tenant.settings.international = true;
    let mut ctx = Ctx {
        store: world.store.as_ref(),
        now: at(n),
        rng: &mut rng,
        effect: Effect::Keep,
        by: Origin::PROGRAM,
    };
    case(&mut ctx, &tenant).await
}

async fn tenant(world: &World) -> Arc<Tenant> {
    world.store.directory().await.unwrap().tenant("acme").unwrap().clone()
}

async fn set(world: &World, name: &'static str, value: &str) {
    let mut change = Change::at(at(0));
    change.directory.push(DirectoryWrite::SetSetting { tenant: acme(), name, value: value.to_owned() });
    world.applied(change).await;
}

/// Lends a virtual number to two people for 100 seconds.
async fn lend(world: &World, n: i64, a: u64, b: u64) -> Allocation {
    let party = |n| NewParty { numbers: vec![person(n)], ..NewParty::default() };
    let new = NewAllocation {
        connection: ConnectionId::parse(&format!("order-{n}")).unwrap(),
        a: NewParty { pins: vec![pin(4711)], ..party(a) },
        b: party(b),
        usage: Usage::TwoWay,
        lifetime: Some(std::time::Duration::from_secs(100)),
        flow: None,
        preferences: Preferences::default(),
    };
    act(world, n, async |ctx, tenant| create(ctx, tenant, new, None).await).await.unwrap().allocation
}

/// The kinds of all events, oldest first.
async fn told(world: &World) -> Vec<EventKind> {
    events(world).await.into_iter().map(|(kind, _)| kind).collect()
}

async fn events(world: &World) -> Vec<(EventKind, EventId)> {
    let wanted = EventQuery {
        from: Timestamp::EPOCH,
        to: Timestamp::NEVER,
        kind: None,
        allocation: None,
        call: None,
        order: Order::Oldest,
        past: None,
        limit: 100,
    };
    let mut events = world.store.events(&acme(), wanted).await.unwrap();
    // Those of one millisecond lie in no order but that of their line.
    events.sort_by_key(|event| (event.at, event.sequence));
    events.into_iter().map(|event| (event.kind(), event.id)).collect()
}

async fn owed(world: &World) -> Vec<(EventKind, String)> {
    let mut owed = world.store.deliveries(&acme(), DeliveryQuery::newest(100)).await.unwrap();
    owed.reverse();
    owed.into_iter().map(|delivery| (delivery.kind, delivery.key.endpoint.to_string())).collect()
}

pub async fn nothing_is_owed_that_nobody_wants(world: &World) {
    let lent = lend(world, 1, 1, 2).await;
    act(world, 2, async |ctx, tenant| release(ctx, tenant, lent.id, None, None).await).await.unwrap();

    assert_eq!(told(world).await, []);
}

pub async fn the_life_of_an_allocation_is_told(world: &World) {
    set(world, "event_stream", "true").await;
    let first = lend(world, 1, 1, 2).await;
    let arrived = CallRecord { caller: Some(person(5)), virtual_number: first.virtual_number, ..call(2) };
    let joined = act(world, 3, async |ctx, tenant| join_by_pin(ctx, tenant, &arrived, pin(4711)).await).await;
    assert!(joined.is_ok(), "{joined:?}");
    act(world, 4, async |ctx, tenant| release(ctx, tenant, first.id, None, None).await).await.unwrap();
    lend(world, 5, 3, 4).await;
    let directory = world.store.directory().await.unwrap();
    assert_eq!(expire_due(world.store.as_ref(), &directory, at(105)).await.unwrap(), 1);

    let told = told(world).await;

    assert_eq!(
        told,
        [
            EventKind::AllocationCreated,
            EventKind::AllocationUpdated,
            EventKind::CallerVerified,
            EventKind::AllocationReleased,
            EventKind::AllocationCreated,
            EventKind::AllocationExpired,
        ]
    );
    assert_eq!(owed(world).await, [], "the stream alone is read, not sent");
    let joined = format!("{} version 2", first.id);
    let entries = world.store.unsealed_audit(100).await.unwrap();
    assert!(entries.iter().any(|entry| entry.actor == "caller" && entry.subject == joined), "{entries:?}");
}

pub async fn a_pool_that_is_nearly_empty_is_told(world: &World) {
    set(world, "event_stream", "true").await;
    // Nine numbers, and person 1 needs another for each.
    for n in 1..=9 {
        lend(world, n, 1, 10 + n.cast_unsigned()).await;
    }

    let low = told(world).await.into_iter().filter(|kind| *kind == EventKind::NumberLow).count();

    assert_eq!(low, 1, "once an hour");
}

pub async fn leadassists_events_go_to_their_settings(world: &World) {
    for name in [
        "greencall_complete_event_endpoint",
        "failed_verification_event_endpoint",
        "verified_caller_event_endpoint",
        "deallocation_callback_event_endpoint",
    ] {
        set(world, name, "https://hooks.example.com/").await;
    }
    let lent = lend(world, 1, 1, 2).await;
    let mut arrived =
        CallRecord { caller: Some(person(5)), virtual_number: lent.virtual_number, version: 0, ..call(2) };
    act(world, 2, async |ctx, tenant| calls::opened(ctx, tenant, &mut arrived).await).await.unwrap();
    act(world, 3, async |ctx, tenant| calls::rejected(ctx, tenant, &arrived, Keyed::new("12")).await)
        .await
        .unwrap();
    act(world, 4, async |ctx, tenant| join_by_pin(ctx, tenant, &arrived, pin(4711)).await).await.unwrap();
    arrived.link = Some(Link::of(&lent, callveil_domain::allocation::Side::A, &tenant(world).await.settings));
    arrived.end(at(5), CallEnd::GivenUp, Disconnector::Caller);
    act(world, 5, async |ctx, tenant| calls::closed(ctx, tenant, &mut arrived).await).await.unwrap();
    let mut stranger = CallRecord { id: call(6).id, version: 0, ..call(6) };
    stranger.end(
        at(6),
        CallEnd::Refused(callveil_domain::routing::RefuseReason::UnknownCaller.into()),
        Disconnector::Program,
    );
    act(world, 6, async |ctx, tenant| calls::closed(ctx, tenant, &mut stranger).await).await.unwrap();
    let directory = world.store.directory().await.unwrap();
    expire_due(world.store.as_ref(), &directory, at(200)).await.unwrap();

    let owed = owed(world).await;

    let owed: Vec<(EventKind, &str)> = owed.iter().map(|(kind, to)| (*kind, to.as_str())).collect();
    assert_eq!(
        owed,
        [
            (EventKind::CallerRejected, "failed_verification_event_endpoint"),
            (EventKind::CallerVerified, "verified_caller_event_endpoint"),
            (EventKind::CallCompleted, "greencall_complete_event_endpoint"),
            (EventKind::AllocationExpired, "deallocation_callback_event_endpoint"),
        ],
        "and nothing of a call that is in no allocation"
    );
}

pub async fn an_event_is_replayed_with_its_id(world: &World) {
    let new = NewEndpoint {
        url: "https://hooks.example.com/".to_owned(),
        kinds: vec![EventKind::AllocationCreated],
        masked: false,
    };
    set(world, "event_stream", "true").await;
    lend(world, 1, 1, 2).await;
    let (_, id) = events(world).await[0];
    let nobody = act(world, 2, async |ctx, tenant| replay(ctx, tenant, id, None).await).await;
    assert_eq!(nobody, Err(Failure::Refused(ReplayRefused::NobodyWants)));
    let made = act(world, 3, async |ctx, tenant| endpoint::add(ctx, tenant, new).await).await.unwrap();

    assert_eq!(act(world, 4, async |ctx, tenant| replay(ctx, tenant, id, None).await).await, Ok(1));

    assert_eq!(owed(world).await, [(EventKind::AllocationCreated, made.id.to_string())]);
    let unknown = EventId::from_bytes([0; 16]);
    let missing = act(world, 5, async |ctx, tenant| replay(ctx, tenant, unknown, None).await).await;
    assert_eq!(missing, Err(Failure::Refused(ReplayRefused::NotFound)));
}

pub async fn a_step_of_a_call_that_is_tried_again_is_kept_once(world: &World) {
    set(world, "event_stream", "true").await;
    let mut first = CallRecord { version: 0, ..call(1) };
    let mut again = first.clone();

    let kept = act(world, 1, async |ctx, tenant| calls::opened(ctx, tenant, &mut first).await).await;
    let repeated = act(world, 1, async |ctx, tenant| calls::opened(ctx, tenant, &mut again).await).await;

    assert_eq!((kept, repeated), (Ok(Kept::Kept), Ok(Kept::Superseded)));
    assert_eq!(first, again);
    assert_eq!(told(world).await, [EventKind::CallStarted]);
}

pub async fn what_is_changed_by_an_old_picture_of_an_endpoint_is_refused(world: &World) {
    let new = || NewEndpoint { url: "https://a.example".to_owned(), kinds: Vec::new(), masked: false };
    let made = act(world, 1, async |ctx, tenant| endpoint::add(ctx, tenant, new()).await).await.unwrap();
    let picture = tenant(world).await;
    let rotate = async |n| {
        act(world, n, async |ctx, _| endpoint::rotate(ctx, &picture, &made.id).await)
            .await
            .map(|rotated| rotated.secrets)
    };
    let secrets = rotate(2).await.unwrap();

    assert_eq!(rotate(3).await, Err(Failure::Store(StoreError::Busy)));
    assert_eq!(tenant(world).await.endpoints[0].secrets, secrets);

    act(world, 4, async |ctx, tenant| endpoint::remove(ctx, tenant, &made.id).await).await.unwrap();
    let mask = EndpointChange { masked: Some(true), ..EndpointChange::default() };
    let changed = act(world, 5, async |ctx, _| endpoint::change(ctx, &picture, &made.id, mask).await).await;
    let gone = Failure::Refused(EndpointRefused::NotFound);
    assert_eq!((rotate(6).await, changed), (Err(gone.clone()), Err(gone)));
    assert_eq!(tenant(world).await.endpoints, []);
}

pub async fn calls_of_a_dead_node_are_interrupted_once(world: &World) {
    // So short that a store with a clock of its own soon finds it to be over.
    let lease = Duration::from_millis(900);
    set(world, "event_stream", "true").await;
    let orphan = CallRecord { node: node(2), ..call(1) };
    world.applied(keep(&orphan)).await;
    let directory = world.store.directory().await.unwrap();
    let interrupt = async |n| {
        world.store.beat(node(1), at(n), lease).await.unwrap();
        live::interrupt_the_dead(world.store.as_ref(), &directory, node(1), at(n), lease).await.unwrap()
    };

    world.wait_until(async || interrupt(100).await == 1).await;
    assert_eq!(interrupt(101).await, 0);

    let found = world.store.calls(&acme(), all_calls()).await.unwrap();
    assert_eq!(found[0].ended_at(), Some(at(100)));
    assert!(matches!(
        found[0].standing,
        callveil_domain::calls::CallStanding::Ended { how: CallEnd::Interrupted, .. }
    ));
    assert_eq!(told(world).await, [EventKind::CallCompleted]);
    // Should its node live after all, it comes too late.
    let late = CallRecord { version: 9, ..orphan };
    let outcome = world.store.apply(keep(&late)).await.unwrap();
    assert!(matches!(outcome, Outcome::Refused(_)));
}

pub async fn an_erased_number_stands_nowhere(world: &World) {
    set(world, "event_stream", "true").await;
    let active = lend(world, 1, 1, 2).await;
    let overdue = lend(world, 2, 1, 3).await;
    let other = lend(world, 3, 4, 5).await;
    let id = |n| CallId::from_bytes(*call(n).id.as_bytes());
    let mut over = CallRecord { id: id(4), version: 0, ..call(4) };
    over.legs.push(callveil_domain::calls::CallLeg::dialled(person(2), at(4)));
    over.end(at(9), CallEnd::Completed, Disconnector::Caller);
    act(world, 9, async |ctx, tenant| calls::closed(ctx, tenant, &mut over).await).await.unwrap();
    let known = act(world, 10, async |ctx, _| mentions(ctx, person(1)).await).await.unwrap();
    assert_eq!((known.allocations.len(), known.calls.len(), known.events.len()), (2, 1, 3));

    let directory = world.store.directory().await.unwrap();
    let erased = act(world, 50, async |ctx, _| erase(ctx, &directory, person(1)).await).await.unwrap();

    assert_eq!((erased.released, erased.allocations, erased.calls), (2, 2, 1));
    assert_eq!(erased.events, 5, "the two of its ends as well");
    let left = act(world, 51, async |ctx, _| mentions(ctx, person(1)).await).await.unwrap();
    assert_eq!(left, callveil_domain::store::Mentions::default());
    assert!(world.store.past_of(&[person(1)]).await.unwrap().is_empty());
    for ended in [active, overdue] {
        let kept = world.store.allocation(&acme(), ended.id).await.unwrap().unwrap();
        assert!(kept.parties.a.numbers.is_empty() && kept.parties.b == ended.parties.b);
    }
    assert_eq!(world.store.allocation(&acme(), other.id).await.unwrap(), Some(other));
    let entries = world.store.unsealed_audit(100).await.unwrap();
    let tombstone = entries.iter().find(|entry| entry.what == "number.erased").unwrap();
    assert_eq!(tombstone.subject, "+1******01");
    let report = verify::verify(world.store.as_ref(), at(52)).await.unwrap();
    assert_eq!(report.findings, []);
}

pub async fn a_virtual_number_is_not_erased(world: &World) {
    let directory = world.store.directory().await.unwrap();

    let refused = act(world, 1, async |ctx, _| erase(ctx, &directory, vn(1)).await).await;

    assert_eq!(refused, Err(Failure::Refused(EraseRefused::VirtualNumber)));
}
