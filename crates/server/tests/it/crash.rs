//! The server is killed at random moments under load, and every change that it had answered must hold afterwards.
//!
//! `CALLVEIL_CRASH_CYCLES=1000 cargo test -p callveil-server --release crash -- --nocapture` is the longer form;
//! without the variable there are 50 cycles. What was in flight when the server died may have come about or not,
//! but one of the two, whole.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::http::{Answer, Client};
use crate::world::{Server, Tenant, World, party};

/// How many clients ask at a time.
const CLIENTS: usize = 8;

/// How many allocations a client keeps: all of them are looked at after each restart.
const KEPT: usize = 40;

/// The most changes that are answered before the server is killed.
const ANSWERS: usize = 250;

#[test]
fn what_was_answered_survives_a_killed_server() {
    let cycles: u32 =
        std::env::var("CALLVEIL_CRASH_CYCLES").map_or(50, |text| text.parse().expect("a count of cycles"));
    let seed: u64 = rand::random();
    println!("seed {seed}, {cycles} cycles");
    let mut chance = StdRng::seed_from_u64(seed);
    let world = World::new();
    let tenant = world.tenant("acme", 200);
    // No update is to be refused for its pins.
    world.json(&["settings", "set", "--tenant", "acme", "max_live_pins_per_vn=1000000"]);
    let mut books: Vec<Book> =
        (0..CLIENTS).map(|client| Book::new(client, StdRng::seed_from_u64(seed + client as u64))).collect();
    let mut figures = Figures::default();

    for cycle in 1..=cycles {
        if chance.random_ratio(1, 5) {
            kill_while_it_starts(&world, &mut chance);
            figures.killed_starting += 1;
        }
        let server = world.serve();
        for book in &mut books {
            figures += book.settle(&mut tenant.client(&server));
        }
        work_until_killed(server, &tenant, &mut books, &mut chance);
        if cycle % 10 == 0 || cycle == cycles {
            let verified = world.run(&["verify", "--json"]);
            assert!(verified.status.success(), "cycle {cycle}: {verified:?}");
        }
    }

    let server = world.serve();
    for book in &mut books {
        figures += book.settle(&mut tenant.client(&server));
    }
    assert!(server.stop().success());
    println!("{cycles} cycles: {figures:?}");
    assert!(figures.created > 0 && figures.updated > 0 && figures.ended > 0, "{figures:?}");
}

#[expect(clippy::disallowed_methods, reason = "the moment at which the server is killed is what is random")]
fn kill_while_it_starts(world: &World, chance: &mut StdRng) {
    let mut starting =
        world.program().arg("serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_micros(chance.random_range(0..60_000)));
    starting.kill().unwrap();
    starting.wait().unwrap();
}

/// Lets all clients change things until a random number of changes is answered, and a random moment after.
fn work_until_killed(server: Server, tenant: &Tenant, books: &mut [Book], chance: &mut StdRng) {
    let (answered, answers) = channel();
    let wanted = chance.random_range(1..=ANSWERS);
    let moment = Duration::from_micros(chance.random_range(0..5_000));
    thread::scope(|clients| {
        for book in books.iter_mut() {
            let (answered, client) = (answered.clone(), tenant.client(&server));
            clients.spawn(move || book.work(client, &answered));
        }
        drop(answered);
        wait_for(&answers, wanted, moment);
        server.kill();
    });
}

fn wait_for(answers: &Receiver<()>, wanted: usize, moment: Duration) {
    for _ in 0..wanted {
        answers.recv_timeout(crate::world::SOON).expect("the server answers");
    }
    // Nothing is sent on a channel that nobody knows, so this waits for the moment.
    let (_nobody, silence) = channel::<()>();
    let _ = silence.recv_timeout(moment);
}

/// What one client knows of its own allocations, which no other client touches.
struct Book {
    chance: StdRng,
    /// Orders are named, and parties numbered, so that no two clients meet.
    next: usize,
    /// Every allocation that is known to be lent, with what it must be.
    lent: BTreeMap<String, Lent>,
    /// What was asked last and got no answer.
    open: Option<Open>,
    /// Those whose end was answered since the last look.
    ended: Vec<String>,
    figures: Figures,
}

/// What a client may see of an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lent {
    connection: String,
    b: String,
    pins: Vec<u64>,
}

/// A change that may have come about.
enum Open {
    Create(Lent),
    Update(String, Lent),
    End(String),
}

/// What was done in all.
#[derive(Debug, Default)]
struct Figures {
    created: u64,
    updated: u64,
    ended: u64,
    /// Changes that were in flight when the server died, and had come about.
    open_and_done: u64,
    /// And those that had not.
    open_and_undone: u64,
    checked: u64,
    killed_starting: u64,
}

static PARTIES: AtomicUsize = AtomicUsize::new(1);

fn fresh_party() -> String {
    party(PARTIES.fetch_add(1, Ordering::Relaxed))
}

impl Book {
    fn new(client: usize, chance: StdRng) -> Book {
        Book {
            chance,
            next: client,
            lent: BTreeMap::new(),
            open: None,
            ended: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Changes one thing after the other until the server is gone.
    fn work(&mut self, mut client: Client, answered: &Sender<()>) {
        loop {
            let change = self.choose();
            let asked = change.ask(&mut client);
            self.open = Some(change);
            // A refused connection has done nothing, but neither is there anything more to do.
            let Ok(answer) = asked else { return };
            self.note(&answer);
            // Nobody counts any more once the server is about to be killed.
            let _ = answered.send(());
        }
    }

    fn choose(&mut self) -> Open {
        let known = self.lent.len();
        match self.chance.random_range(0..10) {
            5..=7 if known > 0 => {
                let (id, lent) = self.any();
                let pins = (0..self.chance.random_range(0..3)).map(|_| self.pin()).collect();
                Open::Update(id, Lent { b: fresh_party(), pins, ..lent })
            }
            8..=9 if known > 5 => Open::End(self.any().0),
            0..=4 if known > KEPT => Open::End(self.any().0),
            _ => {
                self.next += CLIENTS;
                Open::Create(Lent {
                    connection: format!("order-{}", self.next),
                    b: fresh_party(),
                    pins: vec![],
                })
            }
        }
    }

    fn any(&mut self) -> (String, Lent) {
        let nth = self.chance.random_range(0..self.lent.len());
        let (id, lent) = self.lent.iter().nth(nth).unwrap();
        (id.clone(), lent.clone())
    }

    /// Of fifteen digits, so that none is met twice.
    fn pin(&mut self) -> u64 {
        self.chance.random_range(100_000_000_000_000..1_000_000_000_000_000)
    }

    /// Writes down a change that was answered.
    fn note(&mut self, answer: &Answer) {
        let change = self.open.take().expect("a change was asked for");
        assert_eq!(answer.status, 200, "{answer:?}");
        match change {
            Open::Create(lent) => {
                let id = answer.data()["greenvn_id"].as_str().unwrap().to_owned();
                self.lent.insert(id, lent);
                self.figures.created += 1;
            }
            Open::Update(id, lent) => {
                self.lent.insert(id, lent);
                self.figures.updated += 1;
            }
            Open::End(id) => {
                self.lent.remove(&id);
                self.ended.push(id);
                self.figures.ended += 1;
            }
        }
    }

    /// After a restart: everything answered must hold, and what was open is found out.
    fn settle(&mut self, client: &mut Client) -> Figures {
        if let Some(open) = self.open.take() {
            let done = self.find_out(open, client);
            *(if done { &mut self.figures.open_and_done } else { &mut self.figures.open_and_undone }) += 1;
        }
        for (id, lent) in &self.lent {
            let seen = client.get(&format!("/{id}")).data();
            assert_eq!((&Lent::of(&seen), seen["state"].as_str()), (lent, Some("active")), "{id}");
        }
        for id in self.ended.drain(..) {
            assert_eq!(client.get(&format!("/{id}")).data()["state"], "vault", "{id}");
            self.figures.checked += 1;
        }
        self.figures.checked += self.lent.len() as u64;
        std::mem::take(&mut self.figures)
    }

    /// Whether an open change has come about. It is noted down as it is, and anything in between fails.
    fn find_out(&mut self, open: Open, client: &mut Client) -> bool {
        match open {
            Open::Create(lent) => {
                let found = client.get(&format!("?connection_id={}", lent.connection)).data();
                let Some(seen) = found.as_array().unwrap().first() else { return false };
                assert_eq!(Lent::of(seen), lent);
                self.lent.insert(seen["greenvn_id"].as_str().unwrap().to_owned(), lent);
                true
            }
            Open::Update(id, lent) => {
                let seen = Lent::of(&client.get(&format!("/{id}")).data());
                let done = seen == lent;
                assert!(done || seen == self.lent[&id], "{id} is {seen:?}");
                self.lent.insert(id, seen);
                done
            }
            Open::End(id) => {
                let done = client.get(&format!("/{id}")).data()["state"] == "vault";
                if done {
                    self.lent.remove(&id);
                }
                done
            }
        }
    }
}

impl Open {
    fn ask(&self, client: &mut Client) -> std::io::Result<Answer> {
        match self {
            Open::Create(Lent { connection, b, pins }) => {
                let new = json!({
                    "connection_id": connection, "aparty_numbers": [fresh_party()], "bparty_numbers": [b],
                    "bparty_pins": pins, "usage": "twoway"
                });
                client.try_ask("POST", "", Some(&new))
            }
            Open::Update(id, Lent { connection: _, b, pins }) => {
                let new = json!({"bparty_numbers": [b], "bparty_pins": pins});
                client.try_ask("PUT", &format!("/{id}/call-party"), Some(&new))
            }
            Open::End(id) => client.try_ask("DELETE", &format!("/{id}"), None),
        }
    }
}

impl Lent {
    fn of(seen: &Value) -> Lent {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Lent {
            connection: text(&seen["connection_id"]),
            b: text(&seen["bparty_numbers"][0]),
            pins: seen["bparty_pins"].as_array().unwrap().iter().map(|pin| pin.as_u64().unwrap()).collect(),
        }
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        let Figures { created, updated, ended, open_and_done, open_and_undone, checked, killed_starting } =
            other;
        self.created += created;
        self.updated += updated;
        self.ended += ended;
        self.open_and_done += open_and_done;
        self.open_and_undone += open_and_undone;
        self.checked += checked;
        self.killed_starting += killed_starting;
    }
}
