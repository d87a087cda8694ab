//! A small made world: one tenant with a few virtual numbers, people who call them, and words for what happens.
//!
//! People are +1 202 555 0101 to 0149, virtual numbers 0151 to 0199: a range kept for fiction.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::allocation::{
    Allocation, AllocationId, ConnectionId, Ending, Parties, Party, Standing, Usage,
};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::store::{
    AllocationWrite, Change, Claim, ClaimKey, Conflict, DirectoryWrite, Outcome, Store, Tidy,
};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::{Lending, VirtualNumber};
use callveil_store::postgres::{PostgresStore, Url};
use callveil_store::sqlite::{Mode, SqliteStore};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::cluster::{self, Cluster, TENANT_ROLE};
use crate::pooler::Pooler;

/// A store in which the tenant `acme` has the virtual numbers 1 to 9, and the tenant `other` none.
pub struct World {
    pub store: Arc<dyn Store>,
    /// Whether the store judges nodes by a clock of its own.
    pub has_own_clock: bool,
    /// The files of a store that has its own.
    _files: Option<TempDir>,
}

/// A directory for tests that wait for the disk often and do not ask how it behaves: in memory where that can be.
pub fn quick_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The contract on SQLite.
pub async fn sqlite() -> World {
    let files = quick_directory();
    let store = SqliteStore::open(&files.path().join("callveil.db"), Mode::Serve).unwrap();
    let world = World { store: Arc::new(store), has_own_clock: false, _files: Some(files) };
    furnish(world.store.as_ref(), 9).await;
    world
}

/// The contract on PostgreSQL.
pub async fn postgres() -> World {
    postgres_here().await.0
}

/// The contract on PostgreSQL, behind a pooler that gives each transaction another session.
pub async fn pooled_postgres() -> World {
    pooled_postgres_here().await.0
}

/// The contract on PostgreSQL, and where that is.
pub async fn postgres_here() -> (World, String) {
    let cluster = shared_cluster();
    postgres_at(cluster.url(&cluster.fresh_database())).await
}

/// The contract on PostgreSQL behind a pooler, and where that is.
pub async fn pooled_postgres_here() -> (World, String) {
    let cluster = shared_cluster();
    postgres_at(Pooler::shared(&cluster).url(&cluster.fresh_database())).await
}

/// The contract on PostgreSQL with all that an operator may choose: a table a month, a wall between tenants, and a
/// pooler before it.
pub async fn divided_postgres() -> World {
    let cluster = shared_cluster();
    let url = Pooler::shared(&cluster).url(&cluster.fresh_database());
    let url = format!("{url}&tenant_role={TENANT_ROLE}");
    callveil_store::postgres::migrate(&url.parse().unwrap()).await.unwrap();
    let store = open_postgres(&url).await;
    store.divide_by_month(at(0)).await.unwrap();
    let nothing = Tidy {
        claims_before: Timestamp::EPOCH,
        allocations_before: Timestamp::EPOCH,
        receipts_before: Timestamp::EPOCH,
        audit_before: Timestamp::EPOCH,
        tenants: Vec::new(),
        step: 1,
    };
    store.renew_months(at(0), &nothing).await.unwrap();
    furnish(&store, 9).await;
    World { store: Arc::new(store), has_own_clock: true, _files: None }
}

async fn postgres_at(url: String) -> (World, String) {
    let world = World { store: Arc::new(open_postgres(&url).await), has_own_clock: true, _files: None };
    furnish(world.store.as_ref(), 9).await;
    (world, url)
}

/// The PostgreSQL that all tests share, with a template that has our tables.
pub fn shared_cluster() -> Cluster {
    cluster::shared(|template| {
        let url: Url = template.parse().unwrap();
        // Whoever asks may be in a runtime already, and so this has a thread to itself.
        let migrated = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(callveil_store::postgres::migrate(&url))
        });
        migrated.join().unwrap().unwrap();
    })
}

/// The store in this database, as a process of its own.
pub async fn open_postgres(url: &str) -> PostgresStore {
    PostgresStore::open(&url.parse().unwrap(), rand::random()).await.unwrap()
}

/// Makes the tenants, and so many virtual numbers for `acme`.
pub async fn furnish(store: &dyn Store, virtual_numbers: u64) {
    let mut change = Change::at(at(0));
    change.directory.push(DirectoryWrite::AddTenant(acme()));
    change.directory.push(DirectoryWrite::AddTenant(other()));
    change.directory.extend((1..=virtual_numbers).map(|n| put(&acme(), vn(n))));
    assert_eq!(store.apply(change).await.unwrap(), Outcome::Applied);
}

impl World {
    /// A world of what is in a store already.
    pub fn of(store: Arc<dyn Store>) -> World {
        World { store, has_own_clock: false, _files: None }
    }

    /// Applies a change that must fit.
    pub async fn applied(&self, change: Change) {
        assert_eq!(self.store.apply(change).await.unwrap(), Outcome::Applied);
    }

    /// Applies a change that must not fit, and tells why. Nothing of it may be kept.
    pub async fn refused(&self, change: Change) -> Conflict {
        let before = self.picture().await;
        let rehearsed = self.store.rehearse(change.clone()).await.unwrap();
        let outcome = self.store.apply(change).await.unwrap();

        assert_eq!(rehearsed, outcome, "a rehearsal answers as the change does");
        assert_eq!(self.picture().await, before, "nothing of a refused change is kept");
        match outcome {
            Outcome::Refused(conflict) => conflict,
            Outcome::Applied => panic!("the change fits"),
        }
    }

    /// Waits until something is so.
    #[expect(clippy::disallowed_methods, reason = "a store tells nobody when it has changed its mind")]
    pub async fn wait_until(&self, holds: impl AsyncFn() -> bool) {
        for _ in 0..300 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it was not so for 30 seconds");
    }

    /// Lends what the allocation says, and answers with it.
    pub async fn lend(&self, allocation: Allocation) -> Allocation {
        self.applied(create(&allocation)).await;
        allocation
    }

    /// Who holds a key, and until when.
    pub async fn claim(&self, key: ClaimKey) -> Option<(AllocationId, Timestamp)> {
        let found = self.store.claims(&[key]).await.unwrap().remove(0);
        found.map(|claim| (claim.allocation, claim.held_until))
    }

    /// Everything that a store shows, as text that can be compared.
    pub async fn picture(&self) -> String {
        let store = self.store.as_ref();
        let mut picture = String::new();
        for allocation in store.allocations_after(None, usize::MAX).await.unwrap() {
            writeln!(picture, "{allocation:?} {:?}", digits_of(&allocation)).unwrap();
        }
        for claim in store.claims_after(None, usize::MAX).await.unwrap() {
            writeln!(picture, "{claim:?} {:?}", digits_of_key(&claim.key)).unwrap();
        }
        let directory = store.directory().await.unwrap();
        writeln!(picture, "revision {} {:?}", directory.revision, directory.tenants().collect::<Vec<_>>())
            .unwrap();
        for tenant in directory.tenants() {
            writeln!(picture, "{:?}", directory.keys_for(tenant.sid.as_str())).unwrap();
        }
        for key in ["k1", "k2"] {
            writeln!(picture, "{:?}", store.receipt(&acme(), "create", key).await.unwrap()).unwrap();
        }
        writeln!(picture, "{:?}", store.latest_moment().await.unwrap()).unwrap();
        picture
    }
}

/// Numbers print themselves masked; here they must differ.
fn digits_of(allocation: &Allocation) -> Vec<u64> {
    let Parties { a, b } = &allocation.parties;
    let learned = a.learned.iter().chain(&b.learned).copied();
    allocation.parties.numbers().chain(learned).map(PhoneNumber::expose_digits).collect()
}

fn digits_of_key(key: &ClaimKey) -> [u64; 2] {
    match key {
        ClaimKey::Number { number, virtual_number } => {
            [number.expose_digits(), virtual_number.expose_digits()]
        }
        ClaimKey::Pin { pin, virtual_number } => [pin.expose_value(), virtual_number.expose_digits()],
        ClaimKey::Whole { virtual_number } => [0, virtual_number.expose_digits()],
        ClaimKey::Connection { .. } => [0, 0],
    }
}

/// The moment so many seconds after the world began.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + seconds) * 1_000_000)
}

pub fn acme() -> Sid {
    Sid::parse("acme").unwrap()
}

pub fn other() -> Sid {
    Sid::parse("other").unwrap()
}

/// The `n`th person: 1 is always A, 2 always B.
pub fn person(n: u64) -> PhoneNumber {
    assert!((1..50).contains(&n));
    PhoneNumber::from_digits(12_025_550_100 + n).unwrap()
}

/// The `n`th virtual number.
pub fn vn(n: u64) -> PhoneNumber {
    assert!((1..50).contains(&n));
    PhoneNumber::from_digits(12_025_550_150 + n).unwrap()
}

pub fn pin(value: u64) -> Pin {
    Pin::from_value(value).unwrap()
}

/// An open number, to be put into a pool.
pub fn put(tenant: &Sid, number: PhoneNumber) -> DirectoryWrite {
    let number = VirtualNumber { number, region: None, number_type: None, flow: None, state: Lending::Open };
    DirectoryWrite::PutNumber { tenant: tenant.clone(), number }
}

/// How long an allocation is lent, unless a test says otherwise.
pub const LENT: Duration = Duration::from_secs(1_000);

/// How long it cools then.
pub const COOLING: Duration = Duration::from_secs(100);

/// The allocation that is made at second `n`: its name is `order-n`, and one person stands on each side.
pub fn allocation(n: i64, virtual_number: PhoneNumber, a: u64, b: u64) -> Allocation {
    let created_at = at(n);
    let mut rng = StdRng::seed_from_u64(n.cast_unsigned());
    Allocation {
        id: AllocationId::new(created_at, &mut rng),
        tenant: acme(),
        connection: ConnectionId::parse(&format!("order-{n}")).unwrap(),
        virtual_number,
        parties: Parties { a: party(&[a]), b: party(&[b]) },
        usage: Usage::TwoWay,
        flow: None,
        exclusive: false,
        created_at,
        standing: Standing::Lent { expires_at: created_at.plus(LENT), cooling: COOLING },
        version: 1,
    }
}

/// A side of these people.
pub fn party(people: &[u64]) -> Party {
    Party { numbers: people.iter().map(|n| person(*n)).collect(), ..Party::default() }
}

/// The change that makes an allocation.
pub fn create(allocation: &Allocation) -> Change {
    let mut change = Change::at(allocation.created_at);
    change.take = allocation.claims();
    change.allocations.push(AllocationWrite::Insert(allocation.clone()));
    change
}

/// The next form of an allocation, ended at a moment.
pub fn ended(allocation: &Allocation, at: Timestamp, how: Ending) -> Allocation {
    let standing = Standing::Ended { at, cooling_until: at.plus(COOLING), how };
    Allocation { standing, version: allocation.version + 1, ..allocation.clone() }
}

/// The change that ends an allocation, with the claims that it lets cool.
pub fn end(allocation: &Allocation, at: Timestamp, how: Ending) -> Change {
    let ended = ended(allocation, at, how);
    let mut change = Change::at(at);
    change.cool = ended.claims();
    change.allocations.push(AllocationWrite::Update(ended));
    change
}

/// The claim of a number by an allocation.
pub fn number_claim(allocation: &Allocation, number: PhoneNumber, held_until: Timestamp) -> Claim {
    let key = ClaimKey::Number { number, virtual_number: allocation.virtual_number };
    Claim { key, allocation: allocation.id, held_until }
}

/// A database in a directory of its own, for tests that open it themselves.
pub struct Place {
    files: TempDir,
}

impl Place {
    pub fn new() -> Place {
        Place { files: tempfile::tempdir().unwrap() }
    }

    pub fn directory(&self) -> &Path {
        self.files.path()
    }

    pub fn database(&self) -> PathBuf {
        self.files.path().join("callveil.db")
    }
}
