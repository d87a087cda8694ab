//! A small made world: a store in which `acme` has endpoints, a clock that is turned by hand, and a courier.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use callveil_domain::delivery::{Delivery, DeliveryWrite};
use callveil_domain::endpoint::{Dialect, Endpoint, EndpointId, Secret};
use callveil_domain::event::{Event, EventId, EventKind, Line};
use callveil_domain::node::Node;
use callveil_domain::store::{Change, DeliveryQuery, DirectoryWrite, Outcome, Store};
use callveil_domain::tenant::Sid;
use callveil_domain::time::{Clock, Timestamp};
use callveil_store::sqlite::{Mode, SqliteStore};
use callveil_webhooks::client::{Client, Patience};
use callveil_webhooks::courier::{Courier, Terms};
use callveil_webhooks::resolve::Resolver;
use callveil_webhooks::sample;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::attempts::{NOW, guard};
use crate::sink::{Request, Sink};

/// How long anything may take that has no reason to take long.
pub const SOON: Duration = Duration::from_secs(30);

pub struct World {
    pub node: Arc<Node>,
    pub clock: Arc<HandClock>,
    next: AtomicU64,
    _files: TempDir,
}

pub struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl HandClock {
    pub fn turn(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl World {
    pub async fn new() -> World {
        let files = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = SqliteStore::open(&files.path().join("callveil.db"), Mode::Serve).unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(NOW.as_micros())));
        let mut change = Change::at(NOW);
        change.directory.push(DirectoryWrite::AddTenant(acme()));
        assert_eq!(store.apply(change).await.unwrap(), Outcome::Applied);
        let node =
            Node::open(Arc::new(store), clock.clone(), Arc::new(|| Box::new(StdRng::seed_from_u64(1))));
        World { node: Arc::new(node.await.unwrap()), clock, next: AtomicU64::new(1), _files: files }
    }

    /// An endpoint of `acme` at this URL, which takes all kinds.
    pub async fn endpoint(&self, name: &str, url: &str) -> Endpoint {
        let endpoint = Endpoint {
            id: EndpointId::parse(name).unwrap(),
            dialect: Dialect::Standard,
            url: url.to_owned(),
            kinds: Vec::new(),
            masked: false,
            secrets: vec![Secret { key: SECRET, until: None }],
            created_at: NOW,
            disabled: None,
        };
        self.write(DirectoryWrite::PutEndpoint { tenant: acme(), endpoint: endpoint.clone() }).await;
        endpoint
    }

    pub async fn set(&self, name: &'static str, value: &str) {
        self.write(DirectoryWrite::SetSetting { tenant: acme(), name, value: value.to_owned() }).await;
    }

    pub async fn write(&self, write: DirectoryWrite) {
        let mut change = Change::at(self.node.now());
        change.directory.push(write);
        assert_eq!(self.node.store().apply(change).await.unwrap(), Outcome::Applied);
        self.node.refresh().await.unwrap();
    }

    /// Owes the next event of a line to endpoints.
    pub async fn owe(&self, line: u8, kind: EventKind, to: &[&EndpointId]) -> Event {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        let mut id = [0; 16];
        id[8..].copy_from_slice(&n.to_be_bytes());
        let event = Event {
            id: EventId::from_bytes(id),
            line: Line([line; 16]),
            sequence: n,
            ..sample::event(kind, &acme(), self.node.now())
        };
        let mut change = Change::at(self.node.now());
        let owe = |to: &&EndpointId| DeliveryWrite::Owe(Delivery::of(&event, (*to).clone(), change.now));
        change.deliveries = to.iter().map(owe).collect();
        change.events.push(event.clone());
        assert_eq!(self.node.store().apply(change).await.unwrap(), Outcome::Applied);
        event
    }

    pub fn courier(&self) -> Running {
        self.courier_with(Patience::default())
    }

    pub fn courier_with(&self, patience: Patience) -> Running {
        self.courier_on(patience, Terms::default())
    }

    pub fn courier_on(&self, patience: Patience, terms: Terms) -> Running {
        let client = Client::new(guard(), Resolver::of_the_system().unwrap(), patience).unwrap();
        let courier = Courier::new(Arc::clone(&self.node), client, terms);
        let (stop, stopped) = oneshot::channel::<()>();
        let work = tokio::spawn(courier.run(async move { drop(stopped.await) }));
        Running { stop: Some(stop), work }
    }

    /// What is owed to an endpoint, or was, the oldest event first.
    pub async fn deliveries(&self, to: &EndpointId) -> Vec<Delivery> {
        let wanted = DeliveryQuery { endpoint: Some(to.clone()), ..DeliveryQuery::newest(100_000) };
        let mut found = self.node.store().deliveries(&acme(), wanted).await.unwrap();
        found.sort_by_key(|delivery| delivery.key.event);
        found
    }

    /// Waits until what is owed to an endpoint, or was, looks so.
    pub async fn until(&self, to: &EndpointId, what: &str, holds: impl Fn(&[Delivery]) -> bool) {
        let waiting = async {
            let mut looks = interval(Duration::from_millis(10));
            while !holds(&self.deliveries(to).await) {
                looks.tick().await;
            }
        };
        if timeout(SOON, waiting).await.is_err() {
            panic!("{what} did not come within {SOON:?}: {:?}", self.deliveries(to).await);
        }
    }
}

pub const SECRET: [u8; 32] = [7; 32];

pub fn acme() -> Sid {
    Sid::parse("acme").unwrap()
}

/// A courier at work. It is gone, as after a crash, when it is dropped.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    work: JoinHandle<()>,
}

impl Running {
    /// Ends it in order.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        timeout(SOON, &mut self.work).await.expect("it ends").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Waits until a receiver has got so many requests, and answers with them.
pub async fn received(sink: &Sink, count: usize) -> Vec<Request> {
    let waiting = async {
        let mut looks = interval(Duration::from_millis(10));
        while sink.requests().len() < count {
            looks.tick().await;
        }
    };
    let came = timeout(SOON, waiting).await.is_ok();
    assert!(came, "{} of {count} requests came within {SOON:?}", sink.requests().len());
    sink.requests()
}
