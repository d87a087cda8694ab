//! The contract of storage: what a store promises, and the one value by which everything is changed.
//!
//! **Isolation.** A [`Change`] is applied as if alone: all of it, or none. **Durability.** When
//! [`Store::apply`] has answered [`Outcome::Applied`], the change survives a killed process and a power cut; when
//! it has answered [`Outcome::Refused`] or failed, nothing of it is kept, except that a failure in the moment of
//! committing may leave it either way. **Reads** see every change that was answered before they began.
//!
//! A claim is *free* when its `held_until` is not after the `now` of the change that wants it. No sweep is needed
//! for that: taking over is part of taking. [`Store::tidy`] only throws away what no rule looks at any more.

use async_trait::async_trait;

use crate::allocation::{Allocation, AllocationId, ConnectionId};
use crate::number::PhoneNumber;
use crate::pin::Pin;
use crate::receipt::Receipt;
use crate::tenant::{ApiKey, Directory, Sid};
use crate::time::Timestamp;
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
}

/// Everything that one decision changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The moment of the decision: claims held until then or earlier are free.
    pub now: Timestamp,
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
}

impl Change {
    /// A change decided at `now` that does nothing yet.
    pub fn at(now: Timestamp) -> Change {
        Change {
            now,
            guards: Vec::new(),
            allocations: Vec::new(),
            take: Vec::new(),
            cool: Vec::new(),
            directory: Vec::new(),
            receipt: None,
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
}

/// What to throw away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tidy {
    /// Claims that nobody has held since.
    pub claims_before: Timestamp,
    /// Allocations that ended, and cooled, before.
    pub allocations_before: Timestamp,
    /// Receipts made before.
    pub receipts_before: Timestamp,
    /// How many rows of each to look at in this step.
    pub step: usize,
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
