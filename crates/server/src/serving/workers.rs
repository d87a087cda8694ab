//! What a server does without being asked. Each piece of work is harmless to repeat and to leave out for a while:
//! no decision waits for it.

use std::sync::Arc;
use std::time::Duration;

use callveil_domain::allocation::expire::expire_due;
use callveil_domain::audit;
use callveil_domain::live;
use callveil_domain::node::Node;
use callveil_domain::store::StoreError;
use callveil_store::postgres::{PostgresStore, Renewed};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::installation::Installation;
use crate::keeping::Keep;

/// How often the directory is looked at. Longer makes commands take effect later; each look is one small read.
const REFRESH: Duration = Duration::from_millis(250);

/// How often ends are written down and old rows are thrown away.
const UPKEEP: Duration = Duration::from_secs(1);

/// How often it is seen to the months. They are made three ahead, and dropped after they have passed.
const MONTHS: Duration = Duration::from_secs(600);

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
    if let Some(store) = at.postgres.clone() {
        let renew = move |node| renew_months(node, Arc::clone(&store), keep);
        workers.spawn(every(MONTHS, "renewing the months", Arc::clone(node), renew));
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

/// Tells that this node lives, counts those that do, and ends the calls of those that do not.
async fn live(node: Arc<Node>) -> Result<(), StoreError> {
    let (store, id, now) = (&**node.store(), node.id(), node.now());
    live::beat(store, id, now).await?;
    node.count_nodes().await?;
    live::interrupt_the_dead(store, &node.directory(), id, now, live::LEASE).await.map(drop)
}

async fn seal(node: Arc<Node>) -> Result<(), StoreError> {
    while audit::seal(&**node.store(), node.now()).await? > 0 {}
    Ok(())
}

/// How many steps are taken in a round whatever they find: the claims are walked through once in a while.
const FEWEST_STEPS: usize = 8;

/// How many steps are taken while they find something: more than a busy node makes in the same time.
const MOST_STEPS: usize = 100;

async fn tidy(node: Arc<Node>, keep: Keep) -> Result<(), StoreError> {
    let old = keep.old(&node);
    for step in 1..=MOST_STEPS {
        if node.store().tidy(old.clone()).await?.is_nothing() && step >= FEWEST_STEPS {
            break;
        }
    }
    Ok(())
}

/// Makes the months ahead, and drops those of which nothing is kept, where calls and events are divided by month.
async fn renew_months(node: Arc<Node>, store: Arc<PostgresStore>, keep: Keep) -> Result<(), StoreError> {
    if let Some(Renewed { made, dropped }) = store.renew_months(node.now(), &keep.old(&node)).await? {
        for table in made {
            tracing::info!(table, "made the table {table}");
        }
        for table in dropped {
            tracing::info!(table, "dropped the table {table}, of which nothing is kept any more");
        }
    }
    Ok(())
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
