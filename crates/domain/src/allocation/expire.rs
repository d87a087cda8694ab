//! Writing down that allocations have ended by their policy.
//!
//! Nothing waits for this: an allocation ends by the comparison of two times ([`Allocation::state`]). What is
//! written here makes the end visible to lists and counts, and is where the event of it will be owed.

use crate::allocation::{Allocation, Ending, Standing};
use crate::store::{AllocationWrite, Change, Outcome, Store, StoreError};
use crate::tenant::Directory;
use crate::time::Timestamp;

/// How many ends are written down at a time. More would hold up clients' own changes, which wait in the same
/// queue.
const BATCH: usize = 200;

/// Writes down the ends that were due by `now`, a batch of them; answers how many. Repeating it is harmless.
pub async fn expire_due(
    store: &dyn Store,
    directory: &Directory,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let due = store.due(now, BATCH).await?;
    for allocation in &due {
        let Some(ended) = ended(allocation) else { continue };
        let mut change = Change::at(now);
        change.allocations.push(AllocationWrite::Update(ended));
        // Refused when a client has changed the allocation meanwhile; if it is still due, the next round has it.
        if store.apply(change).await? == Outcome::Applied {
            let pooled = directory
                .owner(allocation.virtual_number)
                .and_then(|t| t.pool.get(allocation.virtual_number));
            if let Some(pooled) = pooled {
                pooled.load.shrink();
            }
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
