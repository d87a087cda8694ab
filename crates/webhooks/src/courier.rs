//! Delivers what the outbox holds: a reconciler between what is owed and what endpoints have taken.
//!
//! Each round reads which endpoints have something due, leases as much for each as its [`Health`] has room for, lets the
//! attempts run beside each other, and settles what came back, many at a time. A round begins when something has come
//! back, when this node has owed something ([`Store::owed`](callveil_domain::store::Store::owed)), and after a while
//! anyhow: nothing depends on being told. Nothing is remembered that the store
//! does not know, but how endpoints have been answering: after a crash the leases run out and the attempts are made
//! again, with the same ids. Any number of nodes may do this at once on one store.
//!
//! Of one line (a call, or an allocation) the store leases only the first that is not settled, so that a line's events
//! arrive in their order even when one of them has to be tried for days.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::calls::RecordingName;
use callveil_domain::delivery::{DeliveryKey, Due, Lease, Settled, Settlement};
use callveil_domain::endpoint::{self, Endpoint, EndpointKey};
use callveil_domain::node::Node;
use callveil_domain::recording::Links;
use callveil_domain::store::StoreError;
use callveil_domain::tenant::Tenant;
use callveil_domain::time::Timestamp;
use callveil_domain::{Chance, Effect, Failure};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::bodies;
use crate::client::{Answer, Client, Message};
use crate::health::{Health, News};
use crate::retry;

/// How long a delivery is left to the node that leased it. Longer than any attempt takes; after a crash its deliveries
/// wait for this long.
pub const LEASE: Duration = Duration::from_secs(20);

/// How often it is looked for what has become due meanwhile, and for what other nodes owe. Longer makes those events
/// later, shorter costs a small read each time.
const LOOK: Duration = Duration::from_millis(200);

/// From so many attempts on, rounds keep a distance of [`PACE`]; from so many that came back on, they are written down
/// beside the next lease and not before it.
const MANY: usize = 32;

/// How long many attempts are left to come back, so that more of them share a commit. Longer makes each wait.
const PACE: Duration = Duration::from_millis(4);

/// How long the store is left alone after it failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How many endpoints are served in one round.
const ENDPOINTS: usize = 4_096;

/// The most deliveries that are leased in one round, over all endpoints.
const BATCH: usize = 1_024;

/// What an operator decides about deliveries.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long is waited after each attempt that was not taken; after the last one an event is given up.
    pub waits: Vec<Duration>,
    /// Makes links to recordings.
    pub links: Option<Links>,
    /// How often it is looked for what nobody tells of: what has become due, and what other nodes owe.
    pub look: Duration,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms { waits: retry::WAITS.to_vec(), links: None, look: LOOK }
    }
}

/// Delivers events until it is told to stop.
pub struct Courier {
    node: Arc<Node>,
    client: Client,
    terms: Terms,
    rng: Box<Chance>,
    health: HashMap<EndpointKey, Health>,
    attempts: JoinSet<Attempt>,
    /// Whose attempt each task makes, for one that ends by a defect.
    tasks: HashMap<Id, EndpointKey>,
    /// What came back and is not settled yet.
    settled: Vec<Settled>,
    failing: bool,
}

/// An attempt that has been made.
struct Attempt {
    delivery: DeliveryKey,
    leased_until: Timestamp,
    attempts_before: u32,
    /// None when there was nothing to send.
    answer: Option<Answer>,
}

impl Courier {
    /// A courier for what this node's store holds.
    pub fn new(node: Arc<Node>, client: Client, terms: Terms) -> Courier {
        Courier {
            rng: node.rng(),
            node,
            client,
            terms,
            health: HashMap::new(),
            attempts: JoinSet::new(),
            tasks: HashMap::new(),
            settled: Vec::new(),
            failing: false,
        }
    }

    /// Delivers until `stop`; then begins no attempt any more, and returns when those under way are settled.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let store = Arc::clone(self.node.store());
        let mut looks = interval(self.terms.look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut paces = interval(PACE);
        paces.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // 1. Write down what came back, and begin what is due.
            let many = self.settled.len() >= MANY;
            let round = if many { self.settle_and_begin().await } else { self.settle_then_begin().await };
            self.tell(&round);
            // 2. Until something comes back, something is owed or may be due, or it is over.
            tokio::select! {
                () = &mut stop => break,
                // What follows in the lines that were settled just now may be due.
                () = ready(()), if many && round.is_ok() => {}
                Some(ended) = self.attempts.join_next_with_id(), if round.is_ok() => self.note(ended),
                () = store.owed(), if round.is_ok() => {}
                () = pause(&mut looks, round.is_err()) => {}
            }
            if self.attempts.len() >= MANY {
                paces.tick().await;
            }
            self.note_all();
        }
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.note(ended);
        }
        let settled = self.settle().await;
        self.tell(&settled);
    }

    async fn settle_then_begin(&mut self) -> Result<(), StoreError> {
        self.settle().await?;
        self.begin().await
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        if self.settled.is_empty() {
            return Ok(());
        }
        // Kept until the store has them: an attempt whose end is lost is made twice.
        self.node.store().settle(self.node.now(), self.settled.clone()).await?;
        self.settled.clear();
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let Some(lease) = self.wanted().await? else { return Ok(()) };
        let due = self.node.store().lease(lease).await?;
        self.attempt_all(due);
        Ok(())
    }

    /// Both in one commit of the store, or in two at a time; nothing is begun while the store fails.
    async fn settle_and_begin(&mut self) -> Result<(), StoreError> {
        if self.failing {
            return self.settle_then_begin().await;
        }
        let Some(lease) = self.wanted().await? else { return self.settle().await };
        let store = Arc::clone(self.node.store());
        let (settled, due) =
            tokio::join!(store.settle(self.node.now(), self.settled.clone()), store.lease(lease));
        if settled.is_ok() {
            self.settled.clear();
        }
        self.attempt_all(due?);
        settled
    }

    /// What there is room for.
    async fn wanted(&mut self) -> Result<Option<Lease>, StoreError> {
        let now = self.node.now();
        let due = self.node.store().endpoints_due(now, ENDPOINTS).await?;
        let directory = self.node.directory();
        let mut left = BATCH;
        let mut wanted = Vec::new();
        for key in due {
            let known = directory.tenant(key.tenant.as_str()).and_then(|tenant| find(tenant, &key));
            // Those of an endpoint that is disabled wait for it; those of one that is gone are given up.
            if known.is_some_and(|endpoint| endpoint.disabled.is_some()) {
                continue;
            }
            let room = self.health.entry(key.clone()).or_default().room(now).min(left);
            if room > 0 {
                left -= room;
                wanted.push((key, room));
            }
        }
        Ok((!wanted.is_empty()).then(|| Lease { now, until: now.plus(LEASE), wanted }))
    }

    fn attempt_all(&mut self, due: Vec<Due>) {
        let directory = self.node.directory();
        for due in due {
            let key = EndpointKey { tenant: due.event.tenant.clone(), id: due.endpoint.clone() };
            self.health.entry(key.clone()).or_default().given(1);
            let tenant = directory.tenant(key.tenant.as_str()).cloned();
            let links = self.terms.links.clone();
            let attempt = attempt(Arc::clone(&self.node), self.client.clone(), links, tenant, due);
            let task = self.attempts.spawn(attempt).id();
            self.tasks.insert(task, key);
        }
    }

    fn note_all(&mut self) {
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.note(ended);
        }
    }

    /// Takes what an attempt came to into the endpoint's health and the heap of what is to be settled.
    fn note(&mut self, ended: Result<(Id, Attempt), JoinError>) {
        let now = self.node.now();
        let (task, attempt) = match ended {
            Ok((task, attempt)) => (task, Some(attempt)),
            // A defect: the lease runs out, and the attempt is made again.
            Err(defect) => (defect.id(), None),
        };
        let Some(key) = self.tasks.remove(&task) else { return };
        let health = self.health.entry(key.clone()).or_default();
        let Some(Attempt { delivery, leased_until, attempts_before, answer }) = attempt else {
            health.given_back();
            return;
        };
        let Some(answer) = answer else {
            health.given_back();
            let result =
                Settlement::Dead { status: None, why: "there is no such endpoint any more".to_owned() };
            self.settled.push(Settled { key: delivery, leased_until, result });
            return;
        };
        let news = if retry::taken(answer) {
            health.took()
        } else {
            health.failed(retry::asked_to_wait(answer), now, &mut *self.rng)
        };
        match news {
            Some(News::LeftAlone) => {
                tracing::warn!(tenant = %key.tenant, endpoint = %key.id, "an endpoint fails and is left alone for a while");
            }
            Some(News::WorksAgain) => {
                tracing::info!(tenant = %key.tenant, endpoint = %key.id, "an endpoint works again");
            }
            None => {}
        }
        if retry::gone(answer) {
            tokio::spawn(disable(Arc::clone(&self.node), key));
        }
        let result = retry::settlement(answer, attempts_before, &self.terms.waits, now, &mut *self.rng);
        self.settled.push(Settled { key: delivery, leased_until, result });
    }

    /// Logs a failure when it begins and when it ends.
    fn tell(&mut self, round: &Result<(), StoreError>) {
        match round {
            Ok(()) if self.failing => tracing::info!("events are delivered again"),
            Err(error) if !self.failing => {
                tracing::warn!(%error, "events are not delivered while the store fails");
            }
            Ok(()) | Err(_) => {}
        }
        self.failing = round.is_err();
    }
}

async fn pause(looks: &mut Interval, failed: bool) {
    if failed {
        looks.reset_after(AFTER_FAILURE);
    }
    looks.tick().await;
}

fn find<'t>(tenant: &'t Tenant, key: &EndpointKey) -> Option<&'t Endpoint> {
    tenant.endpoints.iter().find(|endpoint| endpoint.id == key.id)
}

async fn attempt(
    node: Arc<Node>,
    client: Client,
    links: Option<Links>,
    tenant: Option<Arc<Tenant>>,
    due: Due,
) -> Attempt {
    let Due { event, endpoint, attempts, leased_until } = due;
    let delivery = DeliveryKey { tenant: event.tenant.clone(), event: event.id, endpoint };
    let made =
        |answer| Attempt { delivery: delivery.clone(), leased_until, attempts_before: attempts, answer };
    let Some(tenant) = tenant else { return made(None) };
    let key = EndpointKey { tenant: delivery.tenant.clone(), id: delivery.endpoint.clone() };
    let Some(endpoint) = find(&tenant, &key) else { return made(None) };
    let now = node.now();
    let link = |name: &RecordingName| links.as_ref().map(|links| links.link(name, now));
    let Some(body) = bodies::body(&event, endpoint, &tenant.settings, &link) else { return made(None) };
    let secrets: Vec<&[u8]> = endpoint.secrets_at(now).map(|secret| secret.key.as_slice()).collect();
    let id = event.id.to_string();
    let message = Message { url: &endpoint.url, id: &id, body, secrets: &secrets };
    made(Some(client.post(&message, now).await))
}

/// The receiver has said that it wants nothing any more.
async fn disable(node: Arc<Node>, key: EndpointKey) {
    let mut rng = node.rng();
    let ctx = node.ctx(&mut *rng, Effect::Keep);
    match endpoint::disable(&ctx, key.clone(), "it answered with 410 Gone").await {
        Ok(()) => {
            tracing::warn!(tenant = %key.tenant, endpoint = %key.id, "an endpoint answered 410 and is disabled");
        }
        Err(Failure::Refused(_)) => {}
        Err(Failure::Store(error)) => {
            tracing::warn!(%error, "an endpoint that answered 410 could not be disabled")
        }
    }
}
