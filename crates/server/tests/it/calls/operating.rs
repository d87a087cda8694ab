//! What operators do while calls go on, and what crashes do.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use callveil_domain::calls::{CallEnd, CallStanding};
use callveil_server::trial::called::Called;
use callveil_server::trial::caller::Caller;
use callveil_server::trial::ladder::Ladder;
use rustix::process::Signal;
use serde_json::json;

use super::{add_trunk, allocate, furnished, is_invited, records};
use crate::http::Client;
use crate::world::{SOON, Server, World, party, until, virtual_number};

/// A call that two telephones have with each other.
struct Talk {
    a: Caller,
    b: Called,
    ladder: Ladder,
    /// Where the caller's sound goes.
    sound: SocketAddr,
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
    let answer = answer.unwrap_or_else(|| panic!("no answer: {ladder}"));
    assert_eq!(answer.status(), Some(200), "{ladder}\n{}", server.log());
    assert!(b.hears("ACK").unwrap().is_some(), "{ladder}");
    Talk { a, b, ladder, sound: answer.sound().unwrap() }
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
    let Talk { mut a, mut b, ladder, .. } = talk(&world, &server);

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
    let Talk { a, mut b, ladder, .. } = talk(&world, &server);

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

/// The bytes of sound that a recording's header tells of, and those that are there.
fn recorded(file: &Path) -> (usize, usize) {
    let bytes = fs::read(file).unwrap();
    assert!(bytes.starts_with(b"RIFF") && bytes.get(50..54) == Some(b"data"), "{bytes:02x?}");
    let told = u32::from_le_bytes(bytes[54..58].try_into().unwrap());
    (told as usize, bytes.len() - 58)
}

#[test]
fn a_recording_whose_server_is_killed_can_be_heard_when_it_is_back() {
    let world = World::new().with_variable("CALLVEIL_MEDIA_RECORDINGS", "./recordings");
    let tenant = world.tenant("acme", 1);
    world.json(&["settings", "set", "--tenant", "acme", "recording=on"]);
    let server = world.serve();
    allocate(&server, &tenant, &json!({}));
    let talk = talk(&world, &server);
    let mut name = None;
    until("the record", SOON, || {
        name = records(&world).into_iter().find(|r| r.answered_at.is_some()).and_then(|r| r.recording);
        name.is_some()
    });
    let file = world.path("recordings").join(name.unwrap().as_str());

    // The caller speaks until a second of it is told of.
    let mouth = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    mouth.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut sequence = 0_u16;
    until("a second of the recording", SOON, || {
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) * 160).to_be_bytes());
        packet.extend([1, 2, 3, 4]);
        packet.extend([SPOKEN; 160]);
        mouth.send_to(&packet, talk.sound).unwrap();
        sequence += 1;
        // What paces it: nobody answers.
        let _ = mouth.recv(&mut [0; 2_048]);
        file.exists() && recorded(&file).0 >= 2 * 8_000
    });
    server.kill();
    assert_eq!(end(&world), None);

    let (told, there) = recorded(&file);
    assert!((2 * 8_000..=there).contains(&told), "{told} of {there} bytes");
    let back = world.serve();
    until("the record's end", SOON, || end(&world) == Some(CallEnd::Interrupted));
    let mut calls = Client::new(back.http, "/v1/tenants/acme/calls", &tenant.key, &tenant.token);
    let call = calls.get("").data()[0].clone();
    assert_eq!(call["end"], "interrupted", "{call:#}");
    let link = call["recording_url"].as_str().unwrap_or_else(|| panic!("{call:#}"));
    let at = link.find("/recordings/").unwrap();
    let heard = back.stranger().get(&link[at..]);
    assert_eq!((heard.status, heard.body == fs::read(&file).unwrap()), (200, true));
    let frames = heard.body[58..58 + told].chunks(2);
    assert!(frames.filter(|frame| frame[0] == SPOKEN).count() >= 4_000, "the caller is heard on the left");
}

/// A byte of sound that silence is not made of.
const SPOKEN: u8 = 0x21;

#[test]
fn the_figures_tell_what_goes_on_and_what_became_of_calls() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let Talk { mut a, mut b, ladder, .. } = talk(&world, &server);
    let figures = || String::from_utf8(Client::new(server.metrics, "", "", "").get("/metrics").body).unwrap();
    let tells = |line: &str| figures().lines().any(|told| told == line);
    for line in [
        "callveil_calls 1",
        "callveil_calls_talking 1",
        "callveil_media_ports 5000",
        "callveil_media_ports_used 2",
        "callveil_trunk_calls{trunk=\"carrier\"} 2",
        "callveil_trunk_failed_addresses{trunk=\"carrier\"} 0",
        "callveil_trunk_attempts_total{trunk=\"carrier\",status=\"2xx\"} 1",
        "callveil_ringing_delay_seconds_count 1",
    ] {
        until(line, SOON, || tells(line));
    }

    assert!(b.hang_up().unwrap(), "{ladder}");
    assert!(a.is_hung_up().unwrap(), "{ladder}");
    let mut stranger =
        Caller::begin(ladder.clone(), server.sip(), Some(&party(7)), &virtual_number(1)).unwrap();
    assert_eq!(stranger.last_response().unwrap().and_then(|refused| refused.status()), Some(404), "{ladder}");
    for line in [
        "callveil_calls_ended_total{end=\"completed\",reason=\"called\"} 1",
        "callveil_calls_ended_total{end=\"refused\",reason=\"unknown-caller\"} 1",
        "callveil_calls 0",
        "callveil_calls_talking 0",
        "callveil_media_ports_used 0",
    ] {
        until(line, SOON, || tells(line));
    }
    assert!(!figures().contains("99000000"), "no number is in the figures: {}", figures());
}

#[test]
fn both_may_hang_up_at_once() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let Talk { mut a, mut b, ladder, .. } = talk(&world, &server);
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
    let Talk { mut a, mut b, ladder, .. } = talk(&world, &server);

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
