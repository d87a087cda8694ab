//! The audit: an append-only record of every change, that shows when somebody has altered it.
//!
//! Each [`Change`] carries its own entries, made from what it does. Soon afterwards one background step ([`seal`]) puts
//! what is new into one chain: every entry gets the next place and a hash over itself and the hash before it. An entry that is altered,
//! taken out or put in later breaks the chain at its place. What is not sealed yet is not protected; and whoever can
//! write to the database can make the whole chain anew, which only a copy of its head, kept elsewhere, shows.
//!
//! Entries tell no number and no pin: their subjects are ids.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::allocation::{Ending, Standing};
use crate::delivery::DeliveryWrite;
use crate::number::PhoneNumber;
use crate::store::{AllocationWrite, Change, Conflict, DirectoryWrite, Outcome, Store, StoreError};
use crate::tenant::Sid;
use crate::time::Timestamp;
use crate::virtual_number::Lending;

/// Who changes something, and in answer to which request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub actor: Actor,
    /// The request's id, if it was one.
    pub request: Option<String>,
}

impl Origin {
    /// The program, of its own accord.
    pub const PROGRAM: Origin = Origin { actor: Actor::Program, request: None };
}

/// Who changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The program, of its own accord.
    Program,
    /// Somebody at the command line, by the name of the system's user.
    Operator(String),
    /// A tenant, by a key.
    Key {
        /// The key's name.
        name: String,
        /// Where the request came from, if that is known.
        from: Option<IpAddr>,
    },
    /// A caller, by a pin.
    Caller,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Program => f.write_str("program"),
            Actor::Operator(user) => write!(f, "operator:{user}"),
            Actor::Key { name, from: None } => write!(f, "key:{name}"),
            Actor::Key { name, from: Some(address) } => write!(f, "key:{name} from {address}"),
            Actor::Caller => f.write_str("caller"),
        }
    }
}

/// One thing that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Whose thing it is.
    pub tenant: Option<Sid>,
    /// Who changed it: [`Actor`] as it prints.
    pub actor: String,
    /// In answer to which request.
    pub request: Option<String>,
    /// What was done: `allocation.created`.
    pub what: String,
    /// To what: an id, a name, a version.
    pub subject: String,
}

/// Names an entry: a UUIDv7 in form, whose random part is drawn from the entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(Uuid);

impl AuditId {
    /// The id of these 16 bytes, as the database keeps it.
    pub fn from_bytes(bytes: [u8; 16]) -> AuditId {
        AuditId(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of the chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The place of the last sealed entry; 0 when there is none.
    pub place: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// Before the first entry.
    pub const START: AuditHead = AuditHead { place: 0, hash: [0; 32] };
}

impl fmt::Debug for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHead({}, {})", self.place, hex(&self.hash))
    }
}

/// The digits of a hash.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry in its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEntry {
    /// Its place, and the hash over all up to it.
    pub head: AuditHead,
    /// The entry.
    pub entry: AuditEntry,
}

/// The next piece of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What it follows. If the chain has another end meanwhile, nothing is sealed.
    pub after: AuditHead,
    /// The entries with their places, in order.
    pub entries: Vec<(AuditId, AuditHead)>,
}

/// How many entries are sealed in one step.
const BATCH: usize = 500;

/// Seals entries that are not sealed yet, a batch of them; answers how many.
pub async fn seal(store: &dyn Store, now: Timestamp) -> Result<usize, StoreError> {
    let entries = store.unsealed_audit(BATCH).await?;
    if entries.is_empty() {
        return Ok(0);
    }
    let after = store.audit_head().await?;
    let sealed = entries.iter().scan(after, |head, entry| {
        *head = next(*head, entry);
        Some((entry.id, *head))
    });
    let mut change = Change::at(now);
    change.seal = Some(Seal { after, entries: sealed.collect() });
    match store.apply(change).await? {
        Outcome::Applied => Ok(entries.len()),
        // Another node was faster.
        Outcome::Refused(Conflict::Sealed) => Ok(0),
        Outcome::Refused(
            Conflict::Held(_)
            | Conflict::Moved(_)
            | Conflict::Guard(_)
            | Conflict::Answered
            | Conflict::Directory(_)
            | Conflict::CallMoved(_),
        ) => unreachable!("law: a seal meets only its own conflict"),
    }
}

/// The end of the chain after one more entry.
fn next(before: AuditHead, entry: &AuditEntry) -> AuditHead {
    let AuditEntry { id, at, tenant, actor, request, what, subject } = entry;
    let place = before.place + 1;
    let mut hash = Sha256::new();
    hash.update(before.hash);
    hash.update(place.to_be_bytes());
    hash.update(id.as_bytes());
    hash.update(at.as_micros().to_be_bytes());
    let texts =
        [tenant.as_ref().map(Sid::as_str), Some(actor), request.as_deref(), Some(what), Some(subject)];
    for text in texts {
        // The length before the text: no two entries make the same bytes.
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(text.unwrap_or_default());
    }
    AuditHead { place, hash: hash.finalize().into() }
}

/// What was found in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// The entries that were looked at.
    pub entries: u64,
    /// The place of the first: greater than 1 when older ones were tidied away.
    pub first: u64,
    /// The end of the chain.
    pub head: AuditHead,
    /// The entries that are not sealed yet.
    pub unsealed: usize,
    /// The first place at which the chain does not hold, and why.
    pub broken: Option<(u64, &'static str)>,
}

/// Checks the chain from its first entry to its head.
pub async fn verify(store: &dyn Store) -> Result<AuditReport, StoreError> {
    let head = store.audit_head().await?;
    let unsealed = store.unsealed_audit(usize::MAX).await?.len();
    let mut report = AuditReport { entries: 0, first: 0, head, unsealed, broken: None };
    let mut last: Option<AuditHead> = None;
    loop {
        let after = last.map_or(0, |last| last.place);
        let page = store.audit_after(after, BATCH).await?;
        if page.is_empty() {
            break;
        }
        for SealedEntry { head: kept, entry } in page {
            if kept.place > head.place {
                // Sealed since the head was read.
                return Ok(report);
            }
            let expected = match last {
                Some(last) => next(last, &entry),
                None if kept.place == 1 => next(AuditHead::START, &entry),
                // What stood before was tidied away, and its hash is taken at its word.
                None => kept,
            };
            if report.first == 0 {
                report.first = kept.place;
            }
            if kept.place != expected.place {
                report.broken = Some((expected.place, "an entry is missing"));
                return Ok(report);
            }
            if kept.hash != expected.hash {
                report.broken = Some((kept.place, "the entry, or one before it, was altered"));
                return Ok(report);
            }
            report.entries += 1;
            last = Some(kept);
        }
    }
    if last.unwrap_or(AuditHead::START) != head {
        report.broken = Some((head.place, "the last entries are missing"));
    }
    Ok(report)
}

/// The entries of a change.
pub(crate) fn entries(change: &Change, by: &Origin) -> Vec<AuditEntry> {
    let mut entries = Entries { now: change.now, by, entries: Vec::new() };
    for write in &change.allocations {
        let (what, allocation) = match write {
            AllocationWrite::Insert(allocation) => ("allocation.created", allocation),
            AllocationWrite::Update(allocation) => match allocation.standing {
                Standing::Ended { how: Ending::Expired, .. } => ("allocation.expired", allocation),
                Standing::Ended { how: Ending::Released, .. } => ("allocation.released", allocation),
                Standing::Lent { .. } => ("allocation.updated", allocation),
            },
        };
        let subject = format!("{} version {}", allocation.id, allocation.version);
        entries.add(Some(&allocation.tenant), what, subject);
    }
    for write in &change.directory {
        entries.add_directory(write);
    }
    for write in &change.deliveries {
        if let DeliveryWrite::Again(delivery) = write {
            let subject = format!("{} to {}", delivery.key.event, delivery.key.endpoint);
            entries.add(Some(&delivery.key.tenant), "event.replayed", subject);
        }
    }
    for (tenant, call) in &change.hangups {
        entries.add(Some(tenant), "call.hangup-requested", call.to_string());
    }
    if let Some(number) = change.forget {
        entries.add(None, "number.erased", masked(number));
    }
    entries.entries
}

/// A number that tells whoever knows it that it is the one, and nobody else which.
fn masked(number: PhoneNumber) -> String {
    format!("{number:?}")
}

struct Entries<'a> {
    now: Timestamp,
    by: &'a Origin,
    entries: Vec<AuditEntry>,
}

impl Entries<'_> {
    fn add(&mut self, tenant: Option<&Sid>, what: &'static str, subject: String) {
        let actor = self.by.actor.to_string();
        let drawn = Sha256::new()
            .chain_update(self.now.as_micros().to_be_bytes())
            .chain_update(&actor)
            .chain_update(self.by.request.as_deref().unwrap_or_default())
            .chain_update(tenant.map(Sid::as_str).unwrap_or_default())
            .chain_update(what)
            .chain_update(&subject)
            .finalize();
        let mut random = [0; 10];
        random.copy_from_slice(&drawn[..10]);
        let id = uuid::Builder::from_unix_timestamp_millis(self.now.as_millis(), &random).into_uuid();
        self.entries.push(AuditEntry {
            id: AuditId(id),
            at: self.now,
            tenant: tenant.cloned(),
            actor,
            request: self.by.request.clone(),
            what: what.to_owned(),
            subject,
        });
    }

    fn add_directory(&mut self, write: &DirectoryWrite) {
        match write {
            DirectoryWrite::AddTenant(sid) => self.add(Some(sid), "tenant.added", sid.to_string()),
            DirectoryWrite::SetSetting { tenant, name, value: _ } => {
                self.add(Some(tenant), "setting.set", (*name).to_owned());
            }
            DirectoryWrite::AddKey(key) => self.add(Some(&key.tenant), "key.added", key.id.clone()),
            DirectoryWrite::RevokeKey { tenant, id } => self.add(Some(tenant), "key.revoked", id.clone()),
            // Virtual numbers are the operator's, and nobody's personal data.
            DirectoryWrite::PutNumber { tenant, number } => {
                self.add(Some(tenant), "number.put", number.number.expose_digits().to_string());
            }
            DirectoryWrite::SetLending { tenant, number, lending } => {
                let what = match lending {
                    Lending::Open => "number.opened",
                    Lending::Draining => "number.drained",
                };
                self.add(Some(tenant), what, number.expose_digits().to_string());
            }
            DirectoryWrite::RemoveNumber { tenant, number } => {
                self.add(Some(tenant), "number.removed", number.expose_digits().to_string());
            }
            DirectoryWrite::PutEndpoint { tenant, endpoint }
            | DirectoryWrite::ChangeEndpoint { tenant, known: _, endpoint } => {
                self.add(Some(tenant), "endpoint.put", endpoint.id.to_string());
            }
            DirectoryWrite::SetEndpointDisabled { key, disabled } => {
                let what = if disabled.is_some() { "endpoint.disabled" } else { "endpoint.enabled" };
                self.add(Some(&key.tenant), what, key.id.to_string());
            }
            DirectoryWrite::RemoveEndpoint(key) => {
                self.add(Some(&key.tenant), "endpoint.removed", key.id.to_string());
            }
            DirectoryWrite::PutTrunk(trunk) => self.add(None, "trunk.put", trunk.name.to_string()),
            DirectoryWrite::RemoveTrunk(name) => self.add(None, "trunk.removed", name.to_string()),
        }
    }
}
