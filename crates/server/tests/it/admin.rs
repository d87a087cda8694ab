//! What operators do, beside a running server and without one.

use std::fs;
use std::io::Write;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::read_answer;
use crate::world::{Ran, SOON, World, party, until, virtual_number};

/// A second is promised; a machine that is busy with other tests gets some more.
const EFFECT: Duration = Duration::from_secs(3);

fn order(n: usize) -> Value {
    json!({
        "connection_id": format!("order-{n}"), "aparty_numbers": [party(2 * n)],
        "bparty_numbers": [party(2 * n + 1)], "usage": "twoway"
    })
}

#[track_caller]
fn check_refused(ran: &Ran, expected: &[&str]) {
    assert_eq!(ran.code(), Some(1), "{ran:?}");
    assert_eq!(ran.stdout, "", "{ran:?}");
    for part in expected {
        assert!(ran.stderr.contains(part), "does not say {part:?}: {}", ran.stderr);
    }
}

#[test]
fn a_second_server_on_the_same_database_is_refused() {
    let world = World::new();
    let mut first = world.serve();

    let refused = world.serve_with(&[]).err().expect("a second server is refused");

    check_refused(&refused, &["another server uses the database", "stop it first"]);
    assert!(first.is_running());
    first.kill();
    assert!(world.serve().stop().success(), "the place of a killed server is free");
}

#[test]
fn an_address_in_use_is_refused_with_the_way_out() {
    let world = World::new();
    let server = world.serve();
    let other = World::new();

    let refused = other.serve_with(&["--http-listen", &server.http.to_string()]);

    check_refused(&refused.err().unwrap(), &["listening on", "in use", "CALLVEIL_HTTP_LISTEN"]);
}

#[test]
fn numbers_are_lent_by_a_running_server_within_a_second_of_their_import() {
    let world = World::new();
    let tenant = world.tenant("acme", 0);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let refused = client.post("", &order(1));
    assert_eq!((refused.status, refused.json()["code"].as_i64()), (452, Some(4)));

    let rows: String = (1..=2_500).map(|n| format!("{},MH,landline\n", virtual_number(n))).collect();
    let file = world.write("numbers.csv", &format!("number,region,number_type\n{rows}"));
    let added = world.json(&["number", "import", "--tenant", "acme", file.to_str().unwrap()]);
    assert_eq!(added["added"], 2_500);

    until("the first allocation", EFFECT, || client.post("", &order(1)).status == 200);
    world.json(&["number", "add", "--tenant", "acme", "--region", "KA", "--type", "mobile", "+918000009999"]);
    let wanted = json!({
        "connection_id": "order-2", "aparty_numbers": [party(4)], "bparty_numbers": [party(5)], "usage": "twoway",
        "preferences": {"region": "KA", "type": "mobile"}, "strictness": "true"
    });
    until("the number", EFFECT, || client.post("", &wanted).status == 200);
}

#[test]
fn a_faulty_file_imports_nothing_unless_told_to_keep_going() {
    let world = World::new();
    world.tenant("acme", 0);
    world.tenant("other", 1);
    let file = world.write(
        "numbers.csv",
        "number,region,number_type\n+918000000002,KA,mobile\n12345,KA,mobile\n+918000000003,KA,fixed\n\
         +918000000001,KA,mobile\n+918000000002,KA,mobile\n",
    );
    let import = ["number", "import", "--tenant", "acme", file.to_str().unwrap()];

    let refused = world.run(&import);
    check_refused(&refused, &["4 of 5 lines are faulty, and nothing was imported", "--keep-going"]);
    for line in [
        "line 3: ",
        "line 4: a number type is",
        "line 5: +918000000001 is in the pool of another tenant",
        "line 6: +918000000002 stands on line 2 already",
    ] {
        assert!(refused.stderr.contains(line), "{line}: {}", refused.stderr);
    }
    assert_eq!(world.json(&["number", "list", "--tenant", "acme"]), json!([]));

    let kept_going = world.run(&[&import[..], &["--keep-going", "--json"]].concat());
    assert_eq!(kept_going.code(), Some(1));
    let told: Value = serde_json::from_str(&kept_going.stdout).unwrap();
    assert_eq!((&told["added"], told["refused"].as_array().unwrap().len()), (&json!(1), 4));
    assert_eq!(world.json(&["number", "list", "--tenant", "acme"])[0]["number"], "+918000000002");
}

#[test]
fn a_revoked_key_is_refused_within_a_second() {
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    let server = world.serve();
    let mut client = tenant.client(&server);
    client.post("", &order(1)).data();
    let second = world.json(&["tenant", "key", "add", "acme"]);
    check_refused(
        &world.run(&["tenant", "key", "add", "acme"]),
        &["two live keys", "callveil tenant key revoke"],
    );

    world.json(&["tenant", "key", "revoke", "acme", &tenant.key]);

    until("the refusal", EFFECT, || client.post("", &order(2)).status == 401);
    let keys = world.json(&["tenant", "key", "list", "acme"]);
    assert_eq!(keys.as_array().unwrap().len(), 1);
    assert_eq!(keys[0]["api_key"], second["api_key"]);
}

#[test]
fn a_number_is_drained_before_it_is_removed() {
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    world.json(&["settings", "set", "--tenant", "acme", "deletion_time=2"]);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let created = client.post("", &order(1)).data();
    let number = virtual_number(1);
    let remove = ["number", "remove", "--tenant", "acme", &number];

    check_refused(&world.run(&remove), &["the number is open", &number, "callveil number drain"]);
    world.json(&["number", "drain", "--tenant", "acme", &number]);
    until("the drain", EFFECT, || client.post("", &order(2)).status == 452);
    check_refused(&world.run(&remove), &["lent or cooling still", &number, "callveil number list"]);

    client.delete(&format!("/{}", created["greenvn_id"].as_str().unwrap())).data();
    check_refused(&world.run(&remove), &["lent or cooling still"]);
    until("the end of cooling", SOON, || world.run(&remove).status.success());
    assert_eq!(world.json(&["number", "list", "--tenant", "acme"]), json!([]));
    check_refused(&world.run(&remove), &["the tenant's pool does not have the number"]);
}

#[test]
fn settings_are_set_all_or_none_and_hold_at_once() {
    let world = World::new();
    world.tenant("acme", 1);

    let refused =
        world.run(&["settings", "set", "--tenant", "acme", "deletion_time=60", "country=Atlantis", "x=1"]);
    check_refused(
        &refused,
        &["nothing was set", "country must be", "there is no setting 'x'", "callveil settings show"],
    );
    assert_eq!(world.json(&["settings", "show", "--tenant", "acme"])["deletion_time"], 0);

    let set = world.json(&["settings", "set", "--tenant", "acme", "deletion_time=60", "regions=KA,XX"]);
    assert_eq!(set, json!({"deletion_time": 60, "regions": "KA,XX"}));
    assert_eq!(world.json(&["settings", "show", "--tenant", "acme"])["deletion_time"], 60);
    check_refused(
        &world.run(&["settings", "show", "--tenant", "nobody"]),
        &["callveil tenant create nobody"],
    );
}

#[test]
fn a_backup_is_made_beside_a_server_and_restored_without_one() {
    let world = World::new();
    let tenant = world.tenant("acme", 5);
    let server = world.serve();
    let mut client = tenant.client(&server);
    let id = client.post("", &order(1)).data()["greenvn_id"].as_str().unwrap().to_owned();
    world.json(&["backup", "backup.db"]);
    let later = client.post("", &order(2)).data()["greenvn_id"].as_str().unwrap().to_owned();
    check_refused(&world.run(&["backup", "backup.db"]), &["there is a file backup.db already"]);
    let verified = world.json(&["verify", "--database", "sqlite:backup.db"]);
    assert_eq!((&verified["allocations"], &verified["findings"]), (&json!(1), &json!([])));

    check_refused(&world.run(&["restore", "backup.db"]), &["another server uses the database"]);
    client.get(&format!("/{later}")).data();
    assert!(server.stop().success());
    let restored = world.json(&["restore", "backup.db"]);
    assert_eq!(restored["findings"], json!([]));

    let server = world.serve();
    let mut client = tenant.client(&server);
    client.get(&format!("/{id}")).data();
    assert_eq!(client.get(&format!("/{later}")).status, 404);
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let world = World::new();
    world.tenant("acme", 1);
    world.write("nonsense.db", "nothing of ours");
    for file in ["nonsense.db", "missing.db"] {
        check_refused(&world.run(&["restore", file]), &["restoring", file]);
    }
    assert_eq!(world.json(&["tenant", "list"])[0]["sid"], "acme");
}

#[test]
fn check_tells_what_is_well_and_what_is_not() {
    let world = World::new();
    let empty = world.json(&["check"]);
    let states = |points: &Value| -> Vec<(String, String)> {
        let text = |point: &Value, key: &str| point[key].as_str().unwrap().to_owned();
        points.as_array().unwrap().iter().map(|p| (text(p, "name"), text(p, "state"))).collect()
    };
    assert!(states(&empty).contains(&("database".to_owned(), "warning".to_owned())), "{empty}");

    world.tenant("acme", 1);
    let server = world.serve();
    let (http, metrics) = (server.http.to_string(), server.metrics.to_string());
    let well = world.json(&["check", "--http-listen", &http, "--metrics-listen", &metrics]);
    assert!(states(&well).iter().all(|(_, state)| state == "ok"), "{well}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = world.run(&["check", "--http-listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(ran.code(), Some(1));
    assert!(
        ran.stdout.contains("failure  API listener") && ran.stdout.contains("CALLVEIL_HTTP_LISTEN"),
        "{ran:?}"
    );
}

#[test]
fn a_request_in_flight_is_finished_before_the_server_ends() {
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    let mut server = world.serve();
    let body = order(1).to_string();
    let mut connection = tenant.client(&server).begin("POST", "", &body, body.len() - 5).unwrap();
    let mut idle = tenant.client(&server);
    idle.get("?connection_id=order-1");

    server.signal(Signal::TERM);
    until("the closed door", SOON, || std::net::TcpStream::connect(server.http).is_err());
    assert!(server.is_running());
    connection.get_mut().write_all(&body.as_bytes()[body.len() - 5..]).unwrap();

    assert_eq!(read_answer(&mut connection).unwrap().data()["connection_id"], "order-1");
    assert!(server.ended().success());
    assert!(server.log().contains("all requests are finished"), "{}", server.log());
    assert!(!world.path("callveil.db-wal").exists(), "the database is one file again");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    let mut server = world.serve();
    let body = order(1).to_string();
    let _unfinished = tenant.client(&server).begin("POST", "", &body, 5).unwrap();
    server.signal(Signal::INT);
    until("the first", SOON, || server.log().contains("SIGINT: finishing"));

    server.signal(Signal::TERM);

    assert!(server.ended().success());
    assert!(server.log().contains("cut off"), "{}", server.log());
}

#[test]
fn the_log_of_a_busy_run_tells_nothing_that_is_secret() {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    let server = world.serve_with(&[]).unwrap();
    let mut client = tenant.client(&server);
    for n in 1..=20 {
        let mut new = order(n);
        new["aparty_pins"] = json!([483_920_000 + n]);
        let id = client.post("", &new).data()["greenvn_id"].as_str().unwrap().to_owned();
        client.post("", &new);
        client.put(
            &format!("/{id}/call-party"),
            &json!({"bparty_numbers": [party(500 + n)], "bparty_pins": [71_828_000 + n]}),
        );
        client.put(&format!("/{id}/call-party"), &json!({"bparty_numbers": ["+91995xxxx640", "12"]}));
        client.get(&format!("?number=%2B{}", &party(2 * n)[1..]));
        client.delete(&format!("/{id}"));
    }
    let mut stranger =
        crate::http::Client::new(server.http, "/v1/tenants/acme/greenvn", "acme", "not-the-token");
    assert_eq!(stranger.get("").status, 401);
    world.run(&["call", "simulate", "--from", &party(2), "--to", &virtual_number(1), "--pin", "483920001"]);
    let log_path = world.path("server.log");
    assert!(server.stop().success());

    let log = fs::read_to_string(log_path).unwrap();
    assert!(log.contains("answered 200") && log.contains("answered 401"), "{log}");
    let secrets = ["9199", "9180", "995xxxx640", "483920", "71828", &tenant.token, "not-the-token", "order-"];
    for secret in secrets {
        let told = log.lines().find(|line| without_ids(line).contains(secret));
        assert_eq!(told, None, "tells {secret}");
    }
}

/// A log line without what is random or counted: ids and times may hold any digits.
fn without_ids(line: &str) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    for key in ["timestamp", "micros", "span", "spans"] {
        line.as_object_mut().unwrap().remove(key);
    }
    line.to_string()
}

#[test]
fn the_demo_finds_its_tenant_again_and_its_requests_work_when_pasted() {
    let world = World::new();
    let server = world.serve_with(&["--demo"]).unwrap();
    let first = server.started["demo"].clone();
    assert!(server.stop().success());
    let credentials = fs::metadata(world.path("demo-credentials")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&credentials.permissions()) & 0o777, 0o600);

    let mut server = world.program();
    let mut server = server.args(["serve", "--demo"]).stdout(fs::File::create(world.path("said")).unwrap());
    server = server.stderr(std::process::Stdio::null());
    let mut server = server.spawn().unwrap();
    let said = || fs::read_to_string(world.path("said")).unwrap();
    until("the block", SOON, || said().contains("trial-call"));
    let commands: Vec<String> = said()
        .replace("\\\n", "")
        .lines()
        .map(str::trim)
        .filter(|l| l.starts_with("curl") || l.contains(" call simulate ") || l.contains(" trial-call "))
        .map(str::to_owned)
        .collect();
    assert_eq!(commands.len(), 4, "{}", said());
    for command in &commands {
        assert!(command.contains(first["api_token"].as_str().unwrap()) || command.contains("call"));
        let pasted = crate::world::finish(
            std::process::Command::new("sh").args(["-c", command]).current_dir(world.path("")),
        );
        assert!(
            pasted.stdout.contains("\"success\":true") || pasted.stdout.contains("connect"),
            "{command}: {pasted:?}"
        );
    }
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn what_is_too_old_is_thrown_away_at_once_when_somebody_says_so() {
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    let server = world.serve();
    let mut client = tenant.client(&server);
    for n in 1..=3 {
        let id = client.post("", &order(n)).data()["greenvn_id"].as_str().unwrap().to_owned();
        client.delete(&format!("/{id}"));
    }
    assert!(server.stop().success());
    assert_eq!(world.json(&["tidy"])["allocations"], 0, "it is kept for half a year");
    world.write("callveil.toml", "retention = \"1s\"\nclaim_memory = \"1s\"");

    let mut thrown_away = [0, 0];
    until("their time", SOON, || {
        let tidied = world.json(&["--config", "callveil.toml", "tidy"]);
        for (sum, what) in thrown_away.iter_mut().zip(["allocations", "claims"]) {
            *sum += tidied[what].as_u64().unwrap();
        }
        thrown_away[0] == 3
    });

    assert_eq!(world.json(&["verify"])["allocations"], 0);
    assert!(thrown_away[1] >= 9, "{thrown_away:?}");
    let by_month = world.run(&["tidy", "--by-month"]);
    assert!(by_month.stderr.contains("is a file of SQLite's"), "{by_month:?}");
}
