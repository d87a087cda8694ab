//! Tenants with their keys, settings and pools: their changes, and the picture of them that each node keeps.

use std::collections::HashSet;

use callveil_domain::endpoint::{self, Dialect, Disabled, ENDPOINTS, Endpoint, EndpointKey, Secret};
use callveil_domain::event::EventKind;
use callveil_domain::number::PhoneNumber;
use callveil_domain::settings::Settings;
use callveil_domain::store::{Conflict, DirectoryConflict, DirectoryWrite};
use callveil_domain::tenant::{ApiKey, Directory, LIVE_KEYS, Sid, Tenant};
use callveil_domain::time::Timestamp;
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_domain::virtual_number::{
    FlowId, Lending, Load, NumberType, Pool, Pooled, Region, VirtualNumber,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params};

use super::apply::Stop;
use super::facts::endpoint_id;
use super::fault::Fault;
use super::rows::{Cells, all, count, digits};
use super::statements as sql;
use crate::encoding::{self, dialect_code, lending, lending_code};

/// The virtual numbers on which something is held, as found by a long read before the change that asks.
pub(super) struct Held {
    /// As of this revision. What drains at it gains no claim while the revision stays: taking the first claim on
    /// a number is guarded by its being open, and whoever holds claims already was seen.
    revision: u64,
    numbers: HashSet<i64>,
}

/// Finds out where anything is held at `now`, by going through all claims.
pub(super) fn numbers_held(db: &Connection, now: Timestamp) -> Result<Held, Fault> {
    held_as_of(&*db.unchecked_transaction()?, now)
}

fn held_as_of(tx: &Connection, now: Timestamp) -> Result<Held, Fault> {
    let revision = revision(tx)?;
    let mut statement = tx.prepare_cached(sql::NUMBERS_HELD)?;
    let numbers = statement.query_map([now.as_micros()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Held { revision, numbers })
}

/// Applies the changes of one decision in their order, and moves the revision.
pub(super) fn apply(
    tx: &Connection,
    writes: &[DirectoryWrite],
    now: Timestamp,
    held: Option<&Held>,
) -> Result<(), Stop> {
    let revision = revision(tx)?;
    let held = held.filter(|held| held.revision == revision);
    for write in writes {
        apply_one(tx, write, now, held)?;
    }
    tx.prepare_cached(sql::MOVE_REVISION)?.execute([])?;
    Ok(())
}

fn apply_one(
    tx: &Connection,
    write: &DirectoryWrite,
    now: Timestamp,
    held: Option<&Held>,
) -> Result<(), Stop> {
    match write {
        DirectoryWrite::AddTenant(sid) => {
            one_row(tx.prepare_cached(sql::ADD_TENANT)?, [sid.as_str()], DirectoryConflict::TenantExists)
        }
        DirectoryWrite::SetSetting { tenant, name, value } => {
            require_tenant(tx, tenant)?;
            tx.prepare_cached(sql::SET_SETTING)?.execute(params![tenant.as_str(), name, value])?;
            Ok(())
        }
        DirectoryWrite::AddKey(key) => add_key(tx, key),
        DirectoryWrite::RevokeKey { tenant, id } => {
            require_tenant(tx, tenant)?;
            let which = params![tenant.as_str(), id, now.as_micros()];
            one_row(tx.prepare_cached(sql::REVOKE_KEY)?, which, DirectoryConflict::NoKey)
        }
        DirectoryWrite::PutNumber { tenant, number } => put_number(tx, tenant, number),
        DirectoryWrite::SetLending { tenant, number, lending } => {
            require_tenant(tx, tenant)?;
            let which = params![tenant.as_str(), digits(*number), lending_code(*lending)];
            one_row(tx.prepare_cached(sql::SET_LENDING)?, which, DirectoryConflict::NoNumber(*number))
        }
        DirectoryWrite::RemoveNumber { tenant, number } => remove_number(tx, tenant, *number, now, held),
        DirectoryWrite::PutEndpoint { tenant, endpoint } => put_endpoint(tx, tenant, endpoint),
        DirectoryWrite::ChangeEndpoint { tenant, known, endpoint } => {
            require_endpoint(tx, tenant, known)?;
            put_endpoint(tx, tenant, endpoint)
        }
        DirectoryWrite::SetEndpointDisabled { key, disabled } => {
            set_endpoint_disabled(tx, key, disabled.as_ref())
        }
        DirectoryWrite::RemoveEndpoint(EndpointKey { tenant, id }) => {
            require_tenant(tx, tenant)?;
            let which = params![tenant.as_str(), id.as_str()];
            one_row(tx.prepare_cached(sql::REMOVE_ENDPOINT)?, which, DirectoryConflict::NoEndpoint)?;
            let given_up = params![tenant.as_str(), id.as_str(), now.as_micros()];
            tx.prepare_cached(sql::GIVE_UP_DELIVERIES)?.execute(given_up)?;
            Ok(())
        }
        DirectoryWrite::PutTrunk(trunk) => put_trunk(tx, trunk),
        DirectoryWrite::RemoveTrunk(name) => match forget_trunk(tx, name)? {
            0 => Err(refused(DirectoryConflict::NoTrunk)),
            _ => Ok(()),
        },
    }
}

/// An endpoint must be what it was taken for. The row of a setting may not be there yet.
fn require_endpoint(tx: &Connection, tenant: &Sid, known: &Endpoint) -> Result<(), Stop> {
    require_tenant(tx, tenant)?;
    let of_tenant = all(tx, sql::ENDPOINTS, [tenant.as_str()], endpoint)?;
    let there = of_tenant.into_iter().find(|endpoint| endpoint.id == known.id);
    let of_setting = || endpoint::is_setting(known.id.as_str()).then(|| endpoint::row_of_setting(&known.id));
    match there.or_else(of_setting) {
        None => Err(refused(DirectoryConflict::NoEndpoint)),
        Some(there) if there == *known => Ok(()),
        Some(_) => Err(refused(DirectoryConflict::EndpointMoved)),
    }
}

fn put_endpoint(tx: &Connection, tenant: &Sid, endpoint: &Endpoint) -> Result<(), Stop> {
    let Endpoint { id, dialect, url, kinds, masked, secrets, created_at, disabled } = endpoint;
    require_tenant(tx, tenant)?;
    if *dialect == Dialect::Standard {
        let of = params![tenant.as_str(), id.as_str()];
        let others: i64 = tx.prepare_cached(sql::COUNT_OTHER_ENDPOINTS)?.query_one(of, |row| row.get(0))?;
        if others >= count(ENDPOINTS) {
            return Err(refused(DirectoryConflict::TooManyEndpoints));
        }
    }
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    // Of one that is still used beside a newer one, the end is known.
    let old = secrets.get(1).and_then(|old| Some((old.key, old.until?.as_micros())));
    tx.prepare_cached(sql::PUT_ENDPOINT)?.execute(params![
        tenant.as_str(),
        id.as_str(),
        dialect_code(*dialect),
        url,
        kinds.join(","),
        masked,
        secrets.first().map(|secret| secret.key),
        old.map(|(key, _)| key),
        old.map(|(_, until)| until),
        created_at.as_micros(),
        disabled.as_ref().map(|disabled| disabled.at.as_micros()),
        disabled.as_ref().map(|disabled| disabled.why.as_str()),
    ])?;
    Ok(())
}

fn set_endpoint_disabled(
    tx: &Connection,
    key: &EndpointKey,
    disabled: Option<&Disabled>,
) -> Result<(), Stop> {
    let EndpointKey { tenant, id } = key;
    require_tenant(tx, tenant)?;
    let (at, why) = (disabled.map(|d| d.at.as_micros()), disabled.map(|d| d.why.as_str()));
    let changed = tx.prepare_cached(sql::SET_ENDPOINT_DISABLED)?.execute(params![
        tenant.as_str(),
        id.as_str(),
        at,
        why
    ])?;
    match changed {
        0 if endpoint::is_setting(id.as_str()) => {
            let row = Endpoint { disabled: disabled.cloned(), ..endpoint::row_of_setting(id) };
            put_endpoint(tx, tenant, &row)
        }
        0 => Err(refused(DirectoryConflict::NoEndpoint)),
        _ => Ok(()),
    }
}

fn endpoint(row: &Row<'_>) -> Result<Endpoint, Fault> {
    let mut cells = Cells::from(row, 0);
    Ok(Endpoint {
        id: endpoint_id(cells.text()?)?,
        dialect: encoding::dialect(cells.take()?)?,
        url: cells.take()?,
        kinds: kinds(cells.text()?)?,
        masked: cells.take()?,
        secrets: {
            let secret = cells.take::<Option<[u8; 32]>>()?.map(|key| Secret { key, until: None });
            let old = cells.take::<Option<[u8; 32]>>()?;
            let until = cells.take::<Option<i64>>()?.map(Timestamp::from_micros);
            secret.into_iter().chain(old.map(|key| Secret { key, until })).collect()
        },
        created_at: cells.moment()?,
        disabled: {
            let at = cells.take::<Option<i64>>()?.map(Timestamp::from_micros);
            at.zip(cells.take()?).map(|(at, why)| Disabled { at, why })
        },
    })
}

fn kinds(names: &str) -> Result<Vec<EventKind>, Fault> {
    let kind = |name| EventKind::parse(name).ok_or(Fault::Row("an unknown kind of event"));
    names.split(',').filter(|name| !name.is_empty()).map(kind).collect()
}

fn add_key(tx: &Connection, key: &ApiKey) -> Result<(), Stop> {
    let ApiKey { id, tenant, token_hash, created_at, revoked_at } = key;
    require_tenant(tx, tenant)?;
    let live: i64 =
        tx.prepare_cached(sql::COUNT_LIVE_KEYS)?.query_one([tenant.as_str()], |row| row.get(0))?;
    if live >= count(LIVE_KEYS) {
        return Err(refused(DirectoryConflict::TooManyKeys));
    }
    let revoked_at = revoked_at.map(Timestamp::as_micros);
    let key = params![id, tenant.as_str(), token_hash, created_at.as_micros(), revoked_at];
    tx.prepare_cached(sql::ADD_KEY)?.execute(key)?;
    Ok(())
}

fn put_number(tx: &Connection, tenant: &Sid, number: &VirtualNumber) -> Result<(), Stop> {
    let VirtualNumber { number, region, number_type, flow, state } = number;
    require_tenant(tx, tenant)?;
    let row = params![
        digits(*number),
        tenant.as_str(),
        region.as_ref().map(Region::as_str),
        number_type.map(NumberType::as_str),
        flow.as_ref().map(FlowId::as_str),
        lending_code(*state),
    ];
    one_row(tx.prepare_cached(sql::PUT_NUMBER)?, row, DirectoryConflict::OthersNumber(*number))
}

fn put_trunk(tx: &Connection, trunk: &Trunk) -> Result<(), Stop> {
    forget_trunk(tx, &trunk.name)?;
    let mut say = tx.prepare_cached(sql::SAY_OF_TRUNK)?;
    for (setting, value) in trunk.said() {
        say.execute(params![trunk.name.as_str(), setting, value])?;
    }
    Ok(())
}

fn forget_trunk(tx: &Connection, name: &TrunkName) -> Result<usize, Fault> {
    Ok(tx.prepare_cached(sql::REMOVE_TRUNK)?.execute([name.as_str()])?)
}

fn remove_number(
    tx: &Connection,
    tenant: &Sid,
    number: PhoneNumber,
    now: Timestamp,
    held: Option<&Held>,
) -> Result<(), Stop> {
    require_tenant(tx, tenant)?;
    match standing_of(tx, number)? {
        Some((owner, Lending::Draining)) if owner == *tenant => {}
        Some((owner, Lending::Open)) if owner == *tenant => {
            return Err(refused(DirectoryConflict::NotDraining(number)));
        }
        Some(_) | None => return Err(refused(DirectoryConflict::NoNumber(number))),
    }
    let is_held = match held {
        Some(held) => held.numbers.contains(&digits(number)),
        None => held_as_of(tx, now)?.numbers.contains(&digits(number)),
    };
    if is_held {
        return Err(refused(DirectoryConflict::StillHeld(number)));
    }
    let which = params![tenant.as_str(), digits(number)];
    one_row(tx.prepare_cached(sql::REMOVE_NUMBER)?, which, DirectoryConflict::NoNumber(number))
}

/// Whose a number is, and whether it is lent.
pub(super) fn standing_of(db: &Connection, number: PhoneNumber) -> Result<Option<(Sid, Lending)>, Fault> {
    let mut statement = db.prepare_cached(sql::NUMBER)?;
    let mut rows = statement.query([digits(number)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut cells = Cells::from(row, 0);
    Ok(Some((cells.sid()?, lending(cells.take()?)?)))
}

fn require_tenant(tx: &Connection, tenant: &Sid) -> Result<(), Stop> {
    let found = tx.prepare_cached(sql::TENANT_EXISTS)?.query_row([tenant.as_str()], |_| Ok(())).optional()?;
    found.ok_or(refused(DirectoryConflict::NoTenant))
}

/// Runs a statement that changes one row, or does not fit.
fn one_row(
    mut statement: CachedStatement<'_>,
    parameters: impl Params,
    otherwise: DirectoryConflict,
) -> Result<(), Stop> {
    match statement.execute(parameters)? {
        1 => Ok(()),
        _ => Err(refused(otherwise)),
    }
}

fn refused(conflict: DirectoryConflict) -> Stop {
    Stop::Refused(Conflict::Directory(conflict))
}

/// The present revision.
pub(super) fn revision(db: &Connection) -> Result<u64, Fault> {
    let number: i64 = db.prepare_cached(sql::REVISION)?.query_one([], |row| row.get(0))?;
    Ok(number.cast_unsigned())
}

/// The present directory, as of one revision.
pub(super) fn read(db: &Connection) -> Result<Directory, Fault> {
    let tx = db.unchecked_transaction()?;
    let revision = revision(&tx)?;
    let tenants = all(&tx, sql::TENANTS, [], |row| Cells::from(row, 0).sid())?;
    let tenants: Result<Vec<Tenant>, Fault> = tenants.into_iter().map(|sid| tenant(&tx, sid)).collect();
    let keys = all(&tx, sql::LIVE_KEYS, [], api_key)?;
    let said = all(&tx, sql::TRUNKS, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Directory::new(revision, tenants?, keys).with_trunks(encoding::trunks(said)))
}

fn tenant(tx: &Connection, sid: Sid) -> Result<Tenant, Fault> {
    let settings = settings(tx, &sid)?;
    let numbers = all(tx, sql::NUMBERS, [sid.as_str()], virtual_number)?;
    let pooled = numbers.into_iter().map(|number| Pooled { number, load: Load::default() });
    let endpoints = all(tx, sql::ENDPOINTS, [sid.as_str()], endpoint)?;
    Ok(Tenant::new(sid, settings, Pool::new(pooled.collect()), endpoints))
}

/// A setting may rest on another, as `default_region` does on `regions`: one that is refused is tried again after
/// the others. What is refused even then was written by a program with other rules, and its default holds.
fn settings(tx: &Connection, sid: &Sid) -> Result<Settings, Fault> {
    let mut settings = Settings::default();
    let mut unset: Vec<(String, String)> =
        all(tx, sql::SETTINGS, [sid.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for _ in 0..2 {
        unset.retain(|(name, value)| settings.set(name, value).is_err());
    }
    for (name, _) in unset {
        tracing::error!(tenant = %sid, setting = %name, "tenant {sid} has a {name} that is not taken: its default holds");
    }
    Ok(settings)
}

fn api_key(row: &Row<'_>) -> Result<ApiKey, Fault> {
    let mut cells = Cells::from(row, 0);
    Ok(ApiKey {
        id: cells.take()?,
        tenant: cells.sid()?,
        token_hash: cells.take()?,
        created_at: cells.moment()?,
        revoked_at: cells.take::<Option<i64>>()?.map(Timestamp::from_micros),
    })
}

fn virtual_number(row: &Row<'_>) -> Result<VirtualNumber, Fault> {
    let mut cells = Cells::from(row, 0);
    Ok(VirtualNumber {
        number: cells.number()?,
        region: word(&mut cells, Region::parse)?,
        number_type: word(&mut cells, NumberType::parse)?,
        flow: word(&mut cells, FlowId::parse)?,
        state: lending(cells.take()?)?,
    })
}

fn word<T, E>(cells: &mut Cells<'_>, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, Fault> {
    let Some(text) = cells.take::<Option<String>>()? else { return Ok(None) };
    parse(&text).map(Some).map_err(|_| Fault::Row("a word of a virtual number that is not of its form"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::migrate;

    /// The long read is of no use when the directory has moved since, and is done again inside the change.
    #[test]
    fn a_drained_number_goes_although_the_directory_moved_since_it_was_looked_at() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut db, "memory".as_ref()).unwrap();
        let tenant = Sid::parse("acme").unwrap();
        let number = PhoneNumber::from_digits(918_000_000_001).unwrap();
        let drained =
            VirtualNumber { number, region: None, number_type: None, flow: None, state: Lending::Draining };
        let now = Timestamp::EPOCH;
        let before = numbers_held(&db, now).unwrap();
        let tx = db.transaction().unwrap();
        let made = [
            DirectoryWrite::AddTenant(tenant.clone()),
            DirectoryWrite::PutNumber { tenant: tenant.clone(), number: drained },
        ];
        assert!(apply(&tx, &made, now, None).is_ok());

        let removed = apply(&tx, &[DirectoryWrite::RemoveNumber { tenant, number }], now, Some(&before));

        assert!(removed.is_ok());
        assert_eq!(standing_of(&tx, number).ok().flatten(), None);
    }
}
