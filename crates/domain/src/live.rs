//! Live calls: which node has which, and ending the records of those whose node is gone.
//!
//! Every node tells the store that it lives ([`beat`]). A node whose last word is older than [`LEASE`] is dead, by the
//! store's own clock where it has one; but only a node that has itself been heard without a gap for as long may say so, since
//! after an outage of the store all have been silent.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::Chance;
use crate::call::CallId;
use crate::calls::{CallEnd, CallRecord, CallStanding, Disconnector, last_step};
use crate::event::{self, Fact};
use crate::store::{Change, Conflict, Outcome, Store, StoreError};
use crate::tenant::{Directory, Sid};
use crate::time::Timestamp;
use crate::{Ctx, Failure, refuse};

/// How often a node is to tell that it lives.
pub const BEAT: Duration = Duration::from_secs(3);

/// After how long a silent node is dead.
pub const LEASE: Duration = Duration::from_secs(15);

/// How many records are ended in one round.
const BATCH: usize = 500;

/// Names a node, anew at each start: a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Uuid);

impl NodeId {
    /// A new name for a node that starts at `now`.
    pub fn new(now: Timestamp, rng: &mut Chance) -> NodeId {
        let mut random = [0; 10];
        rng.fill_bytes(&mut random);
        NodeId(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid())
    }

    /// The name of these 16 bytes, as the database keeps it.
    pub fn from_bytes(bytes: [u8; 16]) -> NodeId {
        NodeId(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<NodeId> {
        Uuid::try_parse(text).ok().map(NodeId)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells that a node lives. To be done every [`BEAT`].
pub async fn beat(store: &dyn Store, node: NodeId, now: Timestamp) -> Result<(), StoreError> {
    store.beat(node, now, LEASE).await
}

/// Ends the records of calls whose node has been silent for `lease`, a batch of them; answers how many were found.
pub async fn interrupt_the_dead(
    store: &dyn Store,
    directory: &Directory,
    judge: NodeId,
    now: Timestamp,
    lease: Duration,
) -> Result<usize, StoreError> {
    let orphans = store.orphaned_calls(judge, now, lease, BATCH).await?;
    for orphan in &orphans {
        interrupt(store, directory, orphan, now).await?;
    }
    Ok(orphans.len())
}

async fn interrupt(
    store: &dyn Store,
    directory: &Directory,
    orphan: &CallRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut call = orphan.clone();
    call.end(now, CallEnd::Interrupted, Disconnector::Program);
    // Before the parties hear each other nothing is recorded.
    if call.answered_at.is_none() {
        call.recording = None;
    }
    call.version += 1;
    let mut change = Change::at(now);
    change.calls.push(call.clone());
    if let Some(tenant) = directory.tenant(call.tenant.as_str()) {
        event::owe(&mut change, tenant, Fact::Call { what: last_step(&call), call: Box::new(call) });
    }
    match store.apply(change).await? {
        // Another node has ended it, or its own lives after all.
        Outcome::Applied | Outcome::Refused(Conflict::CallMoved(_)) => Ok(()),
        Outcome::Refused(
            Conflict::Held(_)
            | Conflict::Moved(_)
            | Conflict::Guard(_)
            | Conflict::Answered
            | Conflict::Directory(_)
            | Conflict::Sealed,
        ) => unreachable!("law: a call's record meets only its own conflict"),
    }
}

/// Why a call is not hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangupRefused {
    /// There is no such call.
    NotFound,
    /// It has ended.
    Ended,
}

/// Asks the node that has a call to hang up. It looks for such requests by [`Store::hangups`].
pub async fn request_hangup(ctx: &Ctx<'_>, tenant: &Sid, call: CallId) -> Result<(), Failure<HangupRefused>> {
    match ctx.store.call(tenant, call).await? {
        None => refuse(HangupRefused::NotFound),
        Some(CallRecord { standing: CallStanding::Ended { .. }, .. }) => refuse(HangupRefused::Ended),
        Some(_) => {
            let mut change = Change::at(ctx.now);
            change.hangups.push((tenant.clone(), call));
            match ctx.commit(change).await? {
                Outcome::Applied => Ok(()),
                Outcome::Refused(_) => unreachable!("law: a request to hang up meets no conflict"),
            }
        }
    }
}
