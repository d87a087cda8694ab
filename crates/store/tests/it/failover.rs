//! A PostgreSQL that ends, comes back, or is taken over by another, while nodes write: nothing that was answered is
//! lost, and everybody is answered in the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use callveil_domain::allocation::{Allocation, AllocationId};
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{Conflict, Outcome, Store, StoreError};
use callveil_store::postgres::{PostgresStore, Url, migrate};
use tempfile::TempDir;

use crate::cluster::{Cluster, Durability};
use crate::world::{allocation, create, furnish, open_postgres, vn};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A database of callveil's in a cluster of its own.
async fn made(files: &TempDir) -> Cluster {
    let cluster = Cluster::make(&files.path().join("primary"), Durability::Full);
    cluster.create_database("callveil", None);
    migrate(&url(&[&cluster]).parse::<Url>().unwrap()).await.unwrap();
    cluster
}

/// The same, and a standby that has all of it before anything is answered.
async fn made_with_standby(files: &TempDir) -> (Cluster, Cluster) {
    let primary = made(files).await;
    let standby = primary.standby(&files.path().join("standby"));
    primary.run("postgres", "alter system set synchronous_standby_names = '*'");
    primary.run("postgres", "select pg_reload_conf()");
    (primary, standby)
}

fn url(hosts: &[&Cluster]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("127.0.0.1:{}", host.port)).collect();
    format!("postgres://callveil@{}/callveil", hosts.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_loses_nothing_that_was_answered() {
    let files = tempfile::tempdir().unwrap();
    let mut cluster = made(&files).await;
    let node = Arc::new(open_postgres(&url(&[&cluster])).await);
    furnish(node.as_ref(), 9).await;
    let writers = Writers::start(&node);

    for _ in 0..3 {
        writers.write_more(50).await;
        cluster.crash();
        cluster.start();
    }
    writers.write_more(50).await;

    let answered = writers.stop().await;
    check(node.as_ref(), answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_takes_over_has_all_that_was_answered() {
    let files = tempfile::tempdir().unwrap();
    let (primary, standby) = made_with_standby(&files).await;
    let node = Arc::new(open_postgres(&url(&[&standby, &primary])).await);
    furnish(node.as_ref(), 9).await;
    let writers = Writers::start(&node);

    writers.write_more(100).await;
    primary.crash();
    standby.promote();
    writers.write_more(100).await;

    let answered = writers.stop().await;
    check(node.as_ref(), answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_left_for_the_standby_that_took_over() {
    let files = tempfile::tempdir().unwrap();
    let (primary, standby) = made_with_standby(&files).await;
    let node = Arc::new(open_postgres(&url(&[&primary, &standby])).await);
    furnish(node.as_ref(), 9).await;
    let writers = Writers::start(&node);

    writers.write_more(100).await;
    primary.hang();
    standby.promote();
    writers.write_more(100).await;

    let answered = writers.stop().await;
    check(node.as_ref(), answered).await;
}

/// Tasks that each make one allocation after another, and ask again when they are told to come later.
struct Writers {
    tasks: Vec<tokio::task::JoinHandle<BTreeSet<AllocationId>>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Writers {
    fn start(node: &Arc<PostgresStore>) -> Writers {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..4).map(|writer| {
            let (node, stop, answered) = (Arc::clone(node), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut kept = BTreeSet::new();
                for n in (writer..).step_by(4).take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let new = of_nobody_else(n);
                    insist(node.as_ref(), &new).await;
                    kept.insert(new.id);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                kept
            })
        });
        Writers { tasks: tasks.collect(), stop, answered }
    }

    /// Waits until so many more allocations have been made.
    async fn write_more(&self, more: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        let done = async {
            while self.answered.load(Ordering::Relaxed) < wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("writes go on");
    }

    async fn stop(self) -> BTreeSet<AllocationId> {
        self.stop.store(true, Ordering::Relaxed);
        let mut answered = BTreeSet::new();
        for task in self.tasks {
            answered.append(&mut task.await.unwrap());
        }
        answered
    }
}

/// An allocation that has nothing to do with any other.
fn of_nobody_else(n: u64) -> Allocation {
    let mut lent = allocation(n.cast_signed() + 1, vn(1 + n % 9), 1, 2);
    let number = |m| PhoneNumber::from_digits(919_000_000_000 + 2 * n + m).unwrap();
    lent.parties.a.numbers = vec![number(0)];
    lent.parties.b.numbers = vec![number(1)];
    lent
}

/// Whoever does not know what became of a change asks for it again: it is there, or it fits.
async fn insist(store: &dyn Store, new: &Allocation) {
    loop {
        match store.apply(create(new)).await {
            Ok(Outcome::Applied) => return,
            Ok(Outcome::Refused(Conflict::Moved(id))) if id == new.id => return,
            Err(StoreError::Unavailable(_) | StoreError::Busy) => {}
            told => panic!("{told:?}"),
        }
    }
}

/// All that was answered is there, with all of its claims.
async fn check(store: &dyn Store, answered: BTreeSet<AllocationId>) {
    let kept = store.allocations_after(None, usize::MAX).await.unwrap();
    let ids: BTreeSet<AllocationId> = kept.iter().map(|a| a.id).collect();
    assert_eq!(answered.difference(&ids).count(), 0, "answered, and not there");
    let keys: Vec<_> = kept.iter().flat_map(Allocation::claims).map(|claim| claim.key).collect();
    let claims = store.claims(&keys).await.unwrap();
    assert!(claims.iter().all(Option::is_some), "an allocation without all of its claims");
    assert_eq!(store.claims_after(None, usize::MAX).await.unwrap().len(), keys.len());
}
