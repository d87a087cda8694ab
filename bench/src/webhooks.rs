//! Webhooks: how many are delivered, how soon while one receiver hangs, and what they cost those who cause them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use bytes::Bytes;
use callveil_domain::delivery::{Delivery, DeliveryWrite};
use callveil_domain::endpoint::{Dialect, Endpoint, EndpointId, Secret};
use callveil_domain::event::{Event, EventId, EventKind, Line};
use callveil_domain::node::Node;
use callveil_domain::store::{Change, DirectoryWrite, Outcome};
use callveil_domain::tenant::Sid;
use callveil_webhooks::client::{Answer, Client, Message, Patience};
use callveil_webhooks::courier::{Courier, Terms};
use callveil_webhooks::guard::Guard;
use callveil_webhooks::resolve::Resolver;
use callveil_webhooks::{bodies, retry, sample};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::figures::{Latencies, median, report, say};
use crate::load::now;
use crate::world::{self, TENANT, World};
use crate::{ROUNDS, requests, send};

/// How many endpoints there are.
const ENDPOINTS: usize = 10;

/// How many events each of them is owed.
const EVENTS: u64 = 10_000;

/// How many messages the bare client has under way: as many as the courier at its widest.
const UNDER_WAY: usize = 64 * ENDPOINTS;

/// How long anything here may take.
const BOUND: Duration = Duration::from_secs(300);

pub async fn webhooks() -> anyhow::Result<()> {
    say("\nWebhooks: 10,000 events to each of 10 endpoints on loopback, SQLite with synchronous=FULL");
    let (mut bare, mut delivered) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bare_client().await?);
        delivered.push(deliver_all().await?);
    }
    let (bare, delivered) = (median(bare), median(delivered));
    say(&format!("  ceiling: bare client {bare:.0}/s"));
    report("deliveries, durable", &format!("{delivered:.0}/s"), "at least 2,000/s", delivered >= 2_000.0);
    let ratio = delivered / bare;
    report("deliveries / bare client", &format!("{ratio:.2}"), "at least 0.5", ratio >= 0.5);
    let mut alone = one_at_a_time().await?;
    say(&format!(
        "  first attempt of a single event: p50 {:.1} ms, p99 {:.1} ms",
        alone.percentile(0.5),
        alone.percentile(0.99)
    ));
    let mut many = first_attempts().await?;
    let (p50, p99) = (many.percentile(0.5), many.percentile(0.99));
    report(
        "first attempt while 1 of 10 hangs: p99",
        &format!("{p99:.0} ms, p50 {p50:.1} ms"),
        "under 1,000 ms",
        p99 < 1_000.0,
    );
    creates().await
}

/// Messages a second that the client alone sends.
async fn bare_client() -> anyhow::Result<f64> {
    let sinks = Sinks::start().await?;
    let client = client()?;
    let event =
        sample::event(EventKind::CallCompleted, &Sid::parse(TENANT)?, callveil_server::clock::wall_time());
    let serial = Arc::new(AtomicUsize::new(0));
    let begin = now();
    let mut senders = JoinSet::new();
    for _ in 0..UNDER_WAY {
        let (client, serial) = (client.clone(), Arc::clone(&serial));
        let endpoints = sinks.endpoints();
        let event = event.clone();
        senders.spawn(async move {
            loop {
                let n = serial.fetch_add(1, Ordering::Relaxed);
                if n >= EVENTS as usize * ENDPOINTS {
                    return true;
                }
                let endpoint = &endpoints[n % ENDPOINTS];
                // The body is made and signed each time, as the courier does.
                let body = bodies::body(&event, endpoint, &Default::default(), &|_| None).unwrap_or_default();
                if !retry::taken(post(&client, endpoint, &event, body).await) {
                    return false;
                }
            }
        });
    }
    ensure!(senders.join_all().await.into_iter().all(|well| well), "a receiver did not take a message");
    Ok(sinks.taken() as f64 / begin.elapsed().as_secs_f64())
}

async fn post(client: &Client, endpoint: &Endpoint, event: &Event, body: Bytes) -> Answer {
    let id = event.id.to_string();
    let secrets: Vec<&[u8]> = endpoint.secrets.iter().map(|secret| secret.key.as_slice()).collect();
    let message = Message { url: &endpoint.url, id: &id, body, secrets: &secrets };
    client.post(&message, callveil_server::clock::wall_time()).await
}

/// Deliveries a second, from the start of a courier that finds everything owed to the last that is settled.
async fn deliver_all() -> anyhow::Result<f64> {
    let world = World::with(0).await?;
    let node = Arc::new(world::node(world::open(&world.database())?).await?);
    let sinks = Sinks::start().await?;
    let endpoints = put(&node, sinks.endpoints()).await?;
    let mut serial = 0;
    for _ in 0..EVENTS / 100 {
        owe(&node, &endpoints, &mut serial, 100).await?;
    }
    let begin = now();
    let courier = tokio::spawn(courier(&node)?.run(std::future::pending()));
    let all = async {
        let mut looks = interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            let done = sinks.taken() >= EVENTS as usize * ENDPOINTS;
            if done && node.store().endpoints_due(node.now().plus(BOUND), 1).await?.is_empty() {
                return anyhow::Ok(());
            }
        }
    };
    timeout(BOUND, all).await??;
    let took = begin.elapsed();
    courier.abort();
    Ok((EVENTS as usize * ENDPOINTS) as f64 / took.as_secs_f64())
}

/// How long after it was owed each event first arrived, a thousand deliveries a second, while one endpoint hangs.
async fn first_attempts() -> anyhow::Result<Latencies> {
    let world = World::with(0).await?;
    let node = Arc::new(world::node(world::open(&world.database())?).await?);
    let sinks = Sinks::start_with(1).await?;
    let endpoints = put(&node, sinks.endpoints()).await?;
    let courier = tokio::spawn(courier(&node)?.run(std::future::pending()));
    let mut serial = 0;
    let mut owed = HashMap::new();
    let mut tenths = interval(Duration::from_millis(100));
    for _ in 0..100 {
        tenths.tick().await;
        let at = now();
        for id in owe(&node, &endpoints, &mut serial, 10).await? {
            owed.insert(id, at);
        }
    }
    let awaited = 1_000 * (ENDPOINTS - 1);
    let all = async {
        let mut looks = interval(Duration::from_millis(5));
        while sinks.taken() < awaited {
            looks.tick().await;
        }
    };
    timeout(BOUND, all).await?;
    courier.abort();
    Ok(sinks.latencies(&owed))
}

/// How long after it was owed an event first arrives when there is no other.
async fn one_at_a_time() -> anyhow::Result<Latencies> {
    let world = World::with(0).await?;
    let node = Arc::new(world::node(world::open(&world.database())?).await?);
    let sinks = Sinks::start().await?;
    let endpoints = put(&node, vec![sinks.endpoints().remove(0)]).await?;
    let courier = tokio::spawn(courier(&node)?.run(std::future::pending()));
    let mut serial = 0;
    let mut owed = HashMap::new();
    let mut looks = interval(Duration::from_millis(5));
    for n in 1..=200 {
        let at = now();
        owed.extend(owe(&node, &endpoints, &mut serial, 1).await?.into_iter().map(|id| (id, at)));
        let came = async {
            while sinks.taken() < n {
                looks.tick().await;
            }
        };
        timeout(BOUND, came).await?;
    }
    courier.abort();
    Ok(sinks.latencies(&owed))
}

/// What events cost the creates that cause them.
pub async fn creates() -> anyhow::Result<()> {
    let (without, owing) = (World::with(10_000).await?, World::with(10_000).await?);
    let with = World::with(10_000).await?;
    let sinks = Sinks::start().await?;
    let taken = sinks.endpoints().remove(0);
    // Nobody listens there, so that events are owed and hardly any is sent.
    let owed = Endpoint { url: "http://127.0.0.1:9/hook".to_owned(), ..taken.clone() };
    for (world, endpoint) in [(&owing, owed), (&with, taken)] {
        let node = world::node(world::open(&world.database())?).await?;
        put(&node, vec![endpoint]).await?;
    }
    let allowed = [
        ("CALLVEIL_WEBHOOKS_ALLOW", "127.0.0.0/8".to_owned()),
        ("CALLVEIL_WEBHOOKS_ALLOW_HTTP", "true".to_owned()),
    ];
    let (mut off, mut kept, mut on) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        for (world, rates) in [(&without, &mut off), (&owing, &mut kept), (&with, &mut on)] {
            let server = world.serve_with(&allowed).await?;
            rates.push(send(&server, requests::create(&world.authorization, round)).await?.rate);
        }
    }
    let (off, kept, on) = (median(off), median(kept), median(on));
    say(&format!(
        "  creates: {off:.0}/s without an endpoint, {kept:.0}/s with one that is gone, {on:.0}/s with one"
    ));
    let ratio = kept / off;
    report("create with events owed / without", &format!("{ratio:.2}"), "at least 0.9", ratio >= 0.9);
    let ratio = on / off;
    let what = "create with events delivered on the same cores / without";
    report(what, &format!("{ratio:.2}"), "at least 0.9", ratio >= 0.9);
    Ok(())
}

fn client() -> anyhow::Result<Client> {
    let guard = Guard { allow: vec!["127.0.0.0/8".parse()?], allow_http: true };
    Ok(Client::new(guard, Resolver::of_the_system()?, Patience::default())?)
}

fn courier(node: &Arc<Node>) -> anyhow::Result<Courier> {
    Ok(Courier::new(Arc::clone(node), client()?, Terms::default()))
}

/// Gives the tenant these endpoints.
async fn put(node: &Node, endpoints: Vec<Endpoint>) -> anyhow::Result<Vec<Endpoint>> {
    let mut change = Change::at(node.now());
    for endpoint in &endpoints {
        let (tenant, endpoint) = (Sid::parse(TENANT)?, endpoint.clone());
        change.directory.push(DirectoryWrite::PutEndpoint { tenant, endpoint });
    }
    apply(node, change).await?;
    node.refresh().await?;
    Ok(endpoints)
}

/// Owes so many events, each of a line of its own, to all endpoints; answers with their ids.
async fn owe(
    node: &Node,
    endpoints: &[Endpoint],
    serial: &mut u64,
    events: usize,
) -> anyhow::Result<Vec<String>> {
    let mut change = Change::at(node.now());
    let mut ids = Vec::new();
    for _ in 0..events {
        *serial += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&serial.to_be_bytes());
        let sample = sample::event(EventKind::CallCompleted, &Sid::parse(TENANT)?, change.now);
        let event = Event { id: EventId::from_bytes(id), line: Line(id), ..sample };
        let owed = |endpoint: &Endpoint| Delivery::of(&event, endpoint.id.clone(), change.now);
        change.deliveries.extend(endpoints.iter().map(owed).map(DeliveryWrite::Owe));
        ids.push(event.id.to_string());
        change.events.push(event);
    }
    apply(node, change).await?;
    Ok(ids)
}

async fn apply(node: &Node, change: Change) -> anyhow::Result<()> {
    match node.store().apply(change).await? {
        Outcome::Applied => Ok(()),
        Outcome::Refused(conflict) => bail!("the store refused: {conflict:?}"),
    }
}

/// Which ids came, and when.
type Arrivals = Arc<Mutex<Vec<(String, Instant)>>>;

/// Receivers that answer 200, but for the first few, which say nothing.
struct Sinks {
    addresses: Vec<SocketAddr>,
    /// When each id came, to whichever of them.
    arrived: Arrivals,
    listening: JoinSet<()>,
}

impl Sinks {
    async fn start() -> anyhow::Result<Sinks> {
        Sinks::start_with(0).await
    }

    async fn start_with(hanging: usize) -> anyhow::Result<Sinks> {
        let mut sinks = Sinks { addresses: Vec::new(), arrived: Arc::default(), listening: JoinSet::new() };
        for n in 0..ENDPOINTS {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            sinks.addresses.push(listener.local_addr()?);
            let arrived = (n >= hanging).then(|| Arc::clone(&sinks.arrived));
            sinks.listening.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(receive(stream, arrived.clone()));
                }
            });
        }
        Ok(sinks)
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |(n, address): (usize, &SocketAddr)| Endpoint {
            id: EndpointId::parse(&format!("ep_{n}")).expect("law: the word is a name"),
            dialect: Dialect::Standard,
            url: format!("http://{address}/hook"),
            kinds: Vec::new(),
            masked: false,
            secrets: vec![Secret { key: [7; 32], until: None }],
            created_at: callveil_server::clock::wall_time(),
            disabled: None,
        };
        self.addresses.iter().enumerate().map(endpoint).collect()
    }

    /// How long after it was owed each message came.
    fn latencies(&self, owed: &HashMap<String, Instant>) -> Latencies {
        let mut latencies = Latencies::default();
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let micros =
            arrived.iter().filter_map(|(id, at)| Some(at.duration_since(*owed.get(id)?).as_micros()));
        latencies.add(micros.map(|micros| u32::try_from(micros).unwrap_or(u32::MAX)).collect());
        latencies
    }

    fn taken(&self) -> usize {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Takes requests on one connection; without a place to note them, reads on and answers none.
async fn receive(mut stream: TcpStream, arrived: Option<Arrivals>) {
    let mut read = Vec::with_capacity(4_096);
    while stream.read_buf(&mut read).await.is_ok_and(|length| length > 0) {
        let Some(arrived) = &arrived else { continue };
        let Some(head) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        let header = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
        };
        let length = header("content-length").and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        if read.len() < head + 4 + length {
            continue;
        }
        let id = header("webhook-id").unwrap_or_default().to_owned();
        arrived.lock().unwrap_or_else(PoisonError::into_inner).push((id, now()));
        read.clear();
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}
