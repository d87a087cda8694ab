//! Looking allocations up.

use crate::Ctx;
use crate::allocation::{Allocation, AllocationId, ConnectionId};
use crate::number::PhoneNumber;
use crate::store::{ListPage, ListQuery, StoreError};
use crate::tenant::Tenant;

/// The most allocations that a look-up by number tells of.
pub const MOST_BY_NUMBER: usize = 100;

/// One allocation of a tenant. Another tenant's is as if it had never been.
pub async fn by_id(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    id: AllocationId,
) -> Result<Option<Allocation>, StoreError> {
    ctx.store.allocation(&tenant.sid, id).await
}

/// The allocation that a connection id named last: how a client learns what became of a request whose answer
/// it did not get.
pub async fn by_connection(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    connection: &ConnectionId,
) -> Result<Option<Allocation>, StoreError> {
    ctx.store.allocation_by_connection(&tenant.sid, connection).await
}

/// The allocations in which a number is or was a party, newest first, at most [`MOST_BY_NUMBER`].
pub async fn by_number(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    number: PhoneNumber,
) -> Result<Vec<Allocation>, StoreError> {
    ctx.store.allocations_by_number(&tenant.sid, number, MOST_BY_NUMBER).await
}

/// A page of a tenant's allocations, oldest first.
pub async fn list(ctx: &Ctx<'_>, tenant: &Tenant, wanted: ListQuery) -> Result<ListPage, StoreError> {
    ctx.store.list(&tenant.sid, wanted).await
}
