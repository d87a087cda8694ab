//! Events on their way from the program to receivers: signed, in order, and as they are documented. That none is lost is
//! shown in `loss` and `outage`.

mod loss;
mod outage;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callveil_domain::endpoint::{Dialect, Endpoint, EndpointId, Secret};
use callveil_domain::event::{Event, EventId, EventKind};
use callveil_domain::settings::Settings;
use callveil_domain::store::{Change, DirectoryWrite, Outcome, Store};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_store::sqlite::{Mode, SqliteStore};
use callveil_webhooks::sign::{seconds, signatures};
use callveil_webhooks::{bodies, sample};
use serde_json::{Value, json};

use crate::http::Client;
use crate::samples::need;
use crate::world::{Server, Tenant, World, finish_within, party, until};

/// What a receiver took.
#[derive(Clone, Debug)]
pub struct Taken {
    id: String,
    signature: String,
    timestamp: String,
    pub body: String,
}

impl Taken {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What a receiver does with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Take,
    Answer(&'static str),
    Close,
    Hang,
}

/// A receiver on loopback. Its threads end with the test.
pub struct Receiver {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    refused: Arc<AtomicUsize>,
}

impl Receiver {
    /// `reply` is asked one message after the other.
    pub fn start(reply: impl FnMut(&Taken) -> Reply + Send + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap(),
            taken: Arc::default(),
            refused: Arc::default(),
        };
        let (taken, refused) = (Arc::clone(&receiver.taken), Arc::clone(&receiver.refused));
        let reply = Arc::new(Mutex::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, refused, reply) = (Arc::clone(&taken), Arc::clone(&refused), Arc::clone(&reply));
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(message) = read(&mut stream) {
                        let reply = reply.lock().unwrap()(&message);
                        match reply {
                            Reply::Take => taken.lock().unwrap().push(message),
                            Reply::Answer(_) | Reply::Close | Reply::Hang => {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        if !answer(stream.get_mut(), reply) {
                            return;
                        }
                    }
                });
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn read(stream: &mut BufReader<TcpStream>) -> Option<Taken> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    let header = |name: &str| headers[name].clone();
    Some(Taken {
        id: header("webhook-id"),
        signature: header("webhook-signature"),
        timestamp: header("webhook-timestamp"),
        body: String::from_utf8(body).unwrap(),
    })
}

/// Whether the connection is used on.
fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    match reply {
        Reply::Take => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok(),
        Reply::Answer(head) => {
            stream.write_all(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n").as_bytes()).is_ok()
        }
        Reply::Close => false,
        // Until the other side has had enough.
        Reply::Hang => {
            let _ = stream.read(&mut [0]);
            false
        }
    }
}

/// A world whose server sends to loopback, and tries again soon.
fn world() -> (World, Tenant, String) {
    furnished(World::new())
}

/// The tenant `acme` in this world, and the configuration.
fn furnished(world: World) -> (World, Tenant, String) {
    let tenant = world.tenant("acme", 200);
    let retries = vec!["\"1s\""; 24].join(", ");
    let text = format!("[webhooks]\nallow = [\"127.0.0.0/8\"]\nallow_http = true\nretries = [{retries}]\n");
    let file = world.write("callveil.toml", &text).to_str().unwrap().to_owned();
    (world, tenant, file)
}

fn open(world: &World) -> SqliteStore {
    SqliteStore::open(&world.path("callveil.db"), Mode::Tool).unwrap()
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn acme() -> Sid {
    Sid::parse("acme").unwrap()
}

const KEY: [u8; 32] = [9; 32];

fn endpoint(url: String) -> Endpoint {
    Endpoint {
        id: EndpointId::parse("ep_1").unwrap(),
        dialect: Dialect::Standard,
        url,
        kinds: Vec::new(),
        masked: false,
        secrets: vec![Secret { key: KEY, until: None }],
        created_at: Timestamp::EPOCH,
        disabled: None,
    }
}

fn add_endpoint(world: &World, receiver: &Receiver) {
    let endpoint = endpoint(receiver.url());
    let store = open(world);
    let mut change = Change::at(now(store.latest_moment()).unwrap());
    change.directory.push(DirectoryWrite::PutEndpoint { tenant: acme(), endpoint });
    assert_eq!(now(store.apply(change)).unwrap(), Outcome::Applied);
}

fn serve(world: &World, config: &str) -> Server {
    world.serve_with(&["--config", config]).unwrap_or_else(|refused| panic!("{refused:?}"))
}

/// What the tenant reads of this list, in all pages.
fn listed(tenant: &Tenant, server: &Server, list: &str) -> Vec<Value> {
    let base = format!("/v1/tenants/{}", tenant.sid);
    let mut client = Client::new(server.http, &base, &tenant.key, &tenant.token);
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/{list}page_size=100{cursor}"));
        all.extend(page.data().as_array().unwrap().clone());
        let Some(next) = page.json()["metadata"]["next_cursor"].as_str().map(str::to_owned) else {
            return all;
        };
        cursor = format!("&cursor={next}");
    }
}

/// The life of one allocation, which is told in three events: answers to its id if all of it was answered.
fn life(client: &mut Client, n: usize) -> std::io::Result<String> {
    let create = json!({
        "connection_id": format!("order-{n}"),
        "aparty_numbers": [party(2 * n)],
        "bparty_numbers": [party(2 * n + 1)],
        "usage": "twoway",
    });
    let made = client.try_ask("POST", "", Some(&create))?;
    assert_eq!(made.status, 200, "{made:?}");
    let id = made.data()["greenvn_id"].as_str().unwrap().to_owned();
    let update = json!({"bparty_numbers": [party(2 * n + 1)], "usage": "oneway"});
    let updated = client.try_ask("PUT", &format!("/{id}/call-party"), Some(&update))?;
    assert_eq!(updated.status, 200, "{updated:?}");
    let ended = client.try_ask("DELETE", &format!("/{id}"), None)?;
    assert_eq!(ended.status, 200, "{ended:?}");
    Ok(id)
}

#[test]
fn what_happens_is_told_signed_and_in_order() {
    let receiver = Receiver::start(|_| Reply::Take);
    let (world, tenant, config) = world();
    add_endpoint(&world, &receiver);
    let server = serve(&world, &config);

    let id = life(&mut tenant.client(&server), 1).unwrap();
    until("the third event", crate::world::SOON, || receiver.taken().len() == 3);

    let taken = receiver.taken();
    let told: Vec<(Value, Value)> = taken
        .iter()
        .map(Taken::json)
        .map(|event| (event["type"].clone(), event["data"]["greenvn_id"].clone()))
        .collect();
    let kinds = ["allocation.created", "allocation.updated", "allocation.released"];
    assert_eq!(told, kinds.map(|kind| (json!(kind), json!(id))));
    for Taken { id, signature, timestamp, body } in &taken {
        let at = Timestamp::from_micros(timestamp.parse::<i64>().unwrap() * 1_000_000);
        let signed = signatures(id, at, body.as_bytes(), [KEY.as_slice()]);
        assert_eq!(signature, &signed);
    }
    assert!(server.stop().success());
}

/// The nth event of a test. By the id of a sample it would have been kept long enough.
fn event(n: u8, kind: EventKind, at: Timestamp) -> Event {
    let mut id = *EventId::least_at(at).as_bytes();
    id[15] = n;
    Event { id: EventId::from_bytes(id), ..sample::event(kind, &acme(), at) }
}

/// A client reads one form, whether it is sent events or fetches them.
#[test]
fn the_api_tells_an_event_as_a_webhook_does() {
    let (world, tenant, config) = world();
    let store = open(&world);
    let moment = now(store.latest_moment()).unwrap();
    let mut change = Change::at(moment);
    change.events = (1..).zip(EventKind::ALL).map(|(n, kind)| event(n, kind, moment)).collect();
    let events = change.events.clone();
    assert_eq!(now(store.apply(change)).unwrap(), Outcome::Applied);
    let endpoint = endpoint("https://example.com/hook".to_owned());
    let server = serve(&world, &config);
    let base = format!("/v1/tenants/{}/events", tenant.sid);
    let mut client = Client::new(server.http, &base, &tenant.key, &tenant.token);

    for event in events {
        let sent = bodies::body(&event, &endpoint, &Settings::default(), &|_| None).unwrap();
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(client.get(&format!("/{}", event.id)).data(), sent, "{}", event.kind());
    }
}

#[test]
fn a_sample_is_sent_and_its_answer_shown() {
    let (world, _, config) = world();
    let taking = Receiver::start(|_| Reply::Take);
    let url = taking.url();

    let shown = world.json(&["--config", &config, "webhook", "test", &url]);
    let taken = taking.taken().remove(0);
    assert_eq!((&shown["answer"], &shown["taken"]), (&json!("200 OK"), &json!(true)));
    assert_eq!(shown["webhook_signature"], json!(taken.signature));
    assert_eq!(shown["body"], json!(taken.body));
    assert_eq!(taken.json()["type"], "call.completed");

    let refusing = Receiver::start(|_| Reply::Answer("503 Busy\r\nretry-after: 7"));
    let refused = world.run(&["--config", &config, "webhook", "test", &refusing.url()]);
    assert_eq!(refused.code(), Some(1));
    assert!(
        refused.stdout.contains("not taken: 503 Service Unavailable, to be asked again in 7 s"),
        "{refused:?}"
    );

    let elsewhere = world.run(&["webhook", "test", "https://127.0.0.1/"]);
    assert_eq!(elsewhere.code(), Some(1));
    assert!(elsewhere.stdout.contains("not taken: the address is not a public one"), "{elsewhere:?}");
}

/// Gives a sample a message by environment and standard input, and answers whether it took it for genuine.
#[track_caller]
fn is_genuine(program: &str, arguments: &[&str], sample: &str, message: &Taken) -> bool {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webhooks").join(sample);
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body");
    fs::write(&body, &message.body).unwrap();
    // The first build of Go's standard library may take minutes on a small machine.
    let ran = finish_within(
        Command::new(program)
            .args(arguments)
            .arg(&file)
            .env("WEBHOOK_SECRET", callveil_webhooks::sign::write_secret(&KEY))
            .env("WEBHOOK_ID", &message.id)
            .env("WEBHOOK_TIMESTAMP", &message.timestamp)
            .env("WEBHOOK_SIGNATURE", &message.signature)
            .stdin(File::open(&body).unwrap()),
        Duration::from_secs(300),
    );
    // `go run` ends with 1 whatever the program ended with, and tells on standard error.
    assert!(matches!(ran.code(), Some(0 | 1)), "{sample}: {ran:?}");
    assert!(ran.stderr.is_empty() || ran.stderr.trim() == "exit status 1", "{sample}: {ran:?}");
    ran.code() == Some(0)
}

#[track_caller]
fn check_sample(program: &str, arguments: &[&str], sample: &str) {
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webhooks").join(sample),
    );
    assert!(
        include_str!("../../../../docs/webhooks.md").contains(text.unwrap().trim_end()),
        "docs/webhooks.md shows another {sample}"
    );
    let body = r#"{"type":"call.completed","data":{"from":"+12025550101"}}"#;
    let message = |at: Timestamp, secrets: &[&[u8]]| Taken {
        id: "0199-event".to_owned(),
        signature: signatures("0199-event", at, body.as_bytes(), secrets.iter().copied()),
        timestamp: seconds(at).to_string(),
        body: body.to_owned(),
    };
    let now = callveil_server::clock::wall_time();
    let fresh = message(now, &[&KEY]);
    let old = message(now.minus(Duration::from_secs(400)), &[&KEY]);
    let rotated = message(now, &[&[1; 32], &KEY]);
    let of_another = message(now, &[&[1; 32]]);
    let altered = Taken { body: body.replace("0101", "0102"), ..fresh.clone() };
    let genuine = |message: &Taken| is_genuine(program, arguments, sample, message);
    assert_eq!(
        [&fresh, &rotated, &old, &of_another, &altered].map(genuine),
        [true, true, false, false, false],
        "{sample}: fresh, rotated, old, of another, altered"
    );
}

#[test]
fn the_openssl_sample_knows_what_is_genuine() {
    need("openssl", &["version"], "openssl");
    check_sample("sh", &[], "verify.sh");
}

#[test]
fn the_node_sample_knows_what_is_genuine() {
    need("node", &["--version"], "nodejs");
    check_sample("node", &[], "verify.js");
}

#[test]
fn the_python_sample_knows_what_is_genuine() {
    need("/usr/bin/python3", &["--version"], "python3");
    check_sample("/usr/bin/python3", &[], "verify.py");
}

#[test]
fn the_php_sample_knows_what_is_genuine() {
    need("php", &["--version"], "php-cli");
    check_sample("php", &[], "verify.php");
}

#[test]
fn the_go_sample_knows_what_is_genuine() {
    need("go", &["version"], "golang-go");
    check_sample("go", &["run"], "verify.go");
}
