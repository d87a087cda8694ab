//! Writing down that allocations have ended by their policy.
//!
//! Nothing waits for this: an allocation ends by the comparison of two times ([`Allocation::state`]). What is
//! written here makes the end visible to lists and counts, and owes the event of it.

use crate::allocation::{Allocation, Ending, Standing};
use crate::audit::{self, Origin};
use crate::event::{self, AllocationStep, told};
use crate::store::{AllocationWrite, Change, Conflict, Outcome, Store, StoreError};
use crate::tenant::Directory;
use crate::time::Timestamp;

/// How many ends are written down with one change. More would hold up clients' own changes, which wait in the
/// same queue.
const BATCH: usize = 200;

/// Writes down the ends that were due by `now`, a batch of them; answers how many were due. Repeating it is
/// harmless.
pub async fn expire_due(
    store: &dyn Store,
    directory: &Directory,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let due = store.due(now, BATCH).await?;
    let mut ended: Vec<Allocation> = due.iter().filter_map(ended).collect();
    while !ended.is_empty() {
        let mut change = Change::at(now);
        for allocation in &ended {
            if let Some(tenant) = directory.tenant(allocation.tenant.as_str()) {
                event::owe(&mut change, tenant, told(AllocationStep::Expired, allocation));
            }
        }
        change.allocations = ended.iter().cloned().map(AllocationWrite::Update).collect();
        change.audit = audit::entries(&change, &Origin::PROGRAM);
        match store.apply(change).await? {
            Outcome::Applied => break,
            // A client has changed this one meanwhile; if it is still due, the next round has it.
            Outcome::Refused(Conflict::Moved(id)) => ended.retain(|allocation| allocation.id != id),
            Outcome::Refused(
                Conflict::Held(_)
                | Conflict::Guard(_)
                | Conflict::Answered
                | Conflict::Directory(_)
                | Conflict::CallMoved(_)
                | Conflict::Sealed,
            ) => unreachable!("law: an end takes no claim and has no guard"),
        }
    }
    for allocation in &ended {
        let number = allocation.virtual_number;
        if let Some(pooled) = directory.owner(number).and_then(|tenant| tenant.pool.get(number)) {
            pooled.load.shrink();
        }
    }
    Ok(due.len())
}

fn ended(allocation: &Allocation) -> Option<Allocation> {
    match allocation.standing {
        Standing::Lent { expires_at, cooling } => Some(Allocation {
            standing: Standing::Ended {
                at: expires_at,
                cooling_until: expires_at.plus(cooling),
                how: Ending::Expired,
            },
            version: allocation.version + 1,
            ..allocation.clone()
        }),
        Standing::Ended { .. } => None,
    }
}
