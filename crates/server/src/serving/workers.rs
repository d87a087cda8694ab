//! What a server does without being asked. Each piece of work is harmless to repeat and to leave out for a while:
//! no decision waits for it.

use std::sync::Arc;
use std::time::Duration;

use callveil_domain::allocation::expire::expire_due;
use callveil_domain::audit;
use callveil_domain::live;
use callveil_domain::node::Node;
use callveil_domain::store::{StoreError, Tidied, Tidy, TidyTenant};
use callveil_domain::tenant::Tenant;
use callveil_domain::time::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::installation::Installation;

/// How often the directory is looked at. Longer makes commands take effect later; each look is one small read.
const REFRESH: Duration = Duration::from_millis(250);

/// How often ends are written down and old rows are thrown away.
const UPKEEP: Duration = Duration::from_secs(1);

/// Starts all work. It ends when the set is dropped.
pub fn start(at: &Installation, config: &Config) -> JoinSet<()> {
    let node = &at.node;
    let keep = Keep::of(config);
    let mut workers = JoinSet::new();
    if let Some(time) = at.time.clone() {
        let follow = move |_| {
            let time = time.clone();
            async move { time.follow().await }
        };
        workers.spawn(every(UPKEEP, "following the database's clock", Arc::clone(node), follow));
    }
    workers.spawn(every(REFRESH, "renewing the directory", Arc::clone(node), renew));
    workers.spawn(every(UPKEEP, "writing down ends", Arc::clone(node), expire));
    workers.spawn(every(live::BEAT, "telling that this node lives", Arc::clone(node), live));
    workers.spawn(every(UPKEEP, "sealing the audit", Arc::clone(node), seal));
    workers.spawn(every(UPKEEP, "tidying", Arc::clone(node), move |node| tidy(node, keep)));
    workers
}

async fn renew(node: Arc<Node>) -> Result<(), StoreError> {
    node.refresh().await.map(drop)
}

async fn expire(node: Arc<Node>) -> Result<(), StoreError> {
    while expire_due(&**node.store(), &node.directory(), node.now()).await? > 0 {}
    Ok(())
}

/// Tells that this node lives, and ends the calls of those that do not.
async fn live(node: Arc<Node>) -> Result<(), StoreError> {
    let (store, id, now) = (&**node.store(), node.id(), node.now());
    live::beat(store, id, now).await?;
    live::interrupt_the_dead(store, &node.directory(), id, now).await.map(drop)
}

async fn seal(node: Arc<Node>) -> Result<(), StoreError> {
    while audit::seal(&**node.store(), node.now()).await? > 0 {}
    Ok(())
}

/// How long what no rule looks at any more is kept.
#[derive(Clone, Copy)]
struct Keep {
    claims: Duration,
    allocations: Duration,
    receipts: Duration,
}

impl Keep {
    fn of(config: &Config) -> Keep {
        Keep { claims: config.claim_memory, allocations: config.retention, receipts: config.receipt_memory }
    }
}

/// How many rows a step of tidying looks at. More would hold up clients' changes, which wait in the same queue.
const STEP: usize = 500;

/// How many steps are taken in a round whatever they find: the claims are walked through once in a while.
const FEWEST_STEPS: usize = 8;

/// How many steps are taken while they find something: more than a busy node makes in the same time.
const MOST_STEPS: usize = 100;

async fn tidy(node: Arc<Node>, keep: Keep) -> Result<(), StoreError> {
    let now = node.now();
    let old = Tidy {
        claims_before: now.minus(keep.claims),
        allocations_before: now.minus(keep.allocations),
        receipts_before: now.minus(keep.receipts),
        audit_before: now.minus(AUDIT_KEPT),
        tenants: node.directory().tenants().map(|tenant| kept_by(tenant, now)).collect(),
        step: STEP,
    };
    for step in 1..=MOST_STEPS {
        let found_nothing = node.store().tidy(old.clone()).await? == Tidied::default();
        if found_nothing && step >= FEWEST_STEPS {
            break;
        }
    }
    Ok(())
}

/// How long the audit is kept: India's rules ask for a year of logs at least.
const AUDIT_KEPT: Duration = Duration::from_secs(400 * 86_400);

fn kept_by(tenant: &Tenant, now: Timestamp) -> TidyTenant {
    TidyTenant {
        tenant: tenant.sid.clone(),
        calls_before: now.minus(tenant.settings.calls_kept),
        events_before: now.minus(tenant.settings.events_kept),
    }
}

/// Works again and again. A failure is logged when it begins and when it ends, and not in every round.
async fn every<W, F>(period: Duration, doing: &'static str, node: Arc<Node>, work: W)
where
    W: Fn(Arc<Node>) -> F,
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let mut rounds = interval(period);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        rounds.tick().await;
        // A task of its own, so that a defect costs one round and not the worker.
        match tokio::spawn(work(Arc::clone(&node))).await {
            Ok(Ok(())) if failing => {
                failing = false;
                tracing::info!("{doing} works again");
            }
            Ok(Err(error)) if !failing => {
                failing = true;
                tracing::warn!(%error, "{doing} fails, and is tried again");
            }
            Ok(Ok(()) | Err(_)) | Err(_) => {}
        }
    }
}
