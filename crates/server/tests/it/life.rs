//! The whole life of an allocation over HTTP, and what happens to calls before and after each step.

use serde_json::{Value, json};

use crate::http::Client;
use crate::world::{World, party};

const A: &str = "+919900000001";
const A2: &str = "+919900000002";
const B: &str = "+919900000003";
const B2: &str = "+919900000004";
const STRANGER: &str = "+919900000009";

/// A call in words: what is decided, or who rings and what they see.
fn told(call: &Value) -> String {
    match call["decision"].as_str().unwrap() {
        "connect" => {
            let ring: Vec<&str> =
                call["ring"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
            format!("from {} rings {}", call["caller_side"].as_str().unwrap(), ring.join(" "))
        }
        "refuse" => format!("refused: {}", call["reason"].as_str().unwrap()),
        other => other.to_owned(),
    }
}

struct Life {
    world: World,
    client: Client,
    virtual_number: String,
}

impl Life {
    #[track_caller]
    fn check_call(&self, from: &str, expected: &str) {
        self.check_call_with(from, &[], expected);
    }

    #[track_caller]
    fn check_call_with(&self, from: &str, more: &[&str], expected: &str) {
        let call = self.world.call(from, &self.virtual_number, more);
        assert_eq!(told(&call), expected, "{call}");
        if call["decision"] == "connect" {
            assert_eq!(call["show"], self.virtual_number.as_str());
        }
    }

    #[track_caller]
    fn put(&mut self, id: &str, body: &Value) -> Value {
        self.client.put(&format!("/{id}/call-party"), body).data()
    }
}

#[test]
fn an_allocation_lives_from_its_creation_to_its_end() {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    world.json(&["settings", "set", "--tenant", "acme", "deletion_time=3600"]);
    let server = world.serve();
    let client = tenant.client(&server);
    let mut life = Life { world, client, virtual_number: "+918000000001".to_owned() };
    life.check_call(A, "refused: unknown_caller");

    // Create.
    let order = json!({
        "connection_id": "order-1", "aparty_numbers": [A], "bparty_numbers": [B], "usage": "twoway",
        "preferences": {"greenvn": "+918000000001"}, "strictness": "true"
    });
    let created = life.client.post("", &order).data();
    let id = created["greenvn_id"].as_str().unwrap().to_owned();
    assert_eq!(created["greenvn"], "+918000000001");
    assert_eq!(created["state"], "active");
    life.check_call(A, &format!("from A rings {B}"));
    life.check_call(B, &format!("from B rings {A}"));
    life.check_call(STRANGER, "refused: unknown_caller");

    // Read.
    assert_eq!(life.client.get(&format!("/{id}")).data(), created);

    change_each_field(&mut life, &id);
    change_number(&mut life, &id);
    list_and_end(&mut life, &id);
    assert!(server.stop().success());
}

/// `PUT call-party`, one field after the other.
fn change_each_field(life: &mut Life, id: &str) {
    let updated = life.put(id, &json!({"aparty_numbers": [A, A2]}));
    assert_eq!(updated["bparty_numbers"], json!([B]));
    life.check_call(A2, &format!("from A rings {B}"));
    life.check_call(B, &format!("from B rings {A} {A2}"));

    life.put(id, &json!({"bparty_numbers": [B2, B]}));
    life.check_call(A, &format!("from A rings {B2} {B}"));
    life.put(id, &json!({"bparty_numbers": [B]}));
    life.check_call(B2, "refused: no_longer_a_party");

    let updated = life.put(id, &json!({"aparty_numbers": [A], "aparty_pins": [12340]}));
    assert_eq!(updated["aparty_pins"], json!([12340]));
    life.check_call(A2, "refused: no_longer_a_party");
    life.check_call(STRANGER, "ask_for_pin");
    life.check_call_with(STRANGER, &["--pin", "12340"], &format!("from A rings {B}"));
    life.check_call_with(STRANGER, &["--pin", "12341"], "refused: wrong_pin");

    life.put(id, &json!({"aparty_numbers": [A], "bparty_pins": [23400]}));
    life.check_call_with("withheld", &["--pin", "23400"], &format!("from B rings {A}"));
    life.put(id, &json!({"aparty_numbers": [A], "aparty_pins": [], "bparty_pins": []}));
    // Removed pins cool like numbers do, and open nothing: nobody is asked for one.
    life.check_call_with(STRANGER, &["--pin", "12340"], "refused: unknown_caller");

    let updated = life.put(id, &json!({"aparty_numbers": [A], "usage": "oneway"}));
    assert_eq!(updated["usage"], "oneway");
    life.check_call(A, &format!("from A rings {B}"));
    life.check_call(B, "refused: one_way");
    life.put(id, &json!({"aparty_numbers": [A], "usage": "twoway"}));
    life.check_call(B, &format!("from B rings {A}"));
}

/// `PUT vn`: the old number is of no use from then on, and the new one is.
fn change_number(life: &mut Life, id: &str) {
    let wanted = json!({"preferences": {"greenvn": "+918000000002"}, "strictness": "true"});
    let moved = life.client.put(&format!("/{id}/vn"), &wanted).data();
    assert_eq!(moved["green_vn"], "+918000000002");
    life.check_call(A, "refused: no_longer_a_party");

    life.virtual_number = "+918000000002".to_owned();
    life.check_call(A, &format!("from A rings {B}"));
}

fn list_and_end(life: &mut Life, id: &str) {
    let listed = life.client.get("?time_from=2020-01-01T00:00:00");
    assert_eq!(listed.status, 200, "{listed:?}");
    assert!(listed.json().to_string().contains(id), "{listed:?}");
    life.check_call(A, &format!("from A rings {B}"));

    let ended = life.client.delete(&format!("/{id}")).data();
    assert_eq!(ended["state"], "vault");
    life.check_call(A, "refused: ended");
    life.check_call(B, "refused: ended");

    assert_eq!(life.client.get(&format!("/{id}")).data()["state"], "vault");
    let again = life.client.delete(&format!("/{id}"));
    assert_eq!((again.status, again.json()["code"].as_i64()), (410, Some(22)));
    life.check_call(STRANGER, "refused: unknown_caller");
}

#[test]
fn a_caller_joins_by_pin_only_when_it_is_meant() {
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let order = json!({
        "connection_id": "order-1", "aparty_numbers": [A], "bparty_numbers": [B], "aparty_pins": [483920],
        "usage": "twoway"
    });
    client.post("", &order).data();
    let life = Life { world, client, virtual_number: "+918000000001".to_owned() };

    life.check_call_with(STRANGER, &["--pin", "483920"], &format!("from A rings {B}"));
    life.check_call(STRANGER, "ask_for_pin");

    life.check_call_with(STRANGER, &["--pin", "483920", "--join"], &format!("from A rings {B}"));
    life.check_call(STRANGER, &format!("from A rings {B}"));
    life.check_call(B, &format!("from B rings {A} {STRANGER}"));
}

#[test]
fn an_allocation_ends_by_its_policy_without_anybody_asking() {
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    let server = world.serve();
    let order = json!({
        "connection_id": "order-1", "aparty_numbers": [party(1)], "bparty_numbers": [party(2)], "usage": "twoway",
        "deallocation_policy": {"duration": "1s"}
    });
    tenant.client(&server).post("", &order).data();

    // With no cooling its numbers are free at once, and the server writes the end down within a second or two.
    crate::world::until("the end", crate::world::SOON, || {
        world.json(&["number", "list", "--tenant", "acme"])[0]["allocations"] == 0
    });
    assert_eq!(told(&world.call(&party(1), "+918000000001", &[])), "refused: unknown_caller");
}
