//! What operators do while calls go on, and what crashes do.

use callveil_domain::calls::{CallEnd, CallStanding};
use callveil_server::trial::called::Called;
use callveil_server::trial::caller::Caller;
use callveil_server::trial::ladder::Ladder;
use rustix::process::Signal;
use serde_json::json;

use super::{add_trunk, allocate, furnished, is_invited, records};
use crate::world::{SOON, Server, World, party, until, virtual_number};

/// A call that two telephones have with each other.
struct Talk {
    a: Caller,
    b: Called,
    ladder: Ladder,
}

fn talk(world: &World, server: &Server) -> Talk {
    let ladder = Ladder::new();
    let mut b = Called::new(ladder.clone()).unwrap();
    add_trunk(world, b.telephone.address(), &[]);
    let mut a = Caller::begin(ladder.clone(), server.sip(), Some(&party(1)), &virtual_number(1)).unwrap();
    is_invited(&mut a, &mut b);
    b.says("180 Ringing", false).unwrap();
    b.says("200 OK", true).unwrap();
    let answer = a.last_response().unwrap();
    assert_eq!(answer.and_then(|answer| answer.status()), Some(200), "{ladder}\n{}", server.log());
    assert!(b.hears("ACK").unwrap().is_some(), "{ladder}");
    Talk { a, b, ladder }
}

/// How the only call there was has ended. Its record is written beside the call, and may come later.
fn end(world: &World) -> Option<CallEnd> {
    let records = records(world);
    assert!(records.len() <= 1, "{records:?}");
    match &records.first()?.standing {
        CallStanding::Open => None,
        CallStanding::Ended { how, .. } => Some(how.clone()),
    }
}

#[test]
fn a_caller_who_gives_up_ends_the_ringing() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let ladder = Ladder::new();
    let mut b = Called::new(ladder.clone()).unwrap();
    add_trunk(&world, b.telephone.address(), &[]);
    let mut a = Caller::begin(ladder.clone(), server.sip(), Some(&party(1)), &virtual_number(1)).unwrap();
    is_invited(&mut a, &mut b);
    b.says("180 Ringing", false).unwrap();
    assert!(a.response(|status| status == 180).unwrap().is_some(), "{ladder}");

    a.cancel().unwrap();
    assert!(b.hears("CANCEL").unwrap().is_some(), "{ladder}");
    let last = a.last_response().unwrap();
    assert_eq!(last.and_then(|last| last.status()), Some(487), "{ladder}");
    until("the record's end", SOON, || end(&world) == Some(CallEnd::GivenUp));
}

#[test]
fn an_operator_sees_a_call_and_hangs_it_up() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let Talk { mut a, mut b, ladder } = talk(&world, &server);

    let mut live = serde_json::Value::Null;
    until("the call on the list", SOON, || {
        live = world.json(&["calls", "live"]);
        live[0]["talking"].is_u64()
    });
    assert_eq!(live.as_array().unwrap().len(), 1, "{live:#}");
    assert!(!live.to_string().contains(&party(1)[1..]), "numbers are masked: {live:#}");
    let call = live[0]["call_sid"].as_str().unwrap();
    world.json(&["calls", "hangup", call]);

    assert!(a.is_hung_up().unwrap(), "{ladder}");
    assert!(b.hears("BYE").unwrap().is_some(), "{ladder}");
    until("the record's end", SOON, || end(&world) == Some(CallEnd::Completed));
    until("an empty list", SOON, || world.json(&["calls", "live"]).as_array().unwrap().is_empty());
}

#[test]
fn a_stopping_server_takes_no_calls_and_lets_those_there_are_finish() {
    let world = World::new();
    let (mut server, _) = furnished(&world);
    let Talk { a, mut b, ladder } = talk(&world, &server);

    server.signal(Signal::TERM);
    until("the closed door", SOON, || std::net::TcpStream::connect(server.http).is_err());
    let mut late = Caller::begin(ladder.clone(), server.sip(), Some(&party(1)), &virtual_number(1)).unwrap();
    let refused = late.last_response().unwrap();
    assert_eq!(refused.and_then(|refused| refused.status()), Some(503), "{ladder}");
    assert!(server.is_running());

    assert!(b.hang_up().unwrap(), "{ladder}");
    let mut a = a;
    assert!(a.is_hung_up().unwrap(), "{ladder}");
    assert!(server.ended().success());
    assert_eq!(end(&world), Some(CallEnd::Completed));
}

#[test]
fn a_server_that_is_killed_in_a_call_tells_its_end_when_it_is_back() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let _talk = talk(&world, &server);
    until("the record", SOON, || records(&world).iter().any(|record| record.answered_at.is_some()));

    server.kill();
    assert_eq!(end(&world), None);
    let _back = world.serve();
    until("the record's end", SOON, || end(&world) == Some(CallEnd::Interrupted));
}

#[test]
fn both_may_hang_up_at_once() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let Talk { mut a, mut b, ladder } = talk(&world, &server);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| a.hang_up().unwrap());
        let other = scope.spawn(|| b.hang_up().unwrap());
        (one.join().unwrap(), other.join().unwrap())
    });
    assert!(one && other, "each is told that the call is over: {ladder}");
    until("the record's end", SOON, || end(&world) == Some(CallEnd::Completed));
}

#[test]
fn the_next_number_rings_when_the_first_is_busy() {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    allocate(&server, &tenant, &json!({"bparty_numbers": [party(2), party(3)]}));
    let ladder = Ladder::new();
    let mut b = Called::new(ladder.clone()).unwrap();
    add_trunk(&world, b.telephone.address(), &[]);
    let mut a = Caller::begin(ladder.clone(), server.sip(), Some(&party(1)), &virtual_number(1)).unwrap();

    is_invited(&mut a, &mut b);
    b.says("486 Busy Here", false).unwrap();
    assert!(b.hears("ACK").unwrap().is_some(), "{ladder}");
    let next = b.invited().unwrap().unwrap();
    assert_eq!(next.user("To"), Some(party(3).as_str()), "{ladder}");
    b.says("200 OK", true).unwrap();
    assert_eq!(a.last_response().unwrap().and_then(|answer| answer.status()), Some(200), "{ladder}");
    assert!(b.hears("ACK").unwrap().is_some(), "{ladder}");
    assert!(a.hang_up().unwrap(), "{ladder}");
    until("the record's end", SOON, || end(&world) == Some(CallEnd::Completed));
}

#[test]
fn a_call_outlives_its_allocation() {
    let world = World::new();
    let (server, tenant) = furnished(&world);
    let Talk { mut a, mut b, ladder } = talk(&world, &server);

    let known = tenant.client(&server).get("?connection_id=order-1");
    let made = &known.json()["data"][0]["greenvn_id"];
    let deleted = tenant.client(&server).delete(&format!("/{}", made.as_str().unwrap()));
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert_eq!(world.json(&["call", "live"]).as_array().unwrap().len(), 1);
    let mut late = Caller::begin(ladder.clone(), server.sip(), Some(&party(1)), &virtual_number(1)).unwrap();
    assert_eq!(late.last_response().unwrap().and_then(|refused| refused.status()), Some(404), "{ladder}");

    assert!(b.hang_up().unwrap(), "{ladder}");
    assert!(a.is_hung_up().unwrap(), "{ladder}");
    until("the record's end", SOON, || end(&world) == Some(CallEnd::Completed));
}
