//! What becomes of what is owed: each event to each endpoint, once, in order, whatever receivers do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use callveil_domain::Effect;
use callveil_domain::delivery::{Delivery, DeliveryState, replay};
use callveil_domain::endpoint::EndpointId;
use callveil_domain::event::EventKind;
use callveil_webhooks::bodies;
use callveil_webhooks::client::Patience;
use callveil_webhooks::courier::{LEASE, Terms};
use callveil_webhooks::retry::WAITS;
use callveil_webhooks::sign::signatures;

use crate::attempts::NOW;
use crate::sink::{OK, Reply, Sink};
use crate::world::{SECRET, World, received};

fn all_delivered(deliveries: &[Delivery]) -> bool {
    !deliveries.is_empty() && deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered)
}

fn attempts(deliveries: &[Delivery]) -> u32 {
    deliveries.iter().map(|delivery| delivery.attempts).sum()
}

#[tokio::test]
async fn what_comes_of_each_answer() {
    check(
        Patience::default(),
        &[
            (OK, "delivered 200"),
            (Reply::Status(204, vec![]), "delivered 204"),
            (Reply::Endless, "delivered 200"),
            (Reply::Status(500, vec![]), "again in seconds 500"),
            (Reply::Status(429, vec![("retry-after", "7200".to_owned())]), "again in hours 429"),
            (
                Reply::Status(302, vec![("location", "https://example.com/".to_owned())]),
                "again in seconds 302",
            ),
            (Reply::Status(410, vec![]), "dead 410"),
            (Reply::Close, "again in seconds, no HTTP answer"),
            (Reply::Babble, "again in seconds, no HTTP answer"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_comes_of_no_answer() {
    check(
        Patience { total: Duration::from_millis(500), ..Patience::default() },
        &[
            (Reply::Hang, "again in seconds, no answer in time"),
            (Reply::Drip, "again in seconds, no answer in time"),
        ],
    )
    .await;
}

/// Owes each receiver an event, and looks what became of it after one attempt.
async fn check(patience: Patience, table: &[(Reply, &str)]) {
    let world = World::new().await;
    let mut sinks = Vec::new();
    for (n, (reply, expected)) in table.iter().cloned().enumerate() {
        let sink = Sink::start(move |_| reply.clone()).await;
        let endpoint = world.endpoint(&format!("ep_{n}"), &sink.url()).await;
        world.owe(1, EventKind::CallCompleted, &[&endpoint.id]).await;
        sinks.push((sink, endpoint, expected));
    }

    let _courier = world.courier_with(patience);

    for (_sink, endpoint, expected) in &sinks {
        world.until(&endpoint.id, expected, |all| attempts(all) == 1).await;
        assert_eq!(&tell(&world.deliveries(&endpoint.id).await[0]), expected);
    }
}

fn tell(delivery: &Delivery) -> String {
    let status = delivery.status.map(|status| format!(" {status}"));
    let why = delivery.why.as_ref().map(|why| format!(", {why}"));
    let said = status.or(why).unwrap_or_default();
    match delivery.state {
        DeliveryState::Delivered => format!("delivered{said}"),
        DeliveryState::Dead => format!("dead{said}"),
        DeliveryState::Pending => {
            let wait = delivery.due_at.since(NOW);
            let about = if wait >= Duration::from_secs(3_600) { "hours" } else { "seconds" };
            format!("again in {about}{said}")
        }
    }
}

#[tokio::test]
async fn each_body_arrives_exactly_and_signed() {
    let sink = Sink::start(|_| OK).await;
    let world = World::new().await;
    let own = world.endpoint("ep_own", &sink.url()).await;
    let mut expected = BTreeSet::new();
    let event_settings = [
        ("greencall_complete_event_endpoint", EventKind::CallCompleted),
        ("failed_verification_event_endpoint", EventKind::CallerRejected),
        ("verified_caller_event_endpoint", EventKind::CallerVerified),
        ("deallocation_callback_event_endpoint", EventKind::AllocationExpired),
    ];
    for (setting, _) in event_settings {
        world.set(setting, &format!("http://{}/{setting}", sink.address)).await;
    }
    let tenant = world.node.directory().tenant("acme").unwrap().clone();
    for (line, kind) in (1..).zip(EventKind::ALL) {
        let event = world.owe(line, kind, &[&own.id]).await;
        expected.insert(("/hook", bodies::body(&event, &own, &tenant.settings, &|_| None).unwrap()));
    }
    for (line, (setting, kind)) in (100..).zip(event_settings) {
        let endpoint = tenant.endpoints.iter().find(|endpoint| endpoint.id.as_str() == setting).unwrap();
        let event = world.owe(line, kind, &[&endpoint.id]).await;
        expected.insert((setting, bodies::body(&event, endpoint, &tenant.settings, &|_| None).unwrap()));
    }

    let courier = world.courier();
    let requests = received(&sink, expected.len()).await;
    courier.stop().await;

    let seen: BTreeSet<(&str, bytes::Bytes)> = requests
        .iter()
        .map(|request| {
            let path = request.line.split(' ').nth(1).unwrap();
            (if path == "/hook" { path } else { &path[1..] }, request.body.clone().into_bytes().into())
        })
        .collect();
    assert_eq!(seen, expected);
    for request in requests.iter().filter(|request| request.line.contains("/hook")) {
        let signed = signatures(request.id(), NOW, request.body.as_bytes(), [SECRET.as_slice()]);
        assert_eq!(request.headers["webhook-signature"], signed);
    }
}

#[tokio::test]
async fn an_event_is_tried_for_days_with_one_id_and_then_kept_for_a_replay() {
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let sink =
        Sink::start(move |_| if switch.load(Ordering::SeqCst) { OK } else { Reply::Status(500, vec![]) })
            .await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    let event = world.owe(1, EventKind::CallCompleted, &[&endpoint.id]).await;
    let _courier = world.courier();

    for (made, wait) in (1..).zip(WAITS) {
        world.until(&endpoint.id, "an attempt", |all| attempts(all) == made).await;
        world.clock.turn(wait * 6 / 5);
    }
    world.until(&endpoint.id, "the end", |all| all[0].state == DeliveryState::Dead).await;

    let requests = sink.requests();
    assert_eq!(requests.len(), 1 + WAITS.len());
    assert!(requests.iter().all(|r| r.id() == event.id.to_string() && r.body == requests[0].body));

    works.store(true, Ordering::SeqCst);
    // After so many failures the endpoint is left alone for a while.
    world.clock.turn(Duration::from_secs(360));
    let tenant = world.node.directory().tenant("acme").unwrap().clone();
    let mut rng = world.node.rng();
    let owed = replay(&world.node.ctx(&mut *rng, Effect::Keep), &tenant, event.id, None).await;
    assert!(matches!(owed, Ok(1)));
    world.until(&endpoint.id, "the replay", all_delivered).await;
    assert_eq!(sink.requests().last().unwrap().id(), event.id.to_string());
}

#[tokio::test]
async fn the_events_of_a_line_arrive_in_order_although_one_fails() {
    let count = AtomicUsize::new(0);
    let sink =
        Sink::start(
            move |_| {
                if count.fetch_add(1, Ordering::SeqCst) == 1 { Reply::Status(503, vec![]) } else { OK }
            },
        )
        .await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    let kinds =
        [EventKind::CallStarted, EventKind::CallRinging, EventKind::CallAnswered, EventKind::CallCompleted];
    let mut events = Vec::new();
    for kind in kinds {
        events.push(world.owe(1, kind, &[&endpoint.id]).await.id.to_string());
    }
    let _courier = world.courier();

    world.until(&endpoint.id, "the failure", |all| attempts(all) == 2).await;
    world.clock.turn(Duration::from_secs(6));
    world.until(&endpoint.id, "all of it", all_delivered).await;

    let ids: Vec<String> = sink.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids, [&events[0], &events[1], &events[1], &events[2], &events[3]].map(String::as_str));
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_no_other() {
    let (hanging, working) = (Sink::start(|_| Reply::Hang).await, Sink::start(|_| OK).await);
    let world = World::new().await;
    let slow = world.endpoint("ep_slow", &hanging.url()).await;
    let quick = world.endpoint("ep_quick", &working.url()).await;
    for line in 0..100 {
        world.owe(line, EventKind::CallCompleted, &[&slow.id, &quick.id]).await;
    }
    // What hangs, hangs for longer than this test waits.
    let forever = Duration::from_secs(3_600);
    let _courier = world.courier_with(Patience { total: forever, ..Patience::default() });

    world.until(&quick.id, "the quick one", all_delivered).await;

    assert_eq!(working.requests().len(), 100);
    assert_eq!(attempts(&world.deliveries(&slow.id).await), 0);
    assert!(hanging.connections() <= 8, "{} wait for the slow one", hanging.connections());
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_alone_and_then_found_to_work() {
    let works = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&works);
    let sink =
        Sink::start(move |_| if switch.load(Ordering::SeqCst) { OK } else { Reply::Status(500, vec![]) })
            .await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    for line in 0..50 {
        world.owe(line, EventKind::CallCompleted, &[&endpoint.id]).await;
    }
    let _courier = world.courier();
    // As many as were on their way when the tenth failed.
    world.until(&endpoint.id, "the failures", |all| attempts(all) >= 10).await;
    let tried = sink.requests().len();
    assert!(tried < 50, "{tried} were tried");

    works.store(true, Ordering::SeqCst);

    let time_passes = |all: &[Delivery]| {
        world.clock.turn(Duration::from_secs(1));
        all_delivered(all)
    };
    world.until(&endpoint.id, "all of it", time_passes).await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled() {
    let sink = Sink::start(|_| Reply::Status(410, vec![])).await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    world.owe(1, EventKind::CallCompleted, &[&endpoint.id]).await;
    let _courier = world.courier();

    world.until(&endpoint.id, "the end", |all| all[0].state == DeliveryState::Dead).await;
    let disabled = async {
        while !is_disabled(&world, &endpoint.id).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::SOON, disabled).await.expect("it is disabled");

    world.owe(2, EventKind::CallCompleted, &[&endpoint.id]).await;
    world.node.refresh().await.unwrap();
    let other = Sink::start(|_| OK).await;
    let working = world.endpoint("ep_2", &other.url()).await;
    world.owe(2, EventKind::CallCompleted, &[&working.id]).await;
    world.until(&working.id, "the other endpoint", all_delivered).await;
    assert_eq!(sink.requests().len(), 1);
}

async fn is_disabled(world: &World, id: &EndpointId) -> bool {
    world.node.refresh().await.unwrap();
    let tenant = world.node.directory().tenant("acme").unwrap().clone();
    let endpoint = tenant.endpoints.iter().find(|endpoint| endpoint.id == *id).unwrap();
    endpoint.disabled.as_ref().is_some_and(|disabled| disabled.why.contains("410"))
}

#[tokio::test]
async fn what_a_dead_courier_had_is_sent_again_with_the_same_id() {
    let sink = Sink::start(|_| Reply::Hang).await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    let event = world.owe(1, EventKind::CallCompleted, &[&endpoint.id]).await;
    let courier = world.courier();
    received(&sink, 1).await;
    drop(courier);

    let works = Sink::start(|_| OK).await;
    world.endpoint("ep_1", &works.url()).await;
    let _courier = world.courier();
    world.clock.turn(LEASE);

    world.until(&endpoint.id, "the other courier", all_delivered).await;
    assert_eq!(works.requests()[0].id(), event.id.to_string());
    assert_eq!(works.requests()[0].body, sink.requests()[0].body);
}

#[tokio::test]
async fn what_is_owed_begins_without_a_look_for_it() {
    let sink = Sink::start(|_| OK).await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    // The first look is at the beginning, and the next would come too late.
    let terms = Terms { look: Duration::from_secs(3_600), ..Terms::default() };
    let _courier = world.courier_on(Patience::default(), terms);
    for line in 1..=3 {
        for _ in 1..=2 {
            world.owe(line, EventKind::CallCompleted, &[&endpoint.id]).await;
        }
        let owed = usize::from(line) * 2;
        world.until(&endpoint.id, "both", |all| all.len() == owed && all_delivered(all)).await;
    }
}

#[tokio::test]
async fn many_lines_of_many_events_keep_their_order() {
    let came = AtomicUsize::new(0);
    let every_seventh_fails = move |_: &_| match came.fetch_add(1, Ordering::SeqCst) % 7 {
        3 => Reply::Status(500, vec![]),
        _ => OK,
    };
    let sink = Sink::start(every_seventh_fails).await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    for _ in 0..10 {
        for line in 0..60 {
            world.owe(line, EventKind::CallCompleted, &[&endpoint.id]).await;
        }
    }
    let waits = vec![Duration::from_millis(1); 50];
    let _courier = world.courier_on(Patience::default(), Terms { waits, ..Terms::default() });

    let waiting = world.until(&endpoint.id, "all", |all| {
        world.clock.turn(Duration::from_millis(2));
        all.len() == 600 && all_delivered(all)
    });
    waiting.await;

    let places: BTreeMap<String, usize> =
        sink.requests().iter().enumerate().map(|(place, request)| (request.id().to_owned(), place)).collect();
    let mut of_line: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for delivery in world.deliveries(&endpoint.id).await {
        // A refused try comes again: the last place is where it was taken.
        of_line.entry(delivery.line).or_default().push(places[&delivery.key.event.to_string()]);
    }
    assert_eq!(of_line.len(), 60);
    for (line, places) in of_line {
        assert!(places.is_sorted(), "{line:?} came in the order {places:?}");
    }
}

#[tokio::test]
async fn several_couriers_send_each_event_once() {
    let sink = Sink::start(|_| OK).await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    let couriers = [world.courier(), world.courier(), world.courier()];
    for n in 0..200_u8 {
        world.owe(n, EventKind::CallCompleted, &[&endpoint.id]).await;
    }

    world.until(&endpoint.id, "all of it", |all| all.len() == 200 && all_delivered(all)).await;
    for courier in couriers {
        courier.stop().await;
    }

    let mut count = BTreeMap::new();
    for request in sink.requests() {
        *count.entry(request.id().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(count.len(), 200);
    assert!(count.values().all(|times| *times == 1), "{count:?}");
}

#[tokio::test]
async fn a_courier_that_is_told_to_stop_settles_what_it_has_begun() {
    let sink = Sink::start(|_| OK).await;
    let world = World::new().await;
    let endpoint = world.endpoint("ep_1", &sink.url()).await;
    world.owe(1, EventKind::CallCompleted, &[&endpoint.id]).await;
    let courier = world.courier();
    received(&sink, 1).await;

    courier.stop().await;

    assert!(all_delivered(&world.deliveries(&endpoint.id).await));
}
