//! Who is connected to whom, and what each of them gets to know: told by `callveil trial-call`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{allocate, furnished, records};
use crate::world::{SOON, Server, World, finish_within, party, until, virtual_number};

fn trial(world: &World, server: &Server, from: &str, more: &[&str]) -> Value {
    let (sip, to) = (server.sip().to_string(), virtual_number(1));
    let arguments = [&["trial-call", "--json", "--sip", &sip, "--from", from, "--to", &to], more].concat();
    let ran = finish_within(world.program().args(&arguments), Duration::from_secs(60));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}\n{}", server.log()))
}

#[track_caller]
fn is_masked(story: &Value) {
    assert_eq!(story["connected"], json!(true), "{story:#}");
    assert_eq!(story["shown"], json!(virtual_number(1)), "{story:#}");
    assert_eq!(story["caller_hidden"], json!(true), "{story:#}");
    assert_eq!(story["called_hidden"], json!(true), "{story:#}");
}

#[test]
fn either_party_reaches_the_other_and_sees_the_virtual_number_alone() {
    let world = World::new();
    let (server, _) = furnished(&world);
    for from in [party(1), party(2)] {
        let story = trial(&world, &server, &from, &[]);
        is_masked(&story);
        let heard = |side: usize| story["heard"][side].as_u64().unwrap();
        assert!(heard(0) >= 20 && heard(1) >= 20, "both hear each other: {story:#}");
    }
    assert!(!server.log().contains("99000000"), "no number is logged: {}", server.log());
}

#[test]
fn a_busy_telephone_is_told_as_such() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let story = trial(&world, &server, &party(1), &["--busy"]);
    assert_eq!((&story["connected"], &story["status"]), (&json!(false), &json!(486)), "{story:#}");
    assert_eq!(story["called_hidden"], json!(true), "{story:#}");
}

#[test]
fn strangers_are_refused_after_an_announcement() {
    let world = World::new();
    let (server, _) = furnished(&world);
    let story = trial(&world, &server, &party(7), &[]);
    assert_eq!(story["status"], json!(404), "{story:#}");
    let told = story["ladder"].as_array().unwrap().iter().any(|rung| {
        rung["what"].as_str().unwrap().contains("183") && rung["what"].as_str().unwrap().contains("sound")
    });
    assert!(told, "it is said aloud first: {story:#}");
}

#[test]
fn the_called_of_a_one_way_allocation_is_refused() {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    allocate(&server, &tenant, &json!({"usage": "oneway"}));
    is_masked(&trial(&world, &server, &party(1), &[]));
    assert_eq!(trial(&world, &server, &party(2), &[])["status"], json!(403));
}

#[test]
fn a_recorded_call_leaves_its_recording_behind() {
    let world = World::new();
    let (server, _) = furnished(&world);
    world.json(&["settings", "set", "--tenant", "acme", "recording=on"]);
    until("the setting", SOON, || {
        is_masked(&trial(&world, &server, &party(1), &[]));
        records(&world).iter().any(|record| record.recording.is_some())
    });
    let record = records(&world).into_iter().find_map(|record| record.recording).unwrap();
    let file = world.path("callveil-data/recordings").join(record.as_str());
    let header = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert!(header.starts_with(b"RIFF"));
}

#[test]
fn a_stranger_joins_by_pin_and_is_known_from_then_on() {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    allocate(&server, &tenant, &json!({"aparty_pins": [483_920]}));

    let story = trial(&world, &server, &party(7), &["--pin", "483920"]);
    is_masked(&story);
    is_masked(&trial(&world, &server, &party(7), &[]));
    is_masked(&trial(&world, &server, "withheld", &["--pin", "483920"]));
    assert!(!server.log().contains("483920"), "{}", server.log());
}
