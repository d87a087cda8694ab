//! No event is lost by failing receivers and killed servers: lives of allocations and real calls, against what the
//! program itself has on record.
//!
//! `CALLVEIL_LOSS_EVENTS=100000 CALLVEIL_LOSS_KILLS=20 cargo test --release -p callveil-server --test it no_event_is_lost
//! -- --nocapture` is the longer form.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use callveil_domain::delivery::DeliveryState;
use callveil_domain::store::{DeliveryQuery, EventQuery, Order};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::world::virtual_number;

/// How many clients make things happen at a time.
const CLIENTS: usize = 4;

/// Over how many virtual numbers calls go.
const LINES: usize = 40;

/// How many calls begin in a second.
const CALLS_A_SECOND: u32 = if cfg!(debug_assertions) { 50 } else { 250 };

/// The message that is left without an answer for certain; others are by chance. Each takes a quarter of a minute.
const HANGS_AT: usize = 50;

#[test]
fn no_event_is_lost_by_failing_receivers_and_killed_servers() {
    let events = count("CALLVEIL_LOSS_EVENTS", 3_000);
    let kills = count("CALLVEIL_LOSS_KILLS", 3);
    // A life is told in three events, a call in four.
    let (lives, calls) = ((events * 2 / 3).div_ceil(3), (events / 3).div_ceil(4));
    let seed: u64 = rand::random();
    println!("seed {seed}, {events} events, {calls} calls, {kills} kills");
    let bound = Duration::from_secs(120 + events as u64 / 100);
    let came = Arc::new(Came::default());
    let receiver = Receiver::start(unreliable(seed, Arc::clone(&came)));
    let (world, tenant, config) = world();
    add_endpoint(&world, &receiver);
    let telephone = Sipp::answers(&world);
    let target = telephone.address.to_string();
    world.json(&["trunk", "add", "carrier", "--source", "127.0.0.1", "--target", &target, "probe=off"]);

    // 1. Lives of allocations and calls, and a server that is killed among them.
    let next = AtomicUsize::new(1);
    let mut lived = BTreeSet::new();
    let mut records = Vec::new();
    let share = |of: usize, round: usize| (of * (round + 1)).div_ceil(kills + 1);
    for round in 0..=kills {
        let server = serve(&world, &config);
        if round == 0 {
            lend_lines(&tenant, &server);
        }
        let last = round == kills;
        let talking = Sipp::calls(&world, &server, last.then(|| share(calls, 0)));
        // Whoever has lived a life waits until it is counted.
        let (answered, answers) = sync_channel(0);
        thread::scope(|clients| {
            for _ in 0..CLIENTS {
                let (answered, client) = (answered.clone(), tenant.client(&server));
                clients.spawn(|| live(client, &next, answered));
            }
            drop(answered);
            if !last {
                let talked = || came.answered.load(Ordering::Relaxed) >= share(calls, round);
                until("calls", bound, talked);
            }
            lived.extend(answers.iter().take(share(lives, round) - lived.len()));
            // The clients end when nobody counts any more.
            drop(answers);
            if !last {
                server.kill();
                return;
            }
            // 2. Until nothing is owed any more.
            talking.comes_to_its_end(bound, &server);
            until("the end of what is owed", bound, || pending(&world) == 0);
            records = listed(&tenant, &server, "calls?");
            assert!(server.stop().success());
        });
    }

    // 3. What the program has on record, and what the receiver took.
    let taken = receiver.taken();
    let first_taken = first_of_each(&taken);
    let known = events_of(&world);
    let lost: Vec<_> = known.iter().filter(|event| !first_taken.contains_key(event.0.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), known.len());
    assert_eq!(first_taken.len(), known.len(), "nothing is told that did not happen");
    check_order(&known, &first_taken);
    let allocations = check_lives(&lived, &first_taken);
    let interrupted = check_calls(&records, &first_taken);
    assert!(
        records.len() - interrupted >= share(calls, 0),
        "each call of the last round has come to its end"
    );
    assert!(came.left_hanging.load(Ordering::Relaxed) > 0);
    println!(
        "{} events of {allocations} allocations and {} calls ({interrupted} interrupted), {kills} kills: 0 lost, {} \
         refused by the receiver, {} left without an answer, {} repeated with the same id",
        known.len(),
        records.len(),
        receiver.refused.load(Ordering::Relaxed),
        came.left_hanging.load(Ordering::Relaxed),
        taken.len() - known.len(),
    );
}

fn count(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a count"))
}

/// What the receiver counts.
#[derive(Default)]
struct Came {
    messages: AtomicUsize,
    /// Messages that tell that a call was answered.
    answered: AtomicUsize,
    left_hanging: AtomicUsize,
}

/// Fails a fifth of what comes, in every way that there is.
fn unreliable(seed: u64, came: Arc<Came>) -> impl FnMut(&Taken) -> Reply + Send + 'static {
    let mut chance = StdRng::seed_from_u64(seed);
    move |message| {
        let nth = came.messages.fetch_add(1, Ordering::Relaxed);
        if nth == HANGS_AT || chance.random_ratio(1, 5_000) {
            came.left_hanging.fetch_add(1, Ordering::Relaxed);
            return Reply::Hang;
        }
        match chance.random_range(0..1_000) {
            0..120 => Reply::Answer("500 Internal Server Error"),
            // Each has the endpoint left alone for a second.
            120 => Reply::Answer("429 Too Many Requests\r\nretry-after: 1"),
            121..200 => Reply::Close,
            _ => {
                if message.body.contains("\"call.answered\"") {
                    came.answered.fetch_add(1, Ordering::Relaxed);
                }
                Reply::Take
            }
        }
    }
}

/// The two people of a line: none of those whose allocations come and go.
fn people(line: usize) -> [String; 2] {
    [party(90_000_000 + 2 * line), party(90_000_001 + 2 * line)]
}

fn lend_lines(tenant: &Tenant, server: &Server) {
    let mut client = tenant.client(server);
    for line in 1..=LINES {
        let [a, b] = people(line);
        let order = json!({
            "connection_id": format!("line-{line}"), "aparty_numbers": [a], "bparty_numbers": [b],
            "usage": "twoway", "preferences": {"greenvn": virtual_number(line)}, "strictness": true,
        });
        client.post("", &order).data();
    }
}

/// Lives one allocation after the other until the server is gone or nobody counts any more.
fn live(mut client: Client, next: &AtomicUsize, answered: SyncSender<String>) {
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        // What was not answered may have come about or not.
        let Ok(id) = life(&mut client, n) else { return };
        if answered.send(id).is_err() {
            return;
        }
    }
}

/// A telephone that SIPp plays. It ends with this value.
struct Sipp {
    child: Child,
    address: SocketAddr,
    /// What it had to say.
    errors: PathBuf,
}

impl Sipp {
    /// Answers every call.
    fn answers(world: &World) -> Sipp {
        let sipp = Sipp::play(world, "uas.xml", &[]);
        until("SIPp listens", crate::world::SOON, || UdpSocket::bind(sipp.address).is_err());
        sipp
    }

    /// Makes calls over all lines, so many, or until it is ended.
    fn calls(world: &World, server: &Server, count: Option<usize>) -> Sipp {
        let digits = |number: String| number.trim_start_matches('+').to_owned();
        let line = |n| format!("{};{};\n", digits(people(n)[0].clone()), digits(virtual_number(n)));
        let rows: String = (1..=LINES).map(line).collect();
        let rows = world.write("people.csv", &format!("SEQUENTIAL\n{rows}"));
        let (to, rate) = (server.sip().to_string(), CALLS_A_SECOND.to_string());
        let mut arguments = vec![&to, "-inf", rows.to_str().unwrap(), "-d", "100", "-r", &rate, "-l", "400"];
        let count = count.map(|count| count.to_string());
        arguments.extend(count.iter().flat_map(|count| ["-m", count]));
        Sipp::play(world, "uac.xml", &arguments)
    }

    fn play(world: &World, scenario: &str, arguments: &[&str]) -> Sipp {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/sipp").join(scenario);
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let errors = world.path(&format!("{scenario}.{}.errors", address.port()));
        let child = Command::new("sipp")
            .current_dir(world.path(""))
            .arg("-sf")
            .arg(file)
            .args(["-i", "127.0.0.1", "-p", &address.port().to_string(), "-nostdin", "-skip_rlimit"])
            .args(["-trace_err", "-error_file"])
            .arg(&errors)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sipp is installed (scripts/setup-tests)");
        Sipp { child, address, errors }
    }

    /// Waits until all of its calls have come to their good end.
    fn comes_to_its_end(mut self, bound: Duration, server: &Server) {
        let mut ended = None;
        until("the last call", bound, || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        let errors = fs::read_to_string(&self.errors).unwrap_or_default();
        assert!(ended.is_some_and(|ended| ended.success()), "{ended:?}: {errors}\n{}", server.log());
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pending(world: &World) -> usize {
    let store = open(world);
    let wanted = DeliveryQuery { state: Some(DeliveryState::Pending), ..DeliveryQuery::newest(1) };
    now(store.deliveries(&acme(), wanted)).unwrap().len()
}

/// An event that the store has: its id, its line and its place in it.
type Known = (String, [u8; 16], u64);

/// Every event that the store has.
fn events_of(world: &World) -> Vec<Known> {
    let store = open(world);
    let mut found = Vec::new();
    let mut past = None;
    loop {
        let wanted = EventQuery {
            from: Timestamp::EPOCH,
            to: Timestamp::NEVER,
            kind: None,
            allocation: None,
            call: None,
            order: Order::Oldest,
            past,
            limit: 1_000,
        };
        let page = now(store.events(&acme(), wanted)).unwrap();
        let Some(last) = page.last() else { return found };
        past = Some(last.id);
        found.extend(page.into_iter().map(|event| (event.id.to_string(), event.line.0, event.sequence)));
    }
}

/// Of each id the first message that was taken, and its place among all. Whatever follows it says the same.
fn first_of_each(taken: &[Taken]) -> BTreeMap<&str, (usize, Value)> {
    let mut first: BTreeMap<&str, (usize, &Taken)> = BTreeMap::new();
    for (n, message) in taken.iter().enumerate() {
        let (_, before) = first.entry(&message.id).or_insert((n, message));
        assert_eq!(before.body, message.body, "a repeat says the same");
    }
    first.into_iter().map(|(id, (n, message))| (id, (n, message.json()))).collect()
}

/// What is of one line came in the order of that line.
fn check_order(known: &[Known], first_taken: &BTreeMap<&str, (usize, Value)>) {
    let mut lines: BTreeMap<[u8; 16], Vec<(u64, usize)>> = BTreeMap::new();
    for (id, line, sequence) in known {
        lines.entry(*line).or_default().push((*sequence, first_taken[id.as_str()].0));
    }
    for (line, mut told) in lines {
        told.sort_unstable();
        assert!(told.is_sorted_by_key(|(_, place)| *place), "{line:?} came in the order {told:?}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Each answered step of each life is told. Answers with how many allocations there were.
fn check_lives(lived: &BTreeSet<String>, first_taken: &BTreeMap<&str, (usize, Value)>) -> usize {
    let mut told_of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let of_allocations = |event: &&Value| text(&event["type"]).starts_with("allocation.");
    for event in first_taken.values().map(|(_, event)| event).filter(of_allocations) {
        told_of.entry(text(&event["data"]["greenvn_id"])).or_default().insert(text(&event["type"]));
    }
    for id in lived {
        assert_eq!(told_of[id].len(), 3, "each answered step of {id} is told: {:?}", told_of[id]);
    }
    told_of.len()
}

/// Each call on record is told step by step, each step once, and none is told that is not on record. Answers with how many
/// were interrupted.
fn check_calls(records: &[Value], first_taken: &BTreeMap<&str, (usize, Value)>) -> usize {
    let mut told_of: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
    let of_calls = |event: &&Value| text(&event["type"]).starts_with("call.");
    for event in first_taken.values().map(|(_, event)| event).filter(of_calls) {
        let sequence = event["sequence"].as_u64().unwrap();
        let steps = told_of.entry(text(&event["data"]["call_sid"])).or_default();
        assert_eq!(steps.insert(sequence, text(&event["type"])), None, "one step at a time: {event}");
    }
    for record in records {
        let told: Vec<String> =
            told_of.remove(record["call_sid"].as_str().unwrap()).unwrap_or_default().into_values().collect();
        assert_eq!(told, steps_of(record), "{record:#}");
    }
    assert!(told_of.is_empty(), "not on record: {told_of:?}");
    records.iter().filter(|record| record["end"] == "interrupted").count()
}

/// What a call's record has seen, in the words of its events.
fn steps_of(record: &Value) -> Vec<&'static str> {
    let rang = record["legs"].as_array().unwrap().iter().any(|leg| !leg["rang_at"].is_null());
    let end = match record["end"].as_str() {
        Some("refused") => Some("call.refused"),
        Some(_) => Some("call.completed"),
        None => None,
    };
    let mut steps = vec!["call.started"];
    steps.extend(rang.then_some("call.ringing"));
    steps.extend((!record["answered_at"].is_null()).then_some("call.answered"));
    steps.extend(end);
    steps
}
