//! LeadAssist's own samples of `PUT call-party`, each in its own language, against the real server.
//!
//! They stand in `examples/leadassist`. A language that is missing fails its test: `scripts/setup-tests` installs it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, finish_within};

/// What the first build of Go's standard library may take on a small machine.
const BUILDING: Duration = Duration::from_secs(300);

/// Runs a sample; its output must hold the answer that LeadAssist documents.
#[track_caller]
fn check(program: &str, arguments: &[&str], sample: &str) {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let order = json!({
        "connection_id": "abcd12345", "aparty_numbers": ["+919900000001"], "bparty_numbers": ["+919900000002"],
        "usage": "oneway"
    });
    let created = client.post("", &order).data();
    let id = created["greenvn_id"].as_str().unwrap();

    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/leadassist");
    let ran = finish_within(
        Command::new(program)
            .args(arguments)
            .arg(examples.join(sample))
            .env("API_SCHEME", "http")
            .env("API_HOST", server.http.to_string())
            .env("API_KEY", &tenant.key)
            .env("API_TOKEN", &tenant.token)
            .env("ACCOUNT_SID", "acme")
            .env("GREENVN_ID", id),
        BUILDING,
    );

    assert!(ran.status.success(), "{sample}: {ran:?}");
    let expected = json!({
        "connection_id": "abcd12345",
        "aparty_numbers": ["+919900000040", "+919900000041"],
        "bparty_numbers": ["+919900000050", "+919900000051"],
        "aparty_pins": [12340],
        "bparty_pins": [2340],
        "usage": "twoway",
        "state": "active",
        "green_vn": created["greenvn"],
        "greenvn": created["greenvn"],
        "greenvn_id": id
    });
    let answer = answer_in(&ran.stdout).unwrap_or_else(|| panic!("{sample}: no JSON in {ran:?}"));
    assert_eq!(answer["success"], true, "{sample}: {answer}");
    assert_eq!(answer["status"], 200, "{sample}: {answer}");
    assert_eq!(answer["data"], expected, "{sample}");
    // On a connection of its own: the first may have been closed while a sample was being built.
    let read = tenant.client(&server).get(&format!("/{id}")).data();
    assert_eq!(read, expected, "{sample}");
}

/// The line of an output that is the answer: the Go sample prints others before it.
fn answer_in(output: &str) -> Option<Value> {
    output.lines().find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object))
}

/// Fails with the reason when what a sample needs is not on the machine.
#[track_caller]
pub fn need(program: &str, arguments: &[&str], package: &str) {
    let there = Command::new(program).args(arguments).output().is_ok_and(|ran| ran.status.success());
    assert!(there, "this test runs {program}: install it with ./scripts/setup-tests (Debian: {package})");
}

#[test]
fn the_curl_sample_updates_the_parties() {
    need("curl", &["--version"], "curl");
    check("sh", &[], "call-party.sh");
}

#[test]
fn the_node_sample_updates_the_parties() {
    need("node", &["--version"], "nodejs");
    check("node", &[], "call-party.js");
}

#[test]
fn the_python_sample_updates_the_parties() {
    // Debian's own, which has Debian's packages; another may stand before it in the path.
    const PYTHON: &str = "/usr/bin/python3";
    need(PYTHON, &["-c", "import requests"], "python3 and python3-requests");
    check(PYTHON, &[], "call-party.py");
}

#[test]
fn the_php_sample_updates_the_parties() {
    need("php", &["-r", "exit(function_exists('curl_init') ? 0 : 1);"], "php-cli and php-curl");
    check("php", &[], "call-party.php");
}

#[test]
fn the_go_sample_updates_the_parties() {
    need("go", &["version"], "golang-go");
    check("go", &["run"], "call-party.go");
}
