//! What is owed to endpoints, and how it is worked off.

use std::time::Duration;

use callveil_domain::delivery::{
    Delivery, DeliveryKey, DeliveryState, DeliveryWrite, Due, Lease, Settled, Settlement,
};
use callveil_domain::endpoint::{Dialect, Disabled, ENDPOINTS, Endpoint, EndpointId, EndpointKey, Secret};
use callveil_domain::event::{Event, EventKind, Line};
use callveil_domain::store::{
    Change, Conflict, DeliveryQuery, DirectoryConflict, DirectoryWrite, Outcome, TidyTenant,
};
use callveil_domain::time::Timestamp;
use tokio::time::timeout;

use super::happenings::{owe, small_event};
use super::tidying::all_before;
use crate::world::{World, acme, at, other};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn id(name: &str) -> EndpointId {
    EndpointId::parse(name).unwrap()
}

fn key(name: &str) -> EndpointKey {
    EndpointKey { tenant: acme(), id: id(name) }
}

fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        id: id(name),
        dialect: Dialect::Standard,
        url: "https://hooks.example.com/in?a=1".to_owned(),
        kinds: vec![EventKind::CallCompleted, EventKind::NumberLow],
        masked: true,
        secrets: vec![Secret { key: [1; 32], until: None }, Secret { key: [2; 32], until: Some(at(9)) }],
        created_at: at(1),
        disabled: None,
    }
}

fn directory(write: DirectoryWrite) -> Change {
    let mut change = Change::at(at(10));
    change.directory.push(write);
    change
}

fn put(endpoint: Endpoint) -> Change {
    directory(DirectoryWrite::PutEndpoint { tenant: acme(), endpoint })
}

async fn endpoints(world: &World) -> Vec<Endpoint> {
    world.store.directory().await.unwrap().tenant("acme").unwrap().endpoints.clone()
}

pub async fn an_endpoint_reads_back_as_it_was_put(world: &World) {
    let plain = Endpoint { kinds: Vec::new(), masked: false, secrets: Vec::new(), ..endpoint("ep_2") };
    let disabled = Some(Disabled { at: at(3), why: "410 Gone".to_owned() });
    let first = endpoint("ep_1");
    world.applied(put(first.clone())).await;
    world.applied(put(Endpoint { disabled: disabled.clone(), ..plain.clone() })).await;
    assert_eq!(endpoints(world).await, [first.clone(), Endpoint { disabled, ..plain.clone() }]);

    let rotated = Endpoint { secrets: vec![Secret { key: [3; 32], until: None }], ..first };
    world.applied(put(rotated.clone())).await;
    world.applied(directory(DirectoryWrite::SetEndpointDisabled { key: key("ep_2"), disabled: None })).await;

    assert_eq!(endpoints(world).await, [rotated, plain]);
}

pub async fn a_tenant_has_so_many_endpoints_at_most(world: &World) {
    for n in 0..ENDPOINTS {
        world.applied(put(endpoint(&format!("ep_{n}")))).await;
    }
    world.applied(put(endpoint("ep_0"))).await;

    let conflict = world.refused(put(endpoint("ep_more"))).await;

    assert_eq!(conflict, Conflict::Directory(DirectoryConflict::TooManyEndpoints));
}

pub async fn a_setting_is_an_endpoint_with_a_row_of_its_own(world: &World) {
    let name = "verified_caller_event_endpoint";
    let set = DirectoryWrite::SetSetting {
        tenant: acme(),
        name,
        value: "https://hooks.example.com/verified".to_owned(),
    };
    let disabled = Some(Disabled { at: at(3), why: "410 Gone".to_owned() });
    world.applied(directory(set)).await;
    let disable = DirectoryWrite::SetEndpointDisabled { key: key(name), disabled: disabled.clone() };
    world.applied(directory(disable)).await;

    let found = endpoints(world).await;

    assert_eq!(found.len(), 1);
    assert_eq!(found[0].url, "https://hooks.example.com/verified");
    assert_eq!((found[0].dialect, &found[0].disabled), (Dialect::LeadAssist, &disabled));
}

pub async fn only_endpoints_that_are_there_are_changed(world: &World) {
    let missing = Conflict::Directory(DirectoryConflict::NoEndpoint);
    let disable = DirectoryWrite::SetEndpointDisabled { key: key("ep_1"), disabled: None };
    assert_eq!(world.refused(directory(disable)).await, missing);
    assert_eq!(world.refused(directory(DirectoryWrite::RemoveEndpoint(key("ep_1")))).await, missing);
}

pub async fn an_endpoint_is_changed_only_if_it_is_what_it_was_taken_for(world: &World) {
    let change = |known: &Endpoint, endpoint: Endpoint| {
        let known = Box::new(known.clone());
        directory(DirectoryWrite::ChangeEndpoint { tenant: acme(), known, endpoint })
    };
    let conflict = |conflict| Conflict::Directory(conflict);
    let first = endpoint("ep_1");
    let second = Endpoint { masked: false, ..first.clone() };
    let third = Endpoint { secrets: vec![Secret { key: [3; 32], until: None }], ..first.clone() };
    world.applied(put(first.clone())).await;
    world.applied(change(&first, second.clone())).await;
    assert_eq!(world.refused(change(&first, third)).await, conflict(DirectoryConflict::EndpointMoved));
    assert_eq!(endpoints(world).await, std::slice::from_ref(&second));

    world.applied(directory(DirectoryWrite::RemoveEndpoint(key("ep_1")))).await;
    assert_eq!(world.refused(change(&second, first)).await, conflict(DirectoryConflict::NoEndpoint));
    assert_eq!(endpoints(world).await, []);
}

pub async fn the_row_of_a_setting_is_made_by_its_first_change(world: &World) {
    let name = "verified_caller_event_endpoint";
    let known = Box::new(callveil_domain::endpoint::row_of_setting(&id(name)));
    let endpoint = Endpoint { secrets: vec![Secret { key: [3; 32], until: None }], ..*known.clone() };
    let change = directory(DirectoryWrite::ChangeEndpoint { tenant: acme(), known, endpoint });

    world.applied(change.clone()).await;

    let twice = world.refused(change).await;
    assert_eq!(twice, Conflict::Directory(DirectoryConflict::EndpointMoved));
}

pub async fn whoever_delivers_is_told_when_something_is_owed(world: &World) {
    let told = async || {
        tokio::select! {
            biased;
            () = world.store.owed() => true,
            () = std::future::ready(()) => false,
        }
    };
    let change = owed(&line(1, 1), &["ep_1"]);
    assert!(!told().await, "nothing was owed yet");
    assert_eq!(world.store.rehearse(change.clone()).await.unwrap(), Outcome::Applied);
    assert!(!told().await, "nothing was owed in earnest");

    world.applied(change).await;
    assert!(told().await);
    assert!(!told().await, "it is told once");

    let waits = async { timeout(PATIENCE, world.store.owed()).await };
    let (came, ()) = tokio::join!(waits, world.applied(owed(&line(2, 1), &["ep_1"])));
    came.expect("who waits is told");
}

/// A line of so many events, from second `n` on.
fn line(n: i64, events: u64) -> Vec<Event> {
    let line = Line([u8::try_from(n).unwrap(); 16]);
    (0..events).map(|sequence| Event { line, sequence, ..small_event(n + sequence.cast_signed()) }).collect()
}

/// The change that owes these events to these endpoints.
pub fn owed(events: &[Event], endpoints: &[&str]) -> Change {
    let mut change = owe(events);
    for event in events {
        for name in endpoints {
            change.deliveries.push(DeliveryWrite::Owe(Delivery::of(event, id(name), at(10))));
        }
    }
    change
}

pub async fn lease(world: &World, now: i64, wanted: &[(&str, usize)]) -> Vec<Due> {
    let wanted = wanted.iter().map(|(name, room)| (key(name), *room)).collect();
    let mut due = world.store.lease(Lease { now: at(now), until: at(now + 30), wanted }).await.unwrap();
    due.sort_by(|a, b| (&a.endpoint, a.event.id).cmp(&(&b.endpoint, b.event.id)));
    due
}

fn of(due: &[Due]) -> Vec<(&str, i64)> {
    let second = |due: &Due| due.event.at.since(at(0)).as_secs().cast_signed();
    due.iter().map(|due| (due.endpoint.as_str(), second(due))).collect()
}

fn settled(due: &Due, result: Settlement) -> Settled {
    let key = DeliveryKey { tenant: acme(), event: due.event.id, endpoint: due.endpoint.clone() };
    Settled { key, leased_until: due.leased_until, result }
}

pub fn delivered(due: &Due) -> Settled {
    settled(due, Settlement::Delivered { status: 204 })
}

const EVERY: DeliveryQuery = DeliveryQuery::newest(100);

async fn all(world: &World) -> Vec<Delivery> {
    world.store.deliveries(&acme(), EVERY).await.unwrap()
}

pub async fn a_line_is_delivered_in_its_order(world: &World) {
    let (first, second) = (line(1, 3), line(5, 2));
    world.applied(owed(&[first.clone(), second.clone()].concat(), &["ep_1", "ep_2"])).await;
    assert_eq!(world.store.endpoints_due(at(9), 10).await.unwrap(), []);
    assert_eq!(world.store.endpoints_due(at(10), 10).await.unwrap(), [key("ep_1"), key("ep_2")]);
    assert_eq!(world.store.endpoints_due(at(10), 1).await.unwrap(), [key("ep_1")]);

    let due = lease(world, 11, &[("ep_1", 10)]).await;
    assert_eq!(of(&due), [("ep_1", 1), ("ep_1", 5)], "the first of each line");
    assert_eq!(due[0].event, first[0]);
    assert_eq!((due[0].attempts, due[0].leased_until), (0, at(41)));
    assert_eq!(lease(world, 12, &[("ep_1", 10)]).await, [], "the others wait for those that are leased");
    assert!(world.store.endpoints_due(at(12), 10).await.unwrap().contains(&key("ep_2")));

    world.store.settle(at(13), vec![delivered(&due[0])]).await.unwrap();
    assert_eq!(of(&lease(world, 13, &[("ep_1", 10), ("ep_2", 1)]).await), [("ep_1", 2), ("ep_2", 1)]);
}

pub async fn a_lease_ends_with_its_time(world: &World) {
    world.applied(owed(&line(1, 1), &["ep_1"])).await;
    let first = lease(world, 11, &[("ep_1", 10)]).await;

    assert_eq!(lease(world, 40, &[("ep_1", 10)]).await, []);
    let second = lease(world, 41, &[("ep_1", 10)]).await;
    assert_eq!(of(&second), [("ep_1", 1)]);

    // Whoever had it first comes too late.
    world.store.settle(at(42), vec![settled(&first[0], dead())]).await.unwrap();
    assert_eq!(all(world).await[0].state, DeliveryState::Pending);
    world.store.settle(at(43), vec![delivered(&second[0])]).await.unwrap();
    assert_eq!(all(world).await[0].state, DeliveryState::Delivered);
}

fn dead() -> Settlement {
    Settlement::Dead { status: Some(400), why: "400 Bad Request".to_owned() }
}

pub async fn what_became_of_a_try_is_kept(world: &World) {
    world.applied(owed(&line(1, 2), &["ep_1"])).await;
    let due = lease(world, 11, &[("ep_1", 10)]).await;
    let again = Settlement::Again { at: at(60), status: None, why: "timed out".to_owned() };
    world.store.settle(at(12), vec![settled(&due[0], again)]).await.unwrap();

    assert_eq!(lease(world, 59, &[("ep_1", 10)]).await, [], "the line waits for its first");
    let tried = all(world).await.pop().unwrap();
    assert_eq!((tried.attempts, tried.due_at, tried.status), (1, at(60), None));
    assert_eq!(tried.why.as_deref(), Some("timed out"));

    let due = lease(world, 60, &[("ep_1", 10)]).await;
    assert_eq!((due.len(), due[0].attempts), (1, 1));
    world.store.settle(at(61), vec![settled(&due[0], Settlement::GivenBack)]).await.unwrap();
    let due = lease(world, 61, &[("ep_1", 10)]).await;
    assert_eq!((due.len(), due[0].attempts), (1, 1), "it was not tried");
    world.store.settle(at(62), vec![settled(&due[0], dead())]).await.unwrap();

    let given_up = all(world).await.pop().unwrap();
    assert_eq!((given_up.state, given_up.attempts, given_up.due_at), (DeliveryState::Dead, 2, at(62)));
    assert_eq!((given_up.status, given_up.why.as_deref()), (Some(400), Some("400 Bad Request")));
    assert_eq!(
        of(&lease(world, 63, &[("ep_1", 10)]).await),
        [("ep_1", 2)],
        "what is given up holds up nothing"
    );
}

pub async fn what_was_settled_can_be_owed_again(world: &World) {
    let events = line(1, 1);
    world.applied(owed(&events, &["ep_1"])).await;
    let due = lease(world, 11, &[("ep_1", 10)]).await;
    let again = || {
        let mut change = Change::at(at(50));
        let delivery = Delivery::of(&events[0], id("ep_1"), at(50));
        change.deliveries.push(DeliveryWrite::Again(delivery));
        change
    };
    world.applied(again()).await;
    assert_eq!(lease(world, 12, &[("ep_1", 10)]).await, [], "what is owed still goes on as it was");
    world.store.settle(at(12), vec![settled(&due[0], dead())]).await.unwrap();

    world.applied(owed(&events, &["ep_1"])).await;
    assert_eq!(lease(world, 60, &[("ep_1", 10)]).await, [], "owing it a second time changes nothing");
    world.applied(again()).await;

    let due = lease(world, 60, &[("ep_1", 10)]).await;
    assert_eq!((due.len(), due[0].attempts), (1, 0));
}

pub async fn deliveries_are_found_by_what_they_are(world: &World) {
    let events = line(1, 3);
    world.applied(owed(&events, &["ep_1", "ep_2"])).await;
    let due = lease(world, 11, &[("ep_1", 10)]).await;
    world.store.settle(at(12), vec![delivered(&due[0])]).await.unwrap();
    let found = async |wanted: DeliveryQuery| {
        let found = world.store.deliveries(&acme(), wanted).await.unwrap();
        found.into_iter().map(|d| (d.key.event, d.key.endpoint)).collect::<Vec<_>>()
    };
    let newest_first: Vec<_> =
        events.iter().rev().flat_map(|event| [(event.id, id("ep_2")), (event.id, id("ep_1"))]).collect();

    assert_eq!(found(EVERY).await, newest_first);
    let before = Some(newest_first[1].clone());
    assert_eq!(found(DeliveryQuery { before, limit: 2, ..EVERY }).await, newest_first[2..4]);
    let state = Some(DeliveryState::Delivered);
    assert_eq!(found(DeliveryQuery { state, ..EVERY }).await, [(events[0].id, id("ep_1"))]);
    let event = Some(events[1].id);
    assert_eq!(found(DeliveryQuery { event, ..EVERY }).await, newest_first[2..4]);
    let endpoint = Some(id("ep_2"));
    assert_eq!(found(DeliveryQuery { endpoint, ..EVERY }).await.len(), 3);
    let from = events[1].at;
    assert_eq!(found(DeliveryQuery { from, ..EVERY }).await, newest_first[..4]);
    assert_eq!(found(DeliveryQuery { to: from, ..EVERY }).await, newest_first[4..]);
    let kind = Some(EventKind::NumberLow);
    assert_eq!(found(DeliveryQuery { kind, ..EVERY }).await, newest_first);
    let kind = Some(EventKind::CallStarted);
    assert_eq!(found(DeliveryQuery { kind, ..EVERY }).await, []);
    assert!(world.store.deliveries(&other(), EVERY).await.unwrap().is_empty());
}

pub async fn what_is_owed_to_a_removed_endpoint_is_given_up(world: &World) {
    world.applied(put(endpoint("ep_1"))).await;
    world.applied(owed(&line(1, 2), &["ep_1", "ep_2"])).await;

    world.applied(directory(DirectoryWrite::RemoveEndpoint(key("ep_1")))).await;

    assert_eq!(endpoints(world).await, []);
    assert_eq!(world.store.endpoints_due(at(20), 10).await.unwrap(), [key("ep_2")]);
    let dead = all(world).await.into_iter().filter(|delivery| delivery.state == DeliveryState::Dead);
    assert_eq!(dead.count(), 2);
}

pub async fn old_events_go_once_nothing_of_them_is_owed(world: &World) {
    world.applied(owed(&line(1, 1), &["ep_1"])).await;
    world.applied(owe(&[small_event(3), small_event(100)])).await;
    let mut what = all_before(Timestamp::EPOCH, 10);
    what.tenants = vec![TidyTenant { tenant: acme(), calls_before: at(50), events_before: at(50) }];

    assert_eq!(world.store.tidy(what.clone()).await.unwrap().events, 1, "the one that is owed stays");
    let due = lease(world, 60, &[("ep_1", 10)]).await;
    world.store.settle(at(61), vec![delivered(&due[0])]).await.unwrap();
    assert_eq!(world.store.tidy(what).await.unwrap().events, 1);

    assert_eq!(all(world).await, []);
    assert!(world.store.event(&acme(), small_event(100).id).await.unwrap().is_some());
}
