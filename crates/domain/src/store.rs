//! The contract of storage: what a store promises, and the one value by which everything is changed.
//!
//! **Isolation.** A [`Change`] is applied as if alone: all of it, or none. **Durability.** When
//! [`Store::apply`] has answered [`Outcome::Applied`], the change survives a killed process and a power cut; when
//! it has answered [`Outcome::Refused`] or failed, nothing of it is kept, except that a failure in the moment of
//! committing may leave it either way. **Reads** see every change that was answered before they began.
//!
//! A claim is *free* when its `held_until` is not after the `now` of the change that wants it. No sweep is needed
//! for that: taking over is part of taking. [`Store::tidy`] only throws away what no rule looks at any more.

use std::time::Duration;

use async_trait::async_trait;

use crate::allocation::{Allocation, AllocationId, ConnectionId};
use crate::audit::{AuditEntry, AuditHead, Seal, SealedEntry};
use crate::call::CallId;
use crate::calls::CallRecord;
use crate::delivery::{Delivery, DeliveryState, DeliveryWrite, Due, Lease, Settled};
use crate::endpoint::{Disabled, Endpoint, EndpointId, EndpointKey};
use crate::event::{Event, EventId, EventKind};
use crate::live::NodeId;
use crate::number::PhoneNumber;
use crate::pin::Pin;
use crate::receipt::Receipt;
use crate::tenant::{ApiKey, Directory, Sid};
use crate::time::Timestamp;
use crate::trunk::{Trunk, TrunkName};
use crate::virtual_number::{Lending, VirtualNumber};

/// Keeps the truth. Every implementation passes the same contract suite.
#[async_trait]
pub trait Store: Send + Sync {
    /// Applies a change: all of it and durably, or nothing.
    async fn apply(&self, change: Change) -> Result<Outcome, StoreError>;

    /// Finds out what [`Store::apply`] would answer, and keeps nothing.
    async fn rehearse(&self, change: Change) -> Result<Outcome, StoreError>;

    /// One allocation of a tenant, by its id.
    async fn allocation(&self, tenant: &Sid, id: AllocationId) -> Result<Option<Allocation>, StoreError>;

    /// The allocation that a connection id named last, whether it is active or has ended.
    async fn allocation_by_connection(
        &self,
        tenant: &Sid,
        connection: &ConnectionId,
    ) -> Result<Option<Allocation>, StoreError>;

    /// The allocations of a tenant that claim or claimed a number, newest first, at most `limit`.
    async fn allocations_by_number(
        &self,
        tenant: &Sid,
        number: PhoneNumber,
        limit: usize,
    ) -> Result<Vec<Allocation>, StoreError>;

    /// A page of a tenant's allocations, oldest first.
    async fn list(&self, tenant: &Sid, wanted: ListQuery) -> Result<ListPage, StoreError>;

    /// Every claim that these numbers hold or held and that has not been tidied away, on any virtual number.
    async fn past_of(&self, numbers: &[PhoneNumber]) -> Result<Vec<PastClaim>, StoreError>;

    /// The pins that are held on a virtual number at `now`.
    async fn pins_on(
        &self,
        virtual_number: PhoneNumber,
        now: Timestamp,
    ) -> Result<Vec<(Pin, AllocationId)>, StoreError>;

    /// What deciding a call from `caller` to `virtual_number` needs, in one read by key.
    async fn call_facts(
        &self,
        virtual_number: PhoneNumber,
        caller: Option<PhoneNumber>,
        now: Timestamp,
    ) -> Result<CallFacts, StoreError>;

    /// The allocation that holds a pin on a virtual number at `now`.
    async fn holder_of_pin(
        &self,
        virtual_number: PhoneNumber,
        pin: Pin,
        now: Timestamp,
    ) -> Result<Option<Allocation>, StoreError>;

    /// The allocations that are still [`Standing::Lent`](crate::allocation::Standing::Lent) although they were due
    /// by `now`, longest overdue first, at most `limit`.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Allocation>, StoreError>;

    /// The answer that was kept for an idempotency key.
    async fn receipt(&self, tenant: &Sid, scope: &str, key: &str) -> Result<Option<Receipt>, StoreError>;

    /// The present revision of tenants, keys, settings and pools. Cheap: nodes ask several times a second.
    async fn revision(&self) -> Result<u64, StoreError>;

    /// The present directory. The loads of its pools are zero; see [`Store::loads`].
    async fn directory(&self) -> Result<Directory, StoreError>;

    /// How many lent allocations each virtual number has; those with none may be left out.
    async fn loads(&self) -> Result<Vec<(PhoneNumber, u32)>, StoreError>;

    /// Throws away what no rule looks at any more, in bounded steps.
    async fn tidy(&self, what: Tidy) -> Result<Tidied, StoreError>;

    /// Up to `limit` allocations of all tenants that follow `after` in the store's own order.
    async fn allocations_after(
        &self,
        after: Option<(Sid, AllocationId)>,
        limit: usize,
    ) -> Result<Vec<Allocation>, StoreError>;

    /// Up to `limit` claims that follow `after` in the order of their keys.
    async fn claims_after(&self, after: Option<ClaimKey>, limit: usize) -> Result<Vec<Claim>, StoreError>;

    /// The claims that stand under these keys, each in the place of its key.
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, StoreError>;

    /// What the database itself finds wrong with its files: a sentence each.
    async fn damage(&self) -> Result<Vec<String>, StoreError>;

    /// The latest moment that any change carried; the clock must not run behind it.
    async fn latest_moment(&self) -> Result<Timestamp, StoreError>;

    /// One call of a tenant.
    async fn call(&self, tenant: &Sid, id: CallId) -> Result<Option<CallRecord>, StoreError>;

    /// Calls of a tenant, newest first.
    async fn calls(&self, tenant: &Sid, wanted: CallQuery) -> Result<Vec<CallRecord>, StoreError>;

    /// Keeps that a node lives: when it was heard last, and since when it has been without a silence longer than
    /// `lease`. By the store's own clock, where it has one.
    async fn beat(&self, node: NodeId, now: Timestamp, lease: Duration) -> Result<(), StoreError>;

    /// How many nodes have been heard within `lease`, by the store's own clock. A store that only one node can have
    /// open answers 1.
    async fn nodes(&self, lease: Duration) -> Result<usize, StoreError>;

    /// Calls that are open although their node has not been heard for `lease`, at most `limit`; none unless the
    /// judge has itself been heard without a silence for as long, and still is. A store that only one node can have
    /// open answers with the calls of all nodes but the judge, whose word it needs not.
    async fn orphaned_calls(
        &self,
        judge: NodeId,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<CallRecord>, StoreError>;

    /// The open calls of a node that somebody wants hung up.
    async fn hangups(&self, node: NodeId) -> Result<Vec<CallId>, StoreError>;

    /// One event of a tenant.
    async fn event(&self, tenant: &Sid, id: EventId) -> Result<Option<Event>, StoreError>;

    /// Events of a tenant.
    async fn events(&self, tenant: &Sid, wanted: EventQuery) -> Result<Vec<Event>, StoreError>;

    /// Deliveries of a tenant, those of the newest events first.
    async fn deliveries(&self, tenant: &Sid, wanted: DeliveryQuery) -> Result<Vec<Delivery>, StoreError>;

    /// Endpoints to which a delivery is due, at most `limit`. It may be one that waits for another of its line.
    async fn endpoints_due(&self, now: Timestamp, limit: usize) -> Result<Vec<EndpointKey>, StoreError>;

    /// Leases deliveries that are due, of each line only the first that is not settled.
    async fn lease(&self, wanted: Lease) -> Result<Vec<Due>, StoreError>;

    /// Comes back when a change that owes a delivery has been applied through this value since it was asked last, at
    /// once if that was before. A hint for whoever delivers: what other processes owe is not told, and it may come back
    /// for nothing.
    async fn owed(&self);

    /// Keeps what became of leased deliveries, of each only if its lease still stands.
    async fn settle(&self, now: Timestamp, settled: Vec<Settled>) -> Result<(), StoreError>;

    /// Entries of the audit that have no place in the chain yet, oldest first, at most `limit`.
    async fn unsealed_audit(&self, limit: usize) -> Result<Vec<AuditEntry>, StoreError>;

    /// The end of the audit's chain.
    async fn audit_head(&self) -> Result<AuditHead, StoreError>;

    /// Sealed entries of the audit after a place, in order, at most `limit`.
    async fn audit_after(&self, place: u64, limit: usize) -> Result<Vec<SealedEntry>, StoreError>;

    /// What keeps a number of a party: allocations, calls and events of all tenants in which it stands, each in the
    /// order of its keys from where the place says, at most `limit` of each.
    async fn mentions(
        &self,
        number: PhoneNumber,
        after: MentionsAfter,
        limit: usize,
    ) -> Result<Mentions, StoreError>;
}

/// Everything that one decision changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The moment of the decision: claims held until then or earlier are free.
    pub now: Timestamp,
    /// Whether somebody waits for it.
    pub haste: Haste,
    /// What must hold for the change to be applied, beside its claims.
    pub guards: Vec<Guard>,
    /// Allocations to write.
    pub allocations: Vec<AllocationWrite>,
    /// Claims to take. A claim that its own allocation holds already is held on, with the new time.
    pub take: Vec<Claim>,
    /// Claims to let go at `held_until`, each only if its allocation still holds it.
    pub cool: Vec<Claim>,
    /// Changes to tenants, keys, settings and pools. Any of them moves the revision.
    pub directory: Vec<DirectoryWrite>,
    /// The answer to keep for a repeat of the request.
    pub receipt: Option<Receipt>,
    /// Records of calls, new or in a next form. One is refused when the row has its version, a later one, or an end.
    pub calls: Vec<CallRecord>,
    /// Open calls that are to be hung up.
    pub hangups: Vec<(Sid, CallId)>,
    /// Events that are owed. One whose id is there already is the same, and stays.
    pub events: Vec<Event>,
    /// Deliveries of events.
    pub deliveries: Vec<DeliveryWrite>,
    /// The audit's entries of this change. One whose id is there already is the same, and stays.
    pub audit: Vec<AuditEntry>,
    /// The next piece of the audit's chain.
    pub seal: Option<Seal>,
    /// Rows whose content is replaced because a number was taken out of it. One that has moved on stays as it is.
    pub redact: Vec<Redaction>,
    /// A number of which no claim is to remain but those of allocations in which it stands, and no kept answer.
    pub forget: Option<PhoneNumber>,
}

/// Whether somebody waits for a change. It is as durable either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Somebody does.
    Prompt,
    /// Nobody does: it may wait some milliseconds for others to share its commit with.
    CanWait,
}

impl Change {
    /// A change decided at `now` that does nothing yet.
    pub fn at(now: Timestamp) -> Change {
        Change {
            now,
            haste: Haste::Prompt,
            guards: Vec::new(),
            allocations: Vec::new(),
            take: Vec::new(),
            cool: Vec::new(),
            directory: Vec::new(),
            receipt: None,
            calls: Vec::new(),
            hangups: Vec::new(),
            events: Vec::new(),
            deliveries: Vec::new(),
            audit: Vec::new(),
            seal: None,
            redact: Vec::new(),
            forget: None,
        }
    }
}

/// One allocation to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllocationWrite {
    /// A new one.
    Insert(Allocation),
    /// The new form of one whose version is still one less than the new form's.
    Update(Allocation),
}

/// What must hold for a change to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The tenant has this virtual number, and it is open.
    Lendable {
        /// Whose pool.
        tenant: Sid,
        /// Which number.
        virtual_number: PhoneNumber,
    },
    /// No other allocation holds the virtual number whole.
    Shared {
        /// Which number.
        virtual_number: PhoneNumber,
    },
    /// Other allocations hold at most so many pins on the virtual number.
    PinRoom {
        /// Which number.
        virtual_number: PhoneNumber,
        /// Whose pins do not count, not even those that it has let go and that cool.
        allocation: AllocationId,
        /// How many the others may hold beside what the allocation brings.
        others: u32,
    },
}

/// The key of a claim: what at most one allocation holds at a time. Sorted by kind, then as the fields stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimKey {
    /// A party's number on a virtual number.
    Number {
        /// The party's.
        number: PhoneNumber,
        /// The one it may dial.
        virtual_number: PhoneNumber,
    },
    /// A pin on a virtual number.
    Pin {
        /// The digits.
        pin: Pin,
        /// The number that is dialled before them.
        virtual_number: PhoneNumber,
    },
    /// A virtual number as a whole, by an allocation that shares it with no other of its kind.
    Whole {
        /// The number.
        virtual_number: PhoneNumber,
    },
    /// A tenant's connection id.
    Connection {
        /// Whose.
        tenant: Sid,
        /// The name.
        connection: ConnectionId,
    },
}

/// A key held by an allocation until a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is held.
    pub key: ClaimKey,
    /// By whom.
    pub allocation: AllocationId,
    /// Until when.
    pub held_until: Timestamp,
}

/// A claim of a number, held or let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastClaim {
    /// The party's number.
    pub number: PhoneNumber,
    /// The virtual number.
    pub virtual_number: PhoneNumber,
    /// Who holds or held it.
    pub allocation: AllocationId,
    /// Until when. In the past, this is the last moment at which the number was in use here.
    pub held_until: Timestamp,
}

/// What is known when a call arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFacts {
    /// Whether the number dialled is in a pool.
    pub pooled: bool,
    /// Whether the caller's own number is in a pool.
    pub caller_is_pooled: bool,
    /// The allocation that holds the caller's number there, if one does.
    pub holder: Option<Allocation>,
    /// Whether an allocation that is active there has pins.
    pub has_pins: bool,
}

/// Which of a tenant's allocations to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Made at this moment or after it.
    pub from: Timestamp,
    /// Made at this moment or before it.
    pub to: Timestamp,
    /// Only those that are (`true`) or are not (`false`) active at `now`.
    pub active: Option<bool>,
    /// The moment for which `active` is asked.
    pub now: Timestamp,
    /// How many to pass over.
    pub skip: u64,
    /// How many to give at most.
    pub limit: usize,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// The allocations, oldest first.
    pub allocations: Vec<Allocation>,
    /// How many there are on all pages.
    pub total: u64,
}

/// A change to what the directory shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryWrite {
    /// A new tenant.
    AddTenant(Sid),
    /// A setting's new text.
    SetSetting {
        /// Whose.
        tenant: Sid,
        /// Which.
        name: &'static str,
        /// Its text.
        value: String,
    },
    /// A new key. Refused when the tenant has [`LIVE_KEYS`](crate::tenant::LIVE_KEYS) live ones.
    AddKey(ApiKey),
    /// The end of a key.
    RevokeKey {
        /// Whose.
        tenant: Sid,
        /// Which.
        id: String,
    },
    /// A number for a tenant's pool. One that the tenant has already takes the new region, type and flow, and is
    /// open again.
    PutNumber {
        /// Whose pool.
        tenant: Sid,
        /// The number.
        number: VirtualNumber,
    },
    /// Whether a number is lent from here on.
    SetLending {
        /// Whose pool.
        tenant: Sid,
        /// Which number.
        number: PhoneNumber,
        /// Open or draining.
        lending: Lending,
    },
    /// The end of a draining number. Refused while anything is held on it.
    RemoveNumber {
        /// Whose pool.
        tenant: Sid,
        /// Which number.
        number: PhoneNumber,
    },
    /// A new endpoint, or the new form of one. Refused when the tenant has [`ENDPOINTS`](crate::endpoint::ENDPOINTS).
    PutEndpoint {
        /// Whose.
        tenant: Sid,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// The next form of an endpoint, or of a LeadAssist setting's row. Refused when it is not what it was taken for.
    ChangeEndpoint {
        /// Whose.
        tenant: Sid,
        /// What it was taken for.
        known: Box<Endpoint>,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// Whether an endpoint is sent to. A LeadAssist setting's gets a row for it when it has none.
    SetEndpointDisabled {
        /// Which.
        key: EndpointKey,
        /// Since when it is not, and why.
        disabled: Option<Disabled>,
    },
    /// The end of an endpoint; what is owed to it is given up.
    RemoveEndpoint(EndpointKey),
    /// A trunk, in the place of the one of its name if there is one.
    PutTrunk(Trunk),
    /// The end of a trunk.
    RemoveTrunk(TrunkName),
}

/// Which of a tenant's calls to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallQuery {
    /// That arrived at this moment or after it.
    pub from: Timestamp,
    /// That arrived before this moment.
    pub to: Timestamp,
    /// Of this allocation.
    pub allocation: Option<AllocationId>,
    /// In which this number of a party stands.
    pub number: Option<PhoneNumber>,
    /// To this virtual number.
    pub virtual_number: Option<PhoneNumber>,
    /// That ended so ([`CallEnd::word`](crate::calls::CallEnd::word)), or `open`.
    pub state: Option<String>,
    /// Older than this one.
    pub before: Option<CallId>,
    /// How many to give at most.
    pub limit: usize,
}

/// Which of a tenant's events to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// That happened at this moment or after it.
    pub from: Timestamp,
    /// That happened before this moment.
    pub to: Timestamp,
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// Of this allocation.
    pub allocation: Option<AllocationId>,
    /// Of this call.
    pub call: Option<CallId>,
    /// In which order.
    pub order: Order,
    /// That come after this one in the order.
    pub past: Option<EventId>,
    /// How many to give at most.
    pub limit: usize,
}

/// An order by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Oldest,
    /// Newest first.
    Newest,
}

/// Which of a tenant's deliveries to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryQuery {
    /// Of what happened at this moment or after it, to the millisecond.
    pub from: Timestamp,
    /// Of what happened before this moment, to the millisecond.
    pub to: Timestamp,
    /// Of events of this kind.
    pub kind: Option<EventKind>,
    /// To this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// That have come so far.
    pub state: Option<DeliveryState>,
    /// Older than this one.
    pub before: Option<(EventId, EndpointId)>,
    /// How many to give at most.
    pub limit: usize,
}

impl DeliveryQuery {
    /// The newest, whatever they are.
    pub const fn newest(limit: usize) -> DeliveryQuery {
        DeliveryQuery {
            from: Timestamp::EPOCH,
            to: Timestamp::NEVER,
            kind: None,
            endpoint: None,
            event: None,
            state: None,
            before: None,
            limit,
        }
    }
}

/// From where [`Store::mentions`] goes on; `None` from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MentionsAfter {
    /// After this allocation.
    pub allocation: Option<(Sid, AllocationId)>,
    /// After this call.
    pub call: Option<(Sid, CallId)>,
    /// After this event.
    pub event: Option<(Sid, EventId)>,
}

/// What keeps a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Allocations on a side of which it stands, listed or learned.
    pub allocations: Vec<Allocation>,
    /// Calls that it made, or in which it was rung.
    pub calls: Vec<CallRecord>,
    /// Events that tell it.
    pub events: Vec<Event>,
}

/// A row whose content is replaced because a number was taken out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redaction {
    /// An allocation of the same version.
    Allocation(Allocation),
    /// A call of the same version.
    Call(CallRecord),
    /// An event.
    Event(Event),
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// All of it holds now.
    Applied,
    /// None of it does.
    Refused(Conflict),
}

/// Why a change was not applied. Of several reasons, a kept answer is told before all others, since whoever repeats
/// a request finds what its first one did in the way; and a moved allocation before the claims decided on its old form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Another allocation holds this key.
    Held(ClaimKey),
    /// The allocation is not what it was when the change was decided.
    Moved(AllocationId),
    /// A guard does not hold.
    Guard(Guard),
    /// An answer is kept under the receipt's key already.
    Answered,
    /// A change to the directory does not fit it.
    Directory(DirectoryConflict),
    /// The record of the call has this step, a later one, or an end.
    CallMoved(CallId),
    /// The audit's chain does not end where the seal begins.
    Sealed,
}

/// Why a change to the directory does not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryConflict {
    /// There is such a tenant.
    #[error("a tenant with this SID exists already")]
    TenantExists,
    /// There is no such tenant.
    #[error("there is no tenant with this SID")]
    NoTenant,
    /// The tenant has as many live keys as it may have.
    #[error("the tenant has two live keys already: revoke one first")]
    TooManyKeys,
    /// The tenant has no such live key.
    #[error("the tenant has no live key of this name")]
    NoKey,
    /// Another tenant has the number.
    #[error("the number is in the pool of another tenant")]
    OthersNumber(PhoneNumber),
    /// The tenant does not have the number.
    #[error("the tenant's pool does not have the number")]
    NoNumber(PhoneNumber),
    /// The number is not draining.
    #[error("the number is open: drain it first")]
    NotDraining(PhoneNumber),
    /// Something is held on the number.
    #[error("the number is lent or cooling still")]
    StillHeld(PhoneNumber),
    /// The tenant has as many endpoints as it may have.
    #[error("the tenant has as many endpoints as it may have")]
    TooManyEndpoints,
    /// The tenant has no such endpoint.
    #[error("the tenant has no such endpoint")]
    NoEndpoint,
    /// The endpoint is another than it was taken for.
    #[error("the endpoint was changed in this moment")]
    EndpointMoved,
    /// There is no such trunk.
    #[error("there is no trunk of this name")]
    NoTrunk,
}

/// What to throw away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tidy {
    /// Claims that nobody has held since.
    pub claims_before: Timestamp,
    /// Allocations that ended, and cooled, before.
    pub allocations_before: Timestamp,
    /// Receipts made before.
    pub receipts_before: Timestamp,
    /// Sealed entries of the audit made before.
    pub audit_before: Timestamp,
    /// What each tenant keeps for as long as it wants.
    pub tenants: Vec<TidyTenant>,
    /// How many rows of each to look at in this step.
    pub step: usize,
}

/// What to throw away of a tenant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TidyTenant {
    /// Whose.
    pub tenant: Sid,
    /// Calls that arrived before, unless they are open.
    pub calls_before: Timestamp,
    /// Events that happened before, with their deliveries, unless one is owed still.
    pub events_before: Timestamp,
}

/// What was thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Claims.
    pub claims: u64,
    /// Allocations.
    pub allocations: u64,
    /// Receipts.
    pub receipts: u64,
    /// Calls.
    pub calls: u64,
    /// Events.
    pub events: u64,
    /// Entries of the audit.
    pub audit: u64,
    /// Which tables that are walked through came to their end in this step.
    pub ended: Ended,
}

impl Tidied {
    /// Whether there was nothing to throw away.
    pub fn is_nothing(&self) -> bool {
        Tidied { ended: Ended::default(), ..*self } == Tidied::default()
    }
}

/// Tables of which a step looks at a few rows, old or not, and goes on after them in the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Claims on virtual numbers.
    pub claims: bool,
    /// Claims of connection ids.
    pub connections: bool,
    /// Allocations.
    pub allocations: bool,
}

/// The store could not do what it was asked, for a reason that lies outside the contract. Never carries a number,
/// a pin or a client's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too much is waiting; nothing was done.
    #[error("the store has too much waiting")]
    Busy,
    /// The store cannot be written to or read from now; a write that was under way was undone.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What the store holds cannot be understood: a defect of this program or of the files.
    #[error("the store holds what it should not: {0}")]
    Corrupt(String),
}
