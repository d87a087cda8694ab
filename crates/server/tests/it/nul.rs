//! A NUL in what a client sends: PostgreSQL keeps none in a text, SQLite would. On both it is refused alike, by the field
//! in which it stands, wherever a client can send one.

use serde_json::{Value, json};

use crate::http::{Answer, Client};
use crate::nodes::fresh_database;
use crate::world::{World, party};

const NUL: &str = "a\0b";

const ORDER: &[&str] = &[
    "connection_id",
    "aparty_numbers",
    "bparty_numbers",
    "aparty_pins",
    "bparty_pins",
    "usage",
    "strictness",
    "preferences.greenvn",
    "preferences.region",
    "preferences.type",
    "deallocation_policy.duration",
    "flow_id",
    "aparty_tag",
    "bparty_tag",
];
const PARTIES: &[&str] = &["aparty_numbers", "bparty_numbers", "aparty_pins", "bparty_pins", "usage"];
const WISHES: &[&str] = &["strictness", "preferences.greenvn", "preferences.region", "preferences.type"];
const ENDPOINT: &[&str] = &["url", "events", "masked"];

/// What was asked, and how it was answered: status, code, and the first field that is named.
type Told = (String, u16, Value, Value);

fn told(asked: String, answer: &Answer) -> Told {
    let json = answer.json();
    (asked, answer.status, json["code"].clone(), json["detail"]["fields"][0]["path"].clone())
}

/// Sends a NUL in every field, filter and piece of a path.
fn answers(world: &World) -> Vec<Told> {
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    let mut client = Client::new(server.http, "/v1/tenants/acme", &tenant.key, &tenant.token);
    let mut answers = Vec::new();

    let order = json!({
        "connection_id": "one", "aparty_numbers": [party(1)], "bparty_numbers": [party(2)], "usage": "twoway",
    });
    let made = client.post("/greenvn", &order).data();
    let allocation = format!("/greenvn/{}", made["greenvn_id"].as_str().unwrap());
    let bodies = [
        ("POST", "/greenvn".to_owned(), order, ORDER),
        ("PUT", format!("{allocation}/call-party"), json!({"aparty_numbers": [party(3)]}), PARTIES),
        ("PUT", format!("{allocation}/vn"), json!({"strictness": "false"}), WISHES),
        ("POST", "/endpoints".to_owned(), json!({"url": "https://example.com/hook"}), ENDPOINT),
    ];
    for (method, path, body, fields) in bodies {
        for field in fields {
            let mut with = body.clone();
            let (object, key) = field.split_once('.').unwrap_or(("", field));
            let place = if object.is_empty() { &mut with } else { &mut with[object] };
            place[key] = json!(NUL);
            let asked = format!("{method} {} {field}", path.replace(&allocation, "/greenvn/ID"));
            answers.push(told(asked, &client.ask(method, &path, Some(&with))));
        }
    }
    let settings = client.get("/settings").data();
    for name in settings.as_object().unwrap().keys() {
        answers.push(told(format!("setting {name}"), &client.put("/settings", &json!({(name): NUL}))));
    }
    let lists: [(&str, &[&str]); 4] = [
        ("greenvn", &["connection_id", "number", "time_from", "time_to", "state", "cursor", "page_size"]),
        (
            "calls",
            &["greenvn_id", "number", "greenvn", "state", "time_from", "time_to", "cursor", "page_size"],
        ),
        (
            "events",
            &["type", "greenvn_id", "call_sid", "order", "time_from", "time_to", "cursor", "page_size"],
        ),
        ("deliveries", &["type", "endpoint_id", "event_id", "state", "time_from", "time_to", "cursor"]),
    ];
    for (list, filters) in lists {
        for filter in filters {
            let path = format!("/{list}?{filter}=a%00b");
            answers.push(told(path.clone(), &client.get(&path)));
        }
    }
    for path in ["/greenvn/a%00b", "/calls/a%00b", "/events/a%00b", "/endpoints/a%00b", "/a%00b"] {
        answers.push(told(path.to_owned(), &client.get(path)));
        answers.push(told(format!("DELETE {path}"), &client.delete(path)));
    }
    let mut stranger = Client::new(server.http, "/v1/tenants/ac%00me", "k\0", "t\0");
    answers.push(told("the credentials".to_owned(), &stranger.get("/greenvn")));
    answers
}

#[test]
fn a_nul_is_refused_by_its_field_on_every_database() {
    let (on_file, on_postgres) = (answers(&World::new()), answers(&World::on(&fresh_database())));

    assert_eq!(on_file, on_postgres);
    for (asked, status, _, field) in on_file {
        // A client's own JSON is kept as it was written, with the NUL as an escape.
        let kept = asked == "setting sms_config";
        assert_eq!(kept, status == 200, "{asked}: {status}");
        assert!((400..500).contains(&status) || kept, "{asked}: {status}");
        assert!(status != 400 || field.is_string(), "{asked}: {field}");
    }
}
