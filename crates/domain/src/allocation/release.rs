//! Ending an allocation before its time.

use crate::allocation::{Allocation, AllocationId, Ending, Standing, State};
use crate::event::{self, AllocationStep, told};
use crate::receipt::ReceiptWanted;
use crate::store::{AllocationWrite, Change, Conflict, Outcome, StoreError};
use crate::tenant::Tenant;
use crate::{ATTEMPTS, Ctx, Effect, Failure, refuse};

/// Why an allocation is not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseRefused {
    /// The tenant has no such allocation.
    NotFound,
    /// It has ended already.
    Ended,
    /// It is not of the version that the client wants ended; it is of this one.
    OtherVersion(u64),
    /// The request was answered meanwhile: the receipt tells how.
    Answered,
}

/// Ends an allocation: its numbers and pins cool from now on, its connection id is free at once. Calls in progress
/// go on.
pub async fn release(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    id: AllocationId,
    version: Option<u64>,
    receipt: Option<ReceiptWanted<'_>>,
) -> Result<Allocation, Failure<ReleaseRefused>> {
    for _ in 0..ATTEMPTS {
        let Some(mut allocation) = ctx.store.allocation(&tenant.sid, id).await? else {
            return refuse(ReleaseRefused::NotFound);
        };
        if let State::Cooling { .. } = allocation.state(ctx.now) {
            return refuse(ReleaseRefused::Ended);
        }
        if version.is_some_and(|wanted| wanted != allocation.version) {
            return refuse(ReleaseRefused::OtherVersion(allocation.version));
        }
        let cooling_until = ctx.now.plus(tenant.settings.cooling);
        allocation.standing = Standing::Ended { at: ctx.now, cooling_until, how: Ending::Released };
        allocation.version += 1;

        let mut change = Change::at(ctx.now);
        change.cool = allocation.claims();
        change.receipt = receipt.as_ref().map(|r| r.write(&allocation, &[], ctx.now));
        event::owe(&mut change, tenant, told(AllocationStep::Released, &allocation));
        change.allocations.push(AllocationWrite::Update(allocation.clone()));
        match ctx.commit(change).await? {
            Outcome::Applied => {
                if let Some(pooled) =
                    tenant.pool.get(allocation.virtual_number).filter(|_| ctx.effect == Effect::Keep)
                {
                    pooled.load.shrink();
                }
                return Ok(allocation);
            }
            Outcome::Refused(Conflict::Answered) => return refuse(ReleaseRefused::Answered),
            Outcome::Refused(_) => {}
        }
    }
    Err(Failure::Store(StoreError::Busy))
}
