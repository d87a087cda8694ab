//! What operators change: tenants, their keys, settings and pools.

use crate::endpoint::EndpointKey;
use crate::number::PhoneNumber;
use crate::settings::{Hand, SettingRefused, Settings};
use crate::store::{Change, Conflict, DirectoryConflict, DirectoryWrite, Outcome, StoreError};
use crate::tenant::{ApiKey, Sid, Tenant};
use crate::trunk::{Trunk, TrunkName};
use crate::virtual_number::{Lending, VirtualNumber};
use crate::{Ctx, Failure, refuse};

/// How many numbers go into a pool with one change. More would hold up the changes of a running server, which
/// wait behind it.
pub const NUMBERS_AT_ONCE: usize = 1_000;

/// Makes a tenant with its first key.
pub async fn add_tenant(ctx: &Ctx<'_>, key: ApiKey) -> Result<(), Failure<DirectoryConflict>> {
    write(ctx, vec![DirectoryWrite::AddTenant(key.tenant.clone()), DirectoryWrite::AddKey(key)]).await
}

/// Gives a tenant another key.
pub async fn add_key(ctx: &Ctx<'_>, key: ApiKey) -> Result<(), Failure<DirectoryConflict>> {
    write(ctx, vec![DirectoryWrite::AddKey(key)]).await
}

/// Ends a key.
pub async fn revoke_key(ctx: &Ctx<'_>, tenant: Sid, id: String) -> Result<(), Failure<DirectoryConflict>> {
    write(ctx, vec![DirectoryWrite::RevokeKey { tenant, id }]).await
}

/// Puts numbers into a tenant's pool, all or none of them; see [`NUMBERS_AT_ONCE`].
pub async fn put_numbers(
    ctx: &Ctx<'_>,
    tenant: &Sid,
    numbers: Vec<VirtualNumber>,
) -> Result<(), Failure<DirectoryConflict>> {
    let put = |number| DirectoryWrite::PutNumber { tenant: tenant.clone(), number };
    write(ctx, numbers.into_iter().map(put).collect()).await
}

/// Opens numbers for lending, or lets them drain.
pub async fn set_lending(
    ctx: &Ctx<'_>,
    tenant: &Sid,
    numbers: &[PhoneNumber],
    lending: Lending,
) -> Result<(), Failure<DirectoryConflict>> {
    let set = |number: &PhoneNumber| DirectoryWrite::SetLending {
        tenant: tenant.clone(),
        number: *number,
        lending,
    };
    write(ctx, numbers.iter().map(set).collect()).await
}

/// Takes drained numbers out of a tenant's pool.
pub async fn remove_numbers(
    ctx: &Ctx<'_>,
    tenant: &Sid,
    numbers: &[PhoneNumber],
) -> Result<(), Failure<DirectoryConflict>> {
    let remove =
        |number: &PhoneNumber| DirectoryWrite::RemoveNumber { tenant: tenant.clone(), number: *number };
    write(ctx, numbers.iter().map(remove).collect()).await
}

/// Makes a trunk, or changes the one of its name.
pub async fn put_trunk(ctx: &Ctx<'_>, trunk: Trunk) -> Result<(), Failure<DirectoryConflict>> {
    write(ctx, vec![DirectoryWrite::PutTrunk(trunk)]).await
}

/// Ends a trunk. Its calls go on.
pub async fn remove_trunk(ctx: &Ctx<'_>, name: TrunkName) -> Result<(), Failure<DirectoryConflict>> {
    write(ctx, vec![DirectoryWrite::RemoveTrunk(name)]).await
}

/// Changes settings, all or none of them; answers the settings as they are then. A tenant's own hand may not
/// change what is the operator's.
pub async fn change_settings(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    hand: Hand,
    changes: &[(String, String)],
) -> Result<Settings, Failure<Vec<SettingRefused>>> {
    let mut settings = tenant.settings.clone();
    let mut refused = Vec::new();
    let mut writes = Vec::new();
    let unknown = changes.iter().filter(|(name, _)| Settings::find(name).is_none());
    refused.extend(unknown.map(|(name, _)| SettingRefused::Unknown { name: name.clone() }));
    // The table has what others rest on last: one request may bring a region and prefer it.
    for setting in Settings::table().iter().rev() {
        for (_, value) in changes.iter().filter(|(name, _)| name == setting.name) {
            if setting.hand == Hand::Operator && hand == Hand::Tenant {
                refused.push(SettingRefused::Value {
                    name: setting.name,
                    why: "is the operator's to change".to_owned(),
                });
                continue;
            }
            match settings.set(setting.name, value) {
                Ok(()) => {
                    writes.push(DirectoryWrite::SetSetting {
                        tenant: tenant.sid.clone(),
                        name: setting.name,
                        value: settings.text(setting),
                    });
                    writes.extend(enabled_by(tenant, setting.name));
                }
                Err(why) => refused.push(why),
            }
        }
    }
    if !refused.is_empty() {
        return refuse(refused);
    }
    match write(ctx, writes).await {
        Ok(()) => Ok(settings),
        Err(Failure::Store(error)) => Err(Failure::Store(error)),
        // The tenant was there when the request came in, and tenants are never removed.
        Err(Failure::Refused(_)) => Err(Failure::Store(StoreError::Busy)),
    }
}

/// An endpoint that was disabled is sent to again once its setting is set.
fn enabled_by(tenant: &Tenant, setting: &str) -> Option<DirectoryWrite> {
    let named = tenant.endpoints.iter().find(|endpoint| endpoint.id.as_str() == setting)?;
    let key = EndpointKey { tenant: tenant.sid.clone(), id: named.id.clone() };
    named.disabled.is_some().then_some(DirectoryWrite::SetEndpointDisabled { key, disabled: None })
}

async fn write(ctx: &Ctx<'_>, writes: Vec<DirectoryWrite>) -> Result<(), Failure<DirectoryConflict>> {
    let mut change = Change::at(ctx.now);
    change.directory = writes;
    match ctx.commit(change).await? {
        Outcome::Applied => Ok(()),
        Outcome::Refused(Conflict::Directory(conflict)) => refuse(conflict),
        Outcome::Refused(
            Conflict::Held(_)
            | Conflict::Moved(_)
            | Conflict::Guard(_)
            | Conflict::Answered
            | Conflict::CallMoved(_)
            | Conflict::Sealed,
        ) => unreachable!("law: a change to the directory alone meets only the directory's conflicts"),
    }
}
