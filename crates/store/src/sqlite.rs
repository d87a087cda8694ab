//! The store of a single node: one SQLite file.
//!
//! - Writes go through one thread that takes all that wait, applies each alone and commits them together
//!   ([`writer`]), so that the price of a durable commit is shared.
//! - Reads by key run at once on the calling thread, on connections of their own; reads that go through many rows
//!   have a thread to themselves ([`readers`]).
//! - Moving the log into the file is left to a third thread ([`checkpoint`]), so that no answer waits for it.

mod apply;
mod backup;
mod checkpoint;
mod directory;
mod facts;
mod fault;
mod migrate;
mod open;
mod readers;
mod reads;
mod rows;
mod statements;
mod tidy;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId};
use callveil_domain::audit::{AuditEntry, AuditHead, SealedEntry};
use callveil_domain::call::CallId;
use callveil_domain::calls::CallRecord;
use callveil_domain::delivery::{Delivery, DeliveryKey, Due, Lease, Settled};
use callveil_domain::endpoint::EndpointKey;
use callveil_domain::event::{Event, EventId};
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::receipt::Receipt;
use callveil_domain::store::{
    CallFacts, CallQuery, Change, Claim, ClaimKey, DeliveryQuery, DirectoryWrite, EventQuery, ListPage,
    ListQuery, Mentions, MentionsAfter, Outcome, PastClaim, Store, StoreError, Tidied, Tidy,
};
use callveil_domain::tenant::{Directory, Sid};
use callveil_domain::time::Timestamp;

pub use backup::{BackupError, RestoreError, backup, restore};
pub use open::{Mode, OpenError};

use checkpoint::Checkpointer;
use directory::Held;
use facts::Leased;
use open::{Lock, SMALL_CACHE_KIB};
use readers::{Commits, Pool, SlowReader};
use writer::{Beat, Wanted, Writer};

use crate::owed::Owed;

/// A connection of its own to a database that is there.
pub(crate) fn connection(path: &Path) -> Result<rusqlite::Connection, OpenError> {
    open::connect(path, SMALL_CACHE_KIB).map_err(|e| OpenError::sqlite(path, e))
}

/// What the engine's failure is to the contract.
pub(crate) fn told(error: rusqlite::Error) -> StoreError {
    fault::Fault::from(error).into()
}

/// The contract, kept in one SQLite file.
///
/// The fields are dropped in the order in which they stand: all connections are closed before the lock goes.
pub struct SqliteStore {
    readers: Arc<Pool>,
    slow: SlowReader,
    writer: Writer,
    owed: Owed,
    _lock: Option<Lock>,
}

impl SqliteStore {
    /// Opens the database at `path`, making it when there is none and bringing its schema up to date.
    pub fn open(path: &Path, mode: Mode) -> Result<SqliteStore, OpenError> {
        let opened = open::open(path, mode)?;
        let commits = Commits::default();
        let readers = Arc::new(Pool::new(opened.readers, commits.clone()));
        let thread = |e| OpenError::thread(path, e);
        let checkpointer = Checkpointer::start(opened.checkpointer, Arc::clone(&readers)).map_err(thread)?;
        Ok(SqliteStore {
            readers,
            slow: SlowReader::start(opened.slow).map_err(thread)?,
            writer: Writer::start(opened.writer, checkpointer, commits).map_err(thread)?,
            owed: Owed::default(),
            _lock: opened.lock,
        })
    }

    /// Where anything is held, for a change that ends numbers: the writer need not stand still to find out.
    async fn held(&self, change: &Change) -> Result<Option<Held>, StoreError> {
        let now = change.now;
        match change.directory.iter().any(|write| matches!(write, DirectoryWrite::RemoveNumber { .. })) {
            true => self.slow.read(move |db| directory::numbers_held(db, now)).await.map(Some),
            false => Ok(None),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn apply(&self, change: Change) -> Result<Outcome, StoreError> {
        let held = self.held(&change).await?;
        let owing = self.owed.by(&change);
        let outcome = self.writer.apply(Wanted { change, held }).await?;
        owing.tell(&outcome);
        Ok(outcome)
    }

    async fn rehearse(&self, change: Change) -> Result<Outcome, StoreError> {
        let held = self.held(&change).await?;
        self.writer.rehearse(Wanted { change, held }).await
    }

    async fn allocation(&self, tenant: &Sid, id: AllocationId) -> Result<Option<Allocation>, StoreError> {
        self.readers.read(|db| reads::allocation(db, tenant, id))
    }

    async fn allocation_by_connection(
        &self,
        tenant: &Sid,
        connection: &ConnectionId,
    ) -> Result<Option<Allocation>, StoreError> {
        self.readers.read(|db| reads::allocation_by_connection(db, tenant, connection))
    }

    async fn allocations_by_number(
        &self,
        tenant: &Sid,
        number: PhoneNumber,
        limit: usize,
    ) -> Result<Vec<Allocation>, StoreError> {
        self.readers.read(|db| reads::allocations_by_number(db, tenant, number, limit))
    }

    async fn list(&self, tenant: &Sid, wanted: ListQuery) -> Result<ListPage, StoreError> {
        let tenant = tenant.clone();
        self.slow.read(move |db| reads::list(db, &tenant, &wanted)).await
    }

    async fn past_of(&self, numbers: &[PhoneNumber]) -> Result<Vec<PastClaim>, StoreError> {
        self.readers.read(|db| reads::past_of(db, numbers))
    }

    async fn pins_on(
        &self,
        virtual_number: PhoneNumber,
        now: Timestamp,
    ) -> Result<Vec<(Pin, AllocationId)>, StoreError> {
        self.readers.read(|db| reads::pins_on(db, virtual_number, now))
    }

    async fn call_facts(
        &self,
        virtual_number: PhoneNumber,
        caller: Option<PhoneNumber>,
        now: Timestamp,
    ) -> Result<CallFacts, StoreError> {
        self.readers.read(|db| reads::call_facts(db, virtual_number, caller, now))
    }

    async fn holder_of_pin(
        &self,
        virtual_number: PhoneNumber,
        pin: Pin,
        now: Timestamp,
    ) -> Result<Option<Allocation>, StoreError> {
        self.readers.read(|db| reads::holder_of_pin(db, virtual_number, pin, now))
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Allocation>, StoreError> {
        self.readers.read(|db| reads::due(db, now, limit))
    }

    async fn receipt(&self, tenant: &Sid, scope: &str, key: &str) -> Result<Option<Receipt>, StoreError> {
        self.readers.read(|db| reads::receipt(db, tenant, scope, key))
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.readers.read(directory::revision)
    }

    async fn directory(&self) -> Result<Directory, StoreError> {
        self.slow.read(directory::read).await
    }

    async fn loads(&self) -> Result<Vec<(PhoneNumber, u32)>, StoreError> {
        self.slow.read(reads::loads).await
    }

    async fn tidy(&self, what: Tidy) -> Result<Tidied, StoreError> {
        self.writer.tidy(what).await
    }

    async fn allocations_after(
        &self,
        after: Option<(Sid, AllocationId)>,
        limit: usize,
    ) -> Result<Vec<Allocation>, StoreError> {
        self.slow.read(move |db| reads::allocations_after(db, after, limit)).await
    }

    async fn claims_after(&self, after: Option<ClaimKey>, limit: usize) -> Result<Vec<Claim>, StoreError> {
        self.slow.read(move |db| reads::claims_after(db, after, limit)).await
    }

    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, StoreError> {
        self.readers.read(|db| reads::claims(db, keys))
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        self.slow.read(reads::damage).await
    }

    async fn latest_moment(&self) -> Result<Timestamp, StoreError> {
        self.readers.read(reads::latest_moment)
    }

    async fn call(&self, tenant: &Sid, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        self.readers.read(|db| facts::read_call(db, tenant, id))
    }

    async fn calls(&self, tenant: &Sid, wanted: CallQuery) -> Result<Vec<CallRecord>, StoreError> {
        let tenant = tenant.clone();
        self.slow.read(move |db| facts::calls(db, &tenant, &wanted)).await
    }

    async fn beat(&self, node: NodeId, now: Timestamp, lease: Duration) -> Result<(), StoreError> {
        self.writer.beat(Beat { node, now, lease }).await
    }

    async fn nodes(&self, _lease: Duration) -> Result<usize, StoreError> {
        Ok(1)
    }

    async fn orphaned_calls(
        &self,
        judge: NodeId,
        _now: Timestamp,
        _lease: Duration,
        limit: usize,
    ) -> Result<Vec<CallRecord>, StoreError> {
        self.readers.read(|db| facts::orphaned_calls(db, judge, limit))
    }

    async fn hangups(&self, node: NodeId) -> Result<Vec<CallId>, StoreError> {
        self.readers.read(|db| facts::hangups(db, node))
    }

    async fn event(&self, tenant: &Sid, id: EventId) -> Result<Option<Event>, StoreError> {
        self.readers.read(|db| facts::read_event(db, tenant, id))
    }

    async fn events(&self, tenant: &Sid, wanted: EventQuery) -> Result<Vec<Event>, StoreError> {
        let tenant = tenant.clone();
        self.slow.read(move |db| facts::events(db, &tenant, &wanted)).await
    }

    async fn deliveries(&self, tenant: &Sid, wanted: DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
        let tenant = tenant.clone();
        self.slow.read(move |db| facts::deliveries(db, &tenant, &wanted)).await
    }

    async fn endpoints_due(&self, now: Timestamp, limit: usize) -> Result<Vec<EndpointKey>, StoreError> {
        self.readers.read(|db| facts::endpoints_due(db, now, limit))
    }

    async fn lease(&self, wanted: Lease) -> Result<Vec<Due>, StoreError> {
        let leased_until = wanted.until;
        let mut leased = self.writer.lease(wanted).await?;
        // Several endpoints of a tenant are often told the same: it is read once.
        leased.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        self.readers.read(move |db| {
            let mut due: Vec<Due> = Vec::with_capacity(leased.len());
            for Leased { key, attempts } in leased {
                let DeliveryKey { tenant, event, endpoint } = key;
                let before = due.last().map(|due| &due.event);
                let event = match before.filter(|before| before.id == event && before.tenant == tenant) {
                    Some(same) => Some(same.clone()),
                    None => facts::read_event(db, &tenant, event)?,
                };
                // One without its event has been tidied away in this moment, and its deliveries with it.
                if let Some(event) = event {
                    due.push(Due { event, endpoint, attempts, leased_until });
                }
            }
            Ok(due)
        })
    }

    async fn owed(&self) {
        self.owed.wait().await;
    }

    async fn settle(&self, now: Timestamp, settled: Vec<Settled>) -> Result<(), StoreError> {
        self.writer.settle(now, settled).await
    }

    async fn unsealed_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.readers.read(|db| facts::unsealed_audit(db, limit))
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.readers.read(facts::audit_head)
    }

    async fn audit_after(&self, place: u64, limit: usize) -> Result<Vec<SealedEntry>, StoreError> {
        self.slow.read(move |db| facts::audit_after(db, place, limit)).await
    }

    async fn mentions(
        &self,
        number: PhoneNumber,
        after: MentionsAfter,
        limit: usize,
    ) -> Result<Mentions, StoreError> {
        self.slow.read(move |db| facts::mentions(db, number, &after, limit)).await
    }
}
