//! The battery of bad input: each is answered by its code and a sentence that helps, nothing of it is repeated
//! where it could be a number or a pin, and nothing changes.

use serde_json::{Value, json};

use crate::world::{Reply, World, order};

/// A request for an allocation that is wrong in one field, and what is said of it.
struct Case {
    field: &'static str,
    value: Value,
    status: u16,
    code: u64,
    path: &'static str,
    says: &'static str,
}

fn case(
    field: &'static str,
    value: Value,
    (status, code): (u16, u64),
    path: &'static str,
    says: &'static str,
) -> Case {
    Case { field, value, status, code, path, says }
}

const MISSING: (u16, u64) = (400, 3);
const BAD: (u16, u64) = (400, 5);
const NUMBER: (u16, u64) = (400, 16);

fn battery() -> Vec<Case> {
    let long = "x".repeat(256);
    let eleven: Vec<String> = (10..21).map(|n| format!("+9199000000{n}")).collect();
    let eleven_pins: Vec<u64> = (100_000..100_011).collect();
    let numbers = "aparty_numbers";
    let first = "aparty_numbers[0]";
    let pins = "bparty_pins";
    let pin = "bparty_pins[0]";
    let whole = "a pin is a positive whole number of 1 to 15 digits";
    vec![
        // What the samples leave to be filled in.
        case(numbers, json!(["+91995xxxx640"]), NUMBER, first, "digits are masked with 'x'"),
        case(numbers, json!(["+91917XXX6528"]), NUMBER, first, "digits are masked with 'X'"),
        case("usage", json!("oneway|twoway"), BAD, "usage", "shows the two choices; send one of them"),
        case("usage", json!("oneway|twoday"), BAD, "usage", "shows the two choices"),
        case("usage", json!("twoday"), BAD, "usage", "must be oneway or twoway"),
        case(
            "preferences",
            json!({"type": "mobile|landline"}),
            BAD,
            "preferences.type",
            "shows the two choices",
        ),
        case("preferences", json!({"greenvn": "+9140XXXXXXXX"}), NUMBER, "preferences.greenvn", "masked"),
        // Missing.
        case("connection_id", Value::Null, MISSING, "connection_id", "is mandatory"),
        case(numbers, Value::Null, MISSING, numbers, "is mandatory"),
        case("bparty_numbers", Value::Null, MISSING, "bparty_numbers", "is mandatory"),
        case("usage", Value::Null, MISSING, "usage", "is mandatory"),
        // Empty.
        case(numbers, json!([]), MISSING, numbers, "must not be empty"),
        case("bparty_numbers", json!([]), MISSING, "bparty_numbers", "must not be empty"),
        case("connection_id", json!(""), BAD, "connection_id", "1 to 255 printable characters"),
        case("usage", json!(""), BAD, "usage", "must be oneway or twoway"),
        case(numbers, json!([""]), NUMBER, first, "there are no digits"),
        case(numbers, json!(""), NUMBER, numbers, "there are no digits"),
        case(pins, json!([""]), BAD, pin, whole),
        case("flow_id", json!(""), BAD, "flow_id", "1 to 64 printable characters"),
        case("strictness", json!(""), BAD, "strictness", "must be true or false"),
        // Of the wrong type.
        case("connection_id", json!(7), BAD, "connection_id", "must be a string"),
        case("connection_id", json!(["x"]), BAD, "connection_id", "must be a string"),
        case(numbers, json!([919_900_000_001_u64]), BAD, first, "must be a string"),
        case(numbers, json!({"0": "+919900000001"}), BAD, numbers, "must be a string"),
        case(numbers, json!([["+919900000001"]]), BAD, first, "must be a string"),
        case(numbers, json!([null]), BAD, first, "must be a string"),
        case(numbers, json!(true), BAD, numbers, "must be a string"),
        case(pins, json!([1.5]), BAD, pin, whole),
        case(pins, json!([-1234]), BAD, pin, whole),
        case(pins, json!([0]), BAD, pin, "must not begin with 0"),
        case(pins, json!(["0123"]), BAD, pin, "must not begin with 0"),
        case(pins, json!(["12x4"]), BAD, pin, whole),
        case(pins, json!([true]), BAD, pin, whole),
        case(pins, json!([null]), BAD, pin, whole),
        case(pins, json!({}), BAD, pins, whole),
        case(pins, json!(["١٢٣٤"]), BAD, pin, whole),
        case("usage", json!(true), BAD, "usage", "oneway or twoway"),
        case("usage", json!("TWOWAY"), BAD, "usage", "must be oneway or twoway"),
        case("strictness", json!(1), BAD, "strictness", "must be true or false"),
        case("strictness", json!("yes"), BAD, "strictness", "must be true or false"),
        case("preferences", json!("KA"), BAD, "preferences", "must be an object"),
        case("preferences", json!([]), BAD, "preferences", "must be an object"),
        case(
            "preferences",
            json!({"type": "tollfree"}),
            BAD,
            "preferences.type",
            "must be mobile or landline",
        ),
        case("preferences", json!({"type": 1}), BAD, "preferences.type", "mobile or landline"),
        case("preferences", json!({"region": 7}), BAD, "preferences.region", "must be a string"),
        case("preferences", json!({"pin_code": 560_041}), BAD, "preferences.pin_code", "must be a string"),
        case("preferences", json!({"greenvn": 9}), BAD, "preferences.greenvn", "must be a string"),
        case("deallocation_policy", json!("600s"), BAD, "deallocation_policy", "must be an object"),
        case("deallocation_policy", json!({"duration": 600}), BAD, DURATION, "a unit, d, h, m or s"),
        case("deallocation_policy", json!({"duration": "600"}), BAD, DURATION, "a unit, d, h, m or s"),
        case("deallocation_policy", json!({"duration": "-1"}), BAD, DURATION, "a unit, d, h, m or s"),
        case(
            "deallocation_policy",
            json!({"duration": "0s"}),
            BAD,
            DURATION,
            "must be a positive whole number",
        ),
        case("deallocation_policy", json!({"duration": "1w"}), BAD, DURATION, "a unit, d, h, m or s"),
        case("flow_id", json!(44), BAD, "flow_id", "must be a string"),
        case("aparty_tag", json!(1), BAD, "aparty_tag", "must be a string"),
        // Too long, too many.
        case("connection_id", json!(long), BAD, "connection_id", "1 to 255 printable characters"),
        case("connection_id", json!("a\u{7}b"), BAD, "connection_id", "printable"),
        case("bparty_tag", json!(long), BAD, "bparty_tag", "at most 255"),
        case("flow_id", json!("x".repeat(65)), BAD, "flow_id", "1 to 64"),
        case(numbers, json!(eleven), BAD, numbers, "has 11 entries where 10 are the most"),
        case(pins, json!(eleven_pins), BAD, pins, "has 11 entries where 10 are the most"),
        case(pins, json!([1_000_000_000_000_000_u64]), BAD, pin, "at most 15 digits"),
        case(pins, json!(["1000000000000000"]), BAD, pin, "at most 15 digits"),
        case(pins, json!([u64::MAX]), BAD, pin, "at most 15 digits"),
        case(numbers, json!(["+9199000000010000"]), NUMBER, first, "too long"),
        case(numbers, json!(["+9"]), NUMBER, first, "too short"),
        case(numbers, json!(["9".repeat(5_000)]), NUMBER, first, "9"),
        // No numbers, or none that may be a party.
        case(numbers, json!(["alice"]), NUMBER, first, "unexpected character 'a'"),
        case(numbers, json!(["+919900000001;drop table"]), NUMBER, first, "unexpected character ';'"),
        case(numbers, json!(["+९१९९०००००००१"]), NUMBER, first, "only the digits 0 to 9"),
        case(numbers, json!(["＋919900000001"]), NUMBER, first, "unexpected character"),
        case(numbers, json!(["112"]), NUMBER, first, "emergency numbers and short codes"),
        case(numbers, json!(["+0123456789"]), NUMBER, first, "no country code begins with 0"),
        case(numbers, json!(["990000000"]), NUMBER, first, "without a country code"),
        case(numbers, json!(["+12025550101"]), NUMBER, first, "another country"),
        case(numbers, json!(["+881612345678"]), NUMBER, first, "satellite"),
        case(numbers, json!(["+19002345678"]), NUMBER, first, "premium rate"),
        case(numbers, json!(["+918000000001"]), NUMBER, first, "virtual number of the pool"),
        // On both sides.
        case(
            numbers,
            json!(["+919900000002"]),
            (409, 14),
            "bparty_numbers[0]",
            "stands on the other side too",
        ),
        case(numbers, json!(["09900000002"]), (409, 14), "bparty_numbers[0]", "stands on the other side too"),
        // What the tenant does not have.
        case("preferences", json!({"region": "XX"}), (403, 15), "preferences.region", "AP, DL, GJ"),
        case(
            "preferences",
            json!({"region": "no region"}),
            (403, 15),
            "preferences.region",
            "letters or digits",
        ),
        case("flow_id", json!("44XX8X"), (422, 50), "flow_id", "night"),
    ]
}

const DURATION: &str = "deallocation_policy.duration";

#[tokio::test]
async fn each_field_that_is_wrong_is_told_by_its_code_and_a_sentence() {
    let world = World::new().await;
    let before = world.everything().await;
    for Case { field, value, status, code, path, says } in battery() {
        let mut wanted = order("order-1");
        wanted[field] = value.clone();

        let reply = world.post(wanted).await;

        assert_eq!((reply.status, reply.code()), (status, Some(code)), "{field}: {value}: {}", reply.text);
        let told = &reply.refused(status, code).json()["detail"]["fields"][0];
        assert_eq!(told["path"], json!(path), "{field}: {value}");
        assert!(told["message"].as_str().unwrap().contains(says), "{field}: {value}: {told}");
        assert!(reply.message().starts_with(path), "{}", reply.text);
        repeats_nothing(&reply, &value);
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn the_same_holds_for_a_change_of_parties() {
    let world = World::new().await;
    let path = format!("{}/call-party", world.allocated().await);
    let before = world.everything().await;
    let fields = ["aparty_numbers", "bparty_numbers", "aparty_pins", "bparty_pins", "usage"];
    for Case { field, value, status, code, path: told, says: _ } in battery() {
        if !fields.contains(&field) || value.is_null() {
            continue;
        }
        let mut wanted = json!({"bparty_numbers": ["+919900000002"]});
        wanted[field] = value.clone();

        let reply = world.put(&path, wanted).await;

        reply.refused(status, code);
        assert_eq!(reply.json()["detail"]["fields"][0]["path"], json!(told), "{field}: {value}");
        repeats_nothing(&reply, &value);
    }
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn all_faults_are_told_at_once_and_the_first_by_precedence_gives_the_code() {
    let world = World::new().await;

    let reply = world
        .post(json!({
            "aparty_numbers": ["+919900000001", "+9199xxxx0002"],
            "bparty_numbers": "nobody",
            "aparty_pins": [1, "x"],
            "usage": "both",
        }))
        .await;

    reply.refused(400, 3);
    assert_eq!(reply.message(), "connection_id: is mandatory (the first of 5 faults; detail.fields has all)");
    let fields = reply.json()["detail"]["fields"].clone();
    let paths: Vec<_> = fields.as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["connection_id", "aparty_numbers[1]", "bparty_numbers", "aparty_pins[1]", "usage"]);

    let mut no_name_missing = order("order-1");
    no_name_missing["usage"] = json!("both");
    no_name_missing["bparty_numbers"] = json!(["nobody"]);
    world.post(no_name_missing).await.refused(400, 16);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_told_so() {
    let world = World::new().await;
    let before = world.everything().await;
    let deep = |n: usize| format!("{{\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(30_000 / 5), "}".repeat(30_000 / 5));
    let many = format!("{{\"aparty_numbers\":[{}1]}}", "1,".repeat(30_000));
    let keys = format!("{{{}\"x\":1}}", (0..5_000).map(|n| format!("\"k{n}\":1,")).collect::<String>());
    for (body, code, says) in [
        ("not json", 5, "must be a JSON object"),
        ("[]", 5, "must be a JSON object"),
        ("\"text\"", 5, "must be a JSON object"),
        ("17", 5, "must be a JSON object"),
        ("null", 5, "must be a JSON object"),
        ("connection_id=x&usage=twoway", 5, "must be a JSON object"),
        ("{", 5, "not valid JSON: EOF"),
        ("{\"connection_id\":\"x\",}", 5, "not valid JSON: trailing comma at line 1 column"),
        ("{'connection_id':'x'}", 5, "not valid JSON"),
        ("{} {}", 5, "not valid JSON: trailing characters"),
        ("{\"connection_id\":\"a\nb\"}", 5, "not valid JSON: control character"),
        ("{\"connection_id\":\"\\ud800\"}", 5, "not valid JSON"),
        ("{\"connection_id\":\"\\udc00\\ud800\"}", 5, "not valid JSON"),
        ("{\"aparty_pins\":[1e400]}", 5, "not valid JSON: number out of range"),
        ("{\"usage\":\"oneway\",\"usage\":\"twoway\"}", 5, "a key stands twice"),
        ("{\"preferences\":{\"region\":\"KA\",\"region\":\"DL\"}}", 5, "a key stands twice"),
        ("{\"deallocation_policy\":{},\"Deallocation_policy\":{}}", 5, "a key stands twice"),
        (&deep(32), 5, "nested deeper than 32 levels"),
        (&deep_object, 5, "nested deeper than 32 levels"),
        (&"[".repeat(60_000), 5, "must be a JSON object"),
        ("", 3, "is mandatory"),
        ("   ", 3, "is mandatory"),
        (&deep(31), 3, "is mandatory"),
        (&many, 3, "is mandatory"),
        (&keys, 3, "is mandatory"),
    ] {
        let reply = world.send("POST", "/greenvn", body.to_owned()).await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!((reply.status, reply.code()), (400, Some(code)), "{shown}: {}", reply.text);
        assert!(reply.message().contains(says), "{shown}: {}", reply.text);
        assert!(reply.text.len() < 4_096, "{shown}: the answer has {} bytes", reply.text.len());
    }
    let not_text = b"{\"connection_id\":\"\xff\xfe\"}".to_vec();
    world.send("POST", "/greenvn", not_text).await.refused(400, 5);
    assert_eq!(world.everything().await, before);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let world = World::new().await;
    let body = format!("{{\"connection_id\":\"{}\"}}", "x".repeat(65_536));
    world.send("POST", "/greenvn", body.clone()).await.refused(413, 17);
    let announced = [("content-length", "65537")];
    world.send_with("POST", "/greenvn", &announced, "{}").await.refused(413, 17);
    let packed = [("content-encoding", "gzip")];
    world.send_with("POST", "/greenvn", &packed, "{}").await.refused(400, 5);
    let just_fits = format!("{{\"x\":\"{}\"}}", "x".repeat(65_536 - 8));
    world.send("POST", "/greenvn", just_fits).await.refused(400, 3);
    world.send("PUT", "/settings", body).await.refused(413, 17);
}

/// Fails if an answer has a run of four digits or more that stood in what was sent, or a text of it.
#[track_caller]
fn repeats_nothing(reply: &Reply, sent: &Value) {
    let text = reply.text.replace("+919876543210", "");
    let sent = sent.to_string();
    let runs = sent.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() >= 4);
    for run in runs {
        assert!(!text.contains(run), "{run} in {text}");
    }
}
