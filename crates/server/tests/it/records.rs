//! What operators see of what happened: events as they happen, records, the audit, and erasure.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};

use crate::world::{SOON, World, party, until};

fn order(n: usize) -> Value {
    json!({
        "connection_id": format!("order-{n}"), "aparty_numbers": [party(2 * n)],
        "bparty_numbers": [party(2 * n + 1)], "usage": "twoway"
    })
}

#[test]
fn the_life_of_an_allocation_is_followed_at_a_terminal() {
    let world = World::new();
    let tenant = world.tenant("acme", 30);
    world.json(&["settings", "set", "--tenant", "acme", "event_stream=true"]);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let tail = ["events", "tail", "--tenant", "acme", "--json", "--unmasked", "--count", "3"];
    let mut tail = world.program().args(tail).stdout(Stdio::piped()).spawn().unwrap();
    let (lines, told) = mpsc::channel();
    let output = BufReader::new(tail.stdout.take().unwrap());
    let reader = thread::spawn(move || {
        for line in output.lines() {
            lines.send(serde_json::from_str::<Value>(&line.unwrap()).unwrap()).unwrap();
        }
    });

    // It is told of what happens from its beginning on, which only it knows: lend until the first is told.
    let mut made = Vec::new();
    let mut first = None;
    until("the first event", SOON, || {
        let answer = client.post("", &order(made.len()));
        made.push(answer.json()["data"]["greenvn_id"].as_str().unwrap().to_owned());
        first = told.recv_timeout(std::time::Duration::from_millis(500)).ok();
        first.is_some()
    });
    let first = first.unwrap();
    assert_eq!(first["type"], "allocation.created");
    let followed = made.len();
    let last = made[followed - 1].clone();
    client.delete(&format!("/{last}"));
    client.post("", &order(followed));

    let all: Vec<Value> = [first].into_iter().chain(told.iter()).collect();
    reader.join().unwrap();
    assert!(tail.wait().unwrap().success());
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|event| event["type"].as_str().unwrap().starts_with("allocation.")), "{all:?}");
    let listed = world.json(&["event", "list", "--tenant", "acme"]);
    assert_eq!(listed.as_array().unwrap().len(), followed + 2);
    assert!(!listed.to_string().contains(&party(1)), "numbers are masked unless they are asked for");
}

#[test]
fn an_endpoint_is_added_rotated_and_removed() {
    let world = World::new();
    world.tenant("acme", 1);
    let of = ["--tenant", "acme"];
    let run = |command: &[&str], more: &[&str]| world.json(&[command, &of, more].concat());

    let url = "https://hooks.example.com/callveil";
    let made = run(&["endpoint", "add"], &["--kind", "call.completed", "--masked", url]);
    let id = made["endpoint"].as_str().unwrap().to_owned();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let rotated = run(&["endpoint", "rotate"], &[&id]);
    assert_ne!(rotated["secret"], made["secret"]);
    assert!(rotated["previous_until"].is_string());

    let listed = run(&["endpoint", "list"], &[]);
    assert_eq!(listed[0]["id"], id.as_str());
    assert_eq!(listed[0]["kinds"], json!(["call.completed"]));
    assert_eq!((&listed[0]["masked"], &listed[0]["secrets"]), (&json!(true), &json!(2)));
    run(&["endpoint", "remove"], &[&id]);
    assert_eq!(run(&["endpoint", "list"], &[]), json!([]));
    let again = world.run(&["endpoint", "remove", "--tenant", "acme", &id]);
    assert_eq!(again.code(), Some(1));
    let wrong = world.run(&["endpoint", "add", "--tenant", "acme", "ftp://example.com/"]);
    assert!(wrong.stderr.contains("must be an http or https URL"), "{wrong:?}");
}

#[test]
fn the_endpoint_of_a_setting_gets_its_secret_by_rotation() {
    let world = World::new();
    world.tenant("acme", 1);
    let name = "greencall_complete_event_endpoint";
    world.json(&["settings", "set", "--tenant", "acme", &format!("{name}=https://hooks.example.com/calls")]);
    let listed = || world.json(&["endpoint", "list", "--tenant", "acme"]);
    assert_eq!((&listed()[0]["id"], &listed()[0]["secrets"]), (&json!(name), &json!(0)));

    let made = world.json(&["endpoint", "rotate", "--tenant", "acme", name]);

    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!((&listed()[0]["dialect"], &listed()[0]["secrets"]), (&json!("leadassist"), &json!(1)));
    let refused = world.run(&["endpoint", "remove", "--tenant", "acme", name]);
    assert!(refused.stderr.contains("settings set"), "{refused:?}");
}

#[test]
fn the_audit_tells_who_did_what_and_its_chain_holds() {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    let made = tenant.client(&server).post("", &order(1));
    assert_eq!(made.status, 200);
    let id = made.json()["data"]["greenvn_id"].as_str().unwrap().to_owned();

    let verified = world.json(&["audit", "verify"]);

    assert_eq!(verified["broken_at"], Value::Null, "{verified}");
    let exported = world.run(&["audit", "export"]);
    let entries: Vec<Value> =
        exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len() as u64, verified["entries"].as_u64().unwrap());
    assert_eq!(entries.last().unwrap()["hash"], verified["head_hash"]);
    let find = |what: &str| entries.iter().find(|entry| entry["what"] == what).unwrap();
    assert!(find("tenant.added")["actor"].as_str().unwrap().starts_with("operator:"));
    assert_eq!(find("allocation.created")["subject"], format!("{id} version 1"));
    assert_eq!(find("allocation.created")["actor"], format!("key:{} from 127.0.0.1", tenant.key));
    assert!(!exported.stdout.contains(&party(2)), "no party's number is in it");
}

#[test]
fn an_erased_number_is_known_no_more() {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let made = client.post("", &order(1)).json();
    let id = made["data"]["greenvn_id"].as_str().unwrap().to_owned();
    let known = world.json(&["number", "known", &party(2)]);
    assert_eq!(known["allocations"][0]["greenvn_id"], id.as_str());

    let erased = world.json(&["number", "erase", &party(2)]);

    assert_eq!((&erased["released"], &erased["allocations"]), (&json!(1), &json!(1)));
    assert_eq!(world.json(&["number", "known", &party(2)])["allocations"], json!([]));
    let told = client.get(&format!("/{id}")).json();
    assert_eq!((&told["data"]["state"], &told["data"]["aparty_numbers"]), (&json!("vault"), &json!([])));
    let verified = world.json(&["verify"]);
    assert_eq!(verified["findings"], json!([]));
    let refused = world.run(&["number", "erase", &crate::world::virtual_number(1)]);
    assert!(refused.stderr.contains("it is a virtual number"), "{refused:?}");
    assert_eq!(world.json(&["calls", "list", "--tenant", "acme"]), json!([]));
}
