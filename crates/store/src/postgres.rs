//! The store of any number of nodes: one PostgreSQL.
//!
//! - Changes go through a few writers that each take all that wait and write them in one transaction ([`writer`]), so
//!   that the price of round trips and of a durable commit is shared.
//! - Reads are one statement each, on connections of a pool ([`reader`]), and only from the primary: nobody is told
//!   that a number is free because a standby lags behind. What every allocation asks before it is made is read for all
//!   who ask together ([`past`]).
//! - Nothing rests on the session or on what only this engine has: a pooler may stand between, and engines that speak
//!   its language may stand in its place.

/// Boxes the values of parameters.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$(Box::new($value) as Box<dyn tokio_postgres::types::ToSql + Sync + Send + '_>),*]
    };
}

mod batch;
mod connect;
mod directory;
mod examine;
mod facts;
mod fault;
mod migrate;
mod months;
mod past;
mod queue;
mod reader;
mod reads;
mod rows;
mod session;
mod statements;
mod tidy;
mod wall;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId};
use callveil_domain::audit::{AuditEntry, AuditHead, SealedEntry};
use callveil_domain::call::CallId;
use callveil_domain::calls::CallRecord;
use callveil_domain::delivery::{Delivery, Due, Lease, Settled};
use callveil_domain::endpoint::EndpointKey;
use callveil_domain::event::{Event, EventId};
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::receipt::Receipt;
use callveil_domain::store::{
    CallFacts, CallQuery, Change, Claim, ClaimKey, DeliveryQuery, EventQuery, ListPage, ListQuery, Mentions,
    MentionsAfter, Outcome, PastClaim, Store, StoreError, Tidied, Tidy,
};
use callveil_domain::tenant::{Directory, Sid};
use callveil_domain::time::Timestamp;
use tokio::sync::Mutex;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

pub use connect::{BadUrl, Url};
pub use examine::{Examination, examine};
pub use migrate::SchemaError;
pub use months::Renewed;

use past::PastReader;
use reader::Reader;
use rows::Cells;
use session::{Session, Value};
use statements as sql;
use tidy::Position;
use writer::Writers;

use crate::owed::Owed;

/// What the driver's failure is to the contract.
pub(crate) fn told(error: tokio_postgres::Error) -> StoreError {
    fault::Fault::from(error).into()
}

/// A database of ours for statements that are made up as they go: only what copies everything has such.
pub(crate) struct Raw(Session);

impl Raw {
    /// A connection to a database of which all steps have been taken.
    pub(crate) async fn open(url: &Url) -> Result<Raw, OpenError> {
        let reader = Reader::new(url.pool()?, url.preparing());
        Ok(Raw(reader.session().await.map_err(SchemaError::from)?))
    }

    /// The rows of a statement.
    pub(crate) async fn query(
        &self,
        text: &str,
        values: &[(Box<dyn ToSql + Sync + Send>, Type)],
    ) -> Result<Vec<Row>, StoreError> {
        let values: Vec<(Value<'_>, Type)> =
            values.iter().map(|(value, of)| (&**value as Value<'_>, of.clone())).collect();
        Ok(self.0.query_once(text, &values).await?)
    }
}

/// The contract, kept in one PostgreSQL.
pub struct PostgresStore {
    reader: Reader,
    past: PastReader,
    writers: Writers,
    tidying: Mutex<Position>,
    tenant_role: Option<String>,
    owed: Owed,
}

/// Why a database could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It cannot be named like this.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// It is not there, or not one of this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Takes the steps that a database has not taken yet, and answers with their names.
pub async fn migrate(url: &Url) -> Result<Vec<&'static str>, OpenError> {
    let reader = Reader::new(url.pool()?, url.preparing());
    let session = reader.session().await.map_err(SchemaError::from)?;
    let taken = migrate::migrate(&session).await?;
    if let Some(role) = url.tenant_role() {
        wall::build(&session, role).await?;
    }
    Ok(taken)
}

impl PostgresStore {
    /// Opens a database of which all steps have been taken. `process` is made of randomness: it tells this process's
    /// writers from those of all others.
    pub async fn open(url: &Url, process: [u8; 16]) -> Result<PostgresStore, OpenError> {
        let pool = url.pool()?;
        let reader = Reader::new(pool.clone(), url.preparing()).behind(url.tenant_role());
        let session = reader.session().await.map_err(SchemaError::from)?;
        migrate::recognise(&session).await?;
        if let Some(role) = url.tenant_role() {
            wall::recognise(&session, role).await?;
        }
        drop(session);
        let writers = Writers::start(&pool, url.preparing(), process);
        Ok(PostgresStore {
            past: PastReader::start(&reader),
            reader,
            writers,
            tidying: Mutex::default(),
            tenant_role: url.tenant_role().map(str::to_owned),
            owed: Owed::default(),
        })
    }

    /// Keeps calls, events and deliveries in a table a month from `now` on. Nodes that want them wait meanwhile: each of
    /// the tables is read through once.
    pub async fn divide_by_month(&self, now: Timestamp) -> Result<(), StoreError> {
        let session = self.reader.session().await?;
        Ok(months::divide(&session, now, self.tenant_role.as_deref()).await?)
    }

    /// Makes the months ahead of `now`, and drops those of which `what` keeps nothing. Answers with nothing when tables
    /// are not divided by month.
    pub async fn renew_months(&self, now: Timestamp, what: &Tidy) -> Result<Option<Renewed>, StoreError> {
        let session = self.reader.session().await?;
        Ok(months::renew(&session, now, what).await?)
    }

    /// What the database's clock shows.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let rows = self.reader.rows(&sql::NOW, &[]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Corrupt("a clock without a time".to_owned()))?;
        Ok(Cells::from(row, 0).moment()?)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn apply(&self, change: Change) -> Result<Outcome, StoreError> {
        let owing = self.owed.by(&change);
        let outcome = self.writers.apply(change).await?;
        owing.tell(&outcome);
        Ok(outcome)
    }

    async fn rehearse(&self, change: Change) -> Result<Outcome, StoreError> {
        self.writers.rehearse(change).await
    }

    async fn allocation(&self, tenant: &Sid, id: AllocationId) -> Result<Option<Allocation>, StoreError> {
        Ok(reads::allocation(&self.reader, tenant, id).await?)
    }

    async fn allocation_by_connection(
        &self,
        tenant: &Sid,
        connection: &ConnectionId,
    ) -> Result<Option<Allocation>, StoreError> {
        Ok(reads::allocation_by_connection(&self.reader, tenant, connection).await?)
    }

    async fn allocations_by_number(
        &self,
        tenant: &Sid,
        number: PhoneNumber,
        limit: usize,
    ) -> Result<Vec<Allocation>, StoreError> {
        Ok(reads::allocations_by_number(&self.reader, tenant, number, limit).await?)
    }

    async fn list(&self, tenant: &Sid, wanted: ListQuery) -> Result<ListPage, StoreError> {
        Ok(reads::list(&self.reader, tenant, &wanted).await?)
    }

    async fn past_of(&self, numbers: &[PhoneNumber]) -> Result<Vec<PastClaim>, StoreError> {
        self.past.past_of(numbers).await
    }

    async fn pins_on(
        &self,
        virtual_number: PhoneNumber,
        now: Timestamp,
    ) -> Result<Vec<(Pin, AllocationId)>, StoreError> {
        Ok(reads::pins_on(&self.reader, virtual_number, now).await?)
    }

    async fn call_facts(
        &self,
        virtual_number: PhoneNumber,
        caller: Option<PhoneNumber>,
        now: Timestamp,
    ) -> Result<CallFacts, StoreError> {
        Ok(reads::call_facts(&self.reader, virtual_number, caller, now).await?)
    }

    async fn holder_of_pin(
        &self,
        virtual_number: PhoneNumber,
        pin: Pin,
        now: Timestamp,
    ) -> Result<Option<Allocation>, StoreError> {
        Ok(reads::holder_of_pin(&self.reader, virtual_number, pin, now).await?)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Allocation>, StoreError> {
        Ok(reads::due(&self.reader, now, limit).await?)
    }

    async fn receipt(&self, tenant: &Sid, scope: &str, key: &str) -> Result<Option<Receipt>, StoreError> {
        Ok(reads::receipt(&self.reader, tenant, scope, key).await?)
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        Ok(directory::revision(&self.reader.rows(&sql::REVISION, &[]).await?)?)
    }

    async fn directory(&self) -> Result<Directory, StoreError> {
        Ok(self.reader.directory().await?)
    }

    async fn loads(&self) -> Result<Vec<(PhoneNumber, u32)>, StoreError> {
        Ok(reads::loads(&self.reader).await?)
    }

    async fn tidy(&self, what: Tidy) -> Result<Tidied, StoreError> {
        let mut position = self.tidying.lock().await;
        let session = self.reader.session().await?;
        Ok(tidy::tidy(&session, &what, &mut position).await?)
    }

    async fn allocations_after(
        &self,
        after: Option<(Sid, AllocationId)>,
        limit: usize,
    ) -> Result<Vec<Allocation>, StoreError> {
        Ok(reads::allocations_after(&self.reader, after, limit).await?)
    }

    async fn claims_after(&self, after: Option<ClaimKey>, limit: usize) -> Result<Vec<Claim>, StoreError> {
        Ok(reads::claims_after(&self.reader, after, limit).await?)
    }

    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, StoreError> {
        Ok(reads::claims(&self.reader, keys).await?)
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        Ok(reads::damage(&self.reader).await?)
    }

    async fn latest_moment(&self) -> Result<Timestamp, StoreError> {
        Ok(reads::latest_moment(&self.reader).await?)
    }

    async fn call(&self, tenant: &Sid, id: CallId) -> Result<Option<CallRecord>, StoreError> {
        Ok(facts::read_call(&self.reader, tenant, id).await?)
    }

    async fn calls(&self, tenant: &Sid, wanted: CallQuery) -> Result<Vec<CallRecord>, StoreError> {
        Ok(facts::calls(&self.reader, tenant, &wanted).await?)
    }

    async fn beat(&self, node: NodeId, _now: Timestamp, lease: Duration) -> Result<(), StoreError> {
        Ok(facts::beat(&self.reader, node, lease).await?)
    }

    async fn nodes(&self, lease: Duration) -> Result<usize, StoreError> {
        Ok(facts::nodes(&self.reader, lease).await?)
    }

    async fn orphaned_calls(
        &self,
        judge: NodeId,
        _now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<CallRecord>, StoreError> {
        Ok(facts::orphaned_calls(&self.reader, judge, lease, limit).await?)
    }

    async fn hangups(&self, node: NodeId) -> Result<Vec<CallId>, StoreError> {
        Ok(facts::hangups(&self.reader, node).await?)
    }

    async fn event(&self, tenant: &Sid, id: EventId) -> Result<Option<Event>, StoreError> {
        Ok(facts::read_event(&self.reader, tenant, id).await?)
    }

    async fn events(&self, tenant: &Sid, wanted: EventQuery) -> Result<Vec<Event>, StoreError> {
        Ok(facts::events(&self.reader, tenant, &wanted).await?)
    }

    async fn deliveries(&self, tenant: &Sid, wanted: DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
        Ok(facts::deliveries(&self.reader, tenant, &wanted).await?)
    }

    async fn endpoints_due(&self, now: Timestamp, limit: usize) -> Result<Vec<EndpointKey>, StoreError> {
        Ok(facts::endpoints_due(&self.reader, now, limit).await?)
    }

    async fn lease(&self, wanted: Lease) -> Result<Vec<Due>, StoreError> {
        Ok(facts::lease(&self.reader, &wanted).await?)
    }

    async fn owed(&self) {
        self.owed.wait().await;
    }

    async fn settle(&self, now: Timestamp, settled: Vec<Settled>) -> Result<(), StoreError> {
        Ok(facts::settle(&self.reader, now, &settled).await?)
    }

    async fn unsealed_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(facts::unsealed_audit(&self.reader, limit).await?)
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        Ok(facts::audit_head(&self.reader).await?)
    }

    async fn audit_after(&self, place: u64, limit: usize) -> Result<Vec<SealedEntry>, StoreError> {
        Ok(facts::audit_after(&self.reader, place, limit).await?)
    }

    async fn mentions(
        &self,
        number: PhoneNumber,
        after: MentionsAfter,
        limit: usize,
    ) -> Result<Mentions, StoreError> {
        Ok(facts::mentions(&self.reader, number, &after, limit).await?)
    }
}
