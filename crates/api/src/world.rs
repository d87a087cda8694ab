//! A small made world for tests: two tenants with a key each, a pool of five numbers, a clock turned by hand, and
//! the real router over a real store.
//!
//! Party A is always +1 202 555 0101 or +91 99000 00001 and up; virtual numbers are +91 80000 00001 and up.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callveil_api::{ApiConfig, ApiState, Metrics, hash_token, router};
use callveil_domain::allocation::{ConnectionId, Side};
use callveil_domain::call::CallId;
use callveil_domain::calls::{self, CallEnd, CallLeg, CallRecord, CallStanding, Disconnector, Link};
use callveil_domain::delivery::{DeliveryKey, Due, Lease, Settled, Settlement};
use callveil_domain::live::NodeId;
use callveil_domain::node::Node;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::Store;
use callveil_domain::tenant::{ApiKey, Sid, Tenant};
use callveil_domain::time::{Clock, Timestamp};
use callveil_domain::virtual_number::{FlowId, Lending, NumberType, Region, VirtualNumber};
use callveil_domain::{Ctx, Effect, admin};
use callveil_store::sqlite::{Mode, SqliteStore};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

/// The tenant that tests act as, and the stranger.
pub const DEMO: &str = "demo";
pub const OTHER: &str = "other";

const DATABASE: &str = "callveil.db";

pub struct World {
    pub api: ApiState,
    pub node: Arc<Node>,
    router: Router,
    clock: Arc<HandClock>,
    directory: TempDir,
}

/// An answer, read.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl World {
    /// 2026-11-23T12:00:00Z, five numbers, two tenants.
    pub async fn new() -> World {
        World::with(ApiConfig::default()).await
    }

    pub async fn with(config: ApiConfig) -> World {
        let directory = TempDir::new().unwrap();
        let store = SqliteStore::open(&directory.path().join(DATABASE), Mode::Serve).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let clock = Arc::new(HandClock(AtomicI64::new(1_795_435_200_000_000)));
        let drawn = AtomicU64::new(0);
        let randomness = move || -> Box<dyn rand_core::Rng + Send + Sync> {
            Box::new(StdRng::seed_from_u64(drawn.fetch_add(1, Ordering::Relaxed)))
        };
        let told: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let node = Arc::new(Node::open(store, told, Arc::new(randomness)).await.unwrap());
        let api = ApiState::new(Arc::clone(&node), config, Metrics::default());
        let world = World { router: router(api.clone()), api, node, clock, directory };
        world.populate().await;
        world
    }

    async fn populate(&self) {
        let numbers = [
            number(1, "KA", NumberType::Mobile, None),
            number(2, "KA", NumberType::Landline, None),
            number(3, "DL", NumberType::Mobile, None),
            number(4, "DL", NumberType::Landline, None),
            number(5, "MH", NumberType::Mobile, Some("night")),
        ];
        let mut rng = StdRng::seed_from_u64(0);
        let ctx = self.node.ctx(&mut rng, Effect::Keep);
        for sid in [DEMO, OTHER] {
            admin::add_tenant(&ctx, key(&ctx, sid, "1")).await.unwrap();
        }
        admin::put_numbers(&ctx, &Sid::parse(DEMO).unwrap(), numbers.into()).await.unwrap();
        self.node.refresh().await.unwrap();
    }

    /// Keeps the store from writing until what is answered is dropped.
    pub fn stop_writing(&self) -> Connection {
        let other = Connection::open(self.directory.path().join(DATABASE)).unwrap();
        other.execute_batch("begin immediate").unwrap();
        other
    }

    /// Turns the clock.
    pub fn wait(&self, length: Duration) {
        self.clock.0.fetch_add(i64::try_from(length.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// The tenant that tests act as, as it is now.
    pub fn tenant(&self) -> Arc<Tenant> {
        Arc::clone(self.node.directory().tenant(DEMO).unwrap())
    }

    /// Changes one of its settings as the operator would.
    pub async fn set(&self, name: &str, value: &str) {
        let mut rng = StdRng::seed_from_u64(0);
        let ctx = self.node.ctx(&mut rng, Effect::Keep);
        let change = [(name.to_owned(), value.to_owned())];
        let hand = callveil_domain::settings::Hand::Operator;
        admin::change_settings(&ctx, &self.tenant(), hand, &change).await.unwrap();
        self.node.refresh().await.unwrap();
    }

    /// Gives a tenant one more key, or ends it.
    pub async fn add_key(&self, sid: &str, name: &str) {
        let mut rng = StdRng::seed_from_u64(0);
        let ctx = self.node.ctx(&mut rng, Effect::Keep);
        admin::add_key(&ctx, key(&ctx, sid, name)).await.unwrap();
        self.node.refresh().await.unwrap();
    }

    pub async fn revoke_key(&self, sid: &str, name: &str) {
        let mut rng = StdRng::seed_from_u64(0);
        let ctx = self.node.ctx(&mut rng, Effect::Keep);
        admin::revoke_key(&ctx, Sid::parse(sid).unwrap(), key_id(sid, name)).await.unwrap();
        self.node.refresh().await.unwrap();
    }

    /// Sends a request of the tenant's to a path under its own.
    pub async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Reply {
        self.send_with(method, path, &[], body).await
    }

    pub async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        request = request.uri(format!("/v1/tenants/{DEMO}{path}")).header(AUTHORIZATION, basic(DEMO, "1"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(body.into()).unwrap()).await
    }

    /// Sends any request.
    pub async fn ask(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8(bytes.into()).unwrap(),
        }
    }

    pub async fn post(&self, body: Value) -> Reply {
        self.send("POST", "/greenvn", body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, Body::empty()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, Body::empty()).await
    }

    /// Makes an allocation of A and B and answers its path.
    pub async fn allocated(&self) -> String {
        let reply = self.post(order("order-1")).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        format!("/greenvn/{}", reply.data()["greenvn_id"].as_str().unwrap())
    }

    /// Makes an endpoint and answers its id.
    pub async fn endpoint(&self, body: Value) -> String {
        let reply = self.send("POST", "/endpoints", body.to_string()).await;
        reply.granted().data()["endpoint_id"].as_str().unwrap().to_owned()
    }

    /// A call that has just arrived, in the allocation of this connection id if it has one, from its side A if not
    /// from B's number.
    pub async fn call(&self, caller: Option<u64>, connection: Option<&str>) -> CallRecord {
        let mut rng = self.node.rng();
        let now = self.node.now();
        let caller = caller.map(|digits| PhoneNumber::from_digits(digits).unwrap());
        let (id, node) = (CallId::new(now, &mut *rng), NodeId::new(now, &mut *rng));
        let dialled = PhoneNumber::from_digits(918_000_000_001).unwrap();
        let tenant = self.tenant();
        let mut call = CallRecord::arrived(id, &tenant, node, dialled, caller, now);
        if let Some(connection) = connection {
            let connection = ConnectionId::parse(connection).unwrap();
            let found = self.node.store().allocation_by_connection(&tenant.sid, &connection).await;
            let allocation = found.unwrap().unwrap();
            let side = caller.and_then(|caller| allocation.side_of(caller)).unwrap_or(Side::A);
            call.virtual_number = allocation.virtual_number;
            call.link = Some(Link::of(&allocation, side, &tenant.settings));
        }
        let ctx = self.node.ctx(&mut *rng, Effect::Keep);
        calls::opened(&ctx, &tenant, &mut call).await.unwrap();
        call
    }

    /// Keeps what a call has become.
    pub async fn keep(&self, call: &mut CallRecord) {
        let mut rng = self.node.rng();
        let ctx = self.node.ctx(&mut *rng, Effect::Keep);
        match call.standing {
            CallStanding::Open => calls::noted(&ctx, call).await.unwrap(),
            CallStanding::Ended { .. } => calls::closed(&ctx, &self.tenant(), call).await.unwrap(),
        };
    }

    /// A call from A to B that arrived, was answered after 5 s and lasted 27 s more.
    pub async fn completed_call(&self, connection: &str) -> CallRecord {
        let mut call = self.call(Some(919_900_000_001), Some(connection)).await;
        let called = PhoneNumber::from_digits(919_900_000_002).unwrap();
        let mut leg = CallLeg::dialled(called, self.node.now());
        self.wait(Duration::from_secs(1));
        leg.rang_at = Some(self.node.now());
        self.wait(Duration::from_secs(4));
        leg.answered_at = Some(self.node.now());
        call.answered_at = leg.answered_at;
        call.legs.push(leg);
        {
            let mut rng = self.node.rng();
            let ctx = self.node.ctx(&mut *rng, Effect::Keep);
            calls::answered(&ctx, &self.tenant(), &mut call).await.unwrap();
        }
        self.wait(Duration::from_secs(27));
        call.end(self.node.now(), CallEnd::Completed, Disconnector::Caller);
        self.keep(&mut call).await;
        call
    }

    /// Gives up all that is owed, as if endpoints had answered 500 until there was no use in it.
    pub async fn give_up_deliveries(&self) {
        let store = self.node.store();
        let (now, until) = (self.node.now(), self.node.now().plus(Duration::from_secs(60)));
        let endpoints = store.endpoints_due(now, 100).await.unwrap();
        let wanted = endpoints.into_iter().map(|endpoint| (endpoint, 100)).collect();
        let due = store.lease(Lease { now, until, wanted }).await.unwrap();
        let settled = due.into_iter().map(|Due { event, endpoint, attempts: _, leased_until }| Settled {
            key: DeliveryKey { tenant: event.tenant, event: event.id, endpoint },
            leased_until,
            result: Settlement::Dead { status: Some(500), why: "500".to_owned() },
        });
        store.settle(now, settled.collect()).await.unwrap();
    }

    /// Everything that the tenant has, as its API tells it: what must not change when a request is refused.
    pub async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for path in
            ["/greenvn?time_from=2026-01-01T00:00:00", "/settings", "/endpoints", "/deliveries", "/events"]
        {
            all.push(self.get(path).await.json());
        }
        all
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    pub fn code(&self) -> Option<u64> {
        self.json()["code"].as_u64()
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Fails unless the answer is a refusal of this status and code, in a whole envelope.
    #[track_caller]
    pub fn refused(&self, status: u16, code: u64) -> &Reply {
        assert_eq!((self.status, self.code()), (status, Some(code)), "{}", self.text);
        let json = self.json();
        assert_eq!(json["success"], json!(false));
        assert_eq!(json["status"], json!(status));
        assert_eq!(json["data"], Value::Null);
        assert!(!self.message().is_empty());
        self
    }

    #[track_caller]
    pub fn granted(&self) -> &Reply {
        assert_eq!((self.status, self.code()), (200, None), "{}", self.text);
        self
    }
}

/// A usual request for an allocation.
pub fn order(connection: &str) -> Value {
    json!({
        "connection_id": connection,
        "aparty_numbers": ["+919900000001"],
        "bparty_numbers": ["+919900000002"],
        "usage": "twoway",
    })
}

/// The header that a tenant's key opens doors with.
pub fn basic(sid: &str, key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", key_id(sid, key), token(sid, key))))
}

pub fn key_id(sid: &str, name: &str) -> String {
    format!("cvk_{sid}{name}")
}

pub fn token(sid: &str, name: &str) -> String {
    format!("cvt_{sid}{name}")
}

fn key(ctx: &Ctx<'_>, sid: &str, name: &str) -> ApiKey {
    ApiKey {
        id: key_id(sid, name),
        tenant: Sid::parse(sid).unwrap(),
        token_hash: hash_token(&token(sid, name)),
        created_at: ctx.now,
        revoked_at: None,
    }
}

fn number(n: u64, region: &str, number_type: NumberType, flow: Option<&str>) -> VirtualNumber {
    VirtualNumber {
        number: PhoneNumber::from_digits(918_000_000_000 + n).unwrap(),
        region: Region::parse(region).ok(),
        number_type: Some(number_type),
        flow: flow.map(|flow| FlowId::parse(flow).unwrap()),
        state: Lending::Open,
    }
}
