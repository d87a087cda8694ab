//! Tenants with their keys, settings and pools: their changes, and the picture of them that each node keeps.

use std::collections::{HashMap, HashSet};

use callveil_domain::endpoint::{self, Dialect, Disabled, ENDPOINTS, Endpoint, EndpointKey, Secret};
use callveil_domain::event::EventKind;
use callveil_domain::number::PhoneNumber;
use callveil_domain::settings::Settings;
use callveil_domain::store::{Conflict, DirectoryConflict, DirectoryWrite};
use callveil_domain::tenant::{ApiKey, Directory, LIVE_KEYS, Sid, Tenant};
use callveil_domain::time::Timestamp;
use callveil_domain::trunk::Trunk;
use callveil_domain::virtual_number::{
    FlowId, Lending, Load, NumberType, Pool, Pooled, Region, VirtualNumber,
};
use tokio_postgres::Row;

use super::facts::endpoint_id;
use super::fault::Fault;
use super::rows::Cells;
use super::session::Value;
use super::session::{Session, Snapshot};
use super::statements::{self as sql, Sql};
use crate::encoding::{self, Garbled, count, dialect, dialect_code, digits, lending, lending_code};

/// Why applying stopped.
pub(super) enum Stop {
    /// A condition does not hold.
    Refused(Conflict),
    /// A statement failed.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

/// Applies the changes of one decision in their order, and moves the revision: before them, so that changes of the
/// directory on all nodes come one after the other.
pub(super) async fn apply(session: &Session, writes: &[DirectoryWrite], now: Timestamp) -> Result<(), Stop> {
    session.query(&sql::MOVE_REVISION, &[]).await?;
    let removed: Vec<i64> = writes
        .iter()
        .filter_map(|write| match write {
            DirectoryWrite::RemoveNumber { number, .. } => Some(digits(*number)),
            DirectoryWrite::AddTenant(_)
            | DirectoryWrite::SetSetting { .. }
            | DirectoryWrite::AddKey(_)
            | DirectoryWrite::RevokeKey { .. }
            | DirectoryWrite::PutNumber { .. }
            | DirectoryWrite::SetLending { .. }
            | DirectoryWrite::PutEndpoint { .. }
            | DirectoryWrite::ChangeEndpoint { .. }
            | DirectoryWrite::SetEndpointDisabled { .. }
            | DirectoryWrite::RemoveEndpoint(_)
            | DirectoryWrite::PutTrunk(_)
            | DirectoryWrite::RemoveTrunk(_) => None,
        })
        .collect();
    let mut applying = Applying { session, now, known: HashSet::new(), held: HashSet::new() };
    if !removed.is_empty() {
        applying.look_for_held(&removed).await?;
    }
    for write in writes {
        applying.apply(write).await?;
    }
    Ok(())
}

struct Applying<'a> {
    session: &'a Session,
    now: Timestamp,
    /// Tenants that are there.
    known: HashSet<Sid>,
    /// Numbers to be removed on which something is held.
    held: HashSet<i64>,
}

impl Applying<'_> {
    /// The numbers are locked first: whoever lends one has done so before they are looked at, or comes too late.
    async fn look_for_held(&mut self, numbers: &[i64]) -> Result<(), Stop> {
        self.session.query(&sql::LOCK_NUMBERS, &[&numbers]).await?;
        let held = self.session.query(&sql::NUMBERS_HELD, &[&numbers, &self.now.as_micros()]).await?;
        for row in &held {
            self.held.insert(Cells::from(row, 0).take()?);
        }
        Ok(())
    }

    async fn apply(&mut self, write: &DirectoryWrite) -> Result<(), Stop> {
        match write {
            DirectoryWrite::AddTenant(sid) => {
                self.one_row(&sql::ADD_TENANT, &[&sid.as_str()], DirectoryConflict::TenantExists).await
            }
            DirectoryWrite::SetSetting { tenant, name, value } => {
                self.require_tenant(tenant).await?;
                self.session.query(&sql::SET_SETTING, &[&tenant.as_str(), name, value]).await?;
                Ok(())
            }
            DirectoryWrite::AddKey(key) => self.add_key(key).await,
            DirectoryWrite::RevokeKey { tenant, id } => {
                self.require_tenant(tenant).await?;
                let which: [Value<'_>; 3] = [&tenant.as_str(), id, &self.now.as_micros()];
                self.one_row(&sql::REVOKE_KEY, &which, DirectoryConflict::NoKey).await
            }
            DirectoryWrite::PutNumber { tenant, number } => self.put_number(tenant, number).await,
            DirectoryWrite::SetLending { tenant, number, lending } => {
                self.require_tenant(tenant).await?;
                let which: [Value<'_>; 3] = [&tenant.as_str(), &digits(*number), &lending_code(*lending)];
                self.one_row(&sql::SET_LENDING, &which, DirectoryConflict::NoNumber(*number)).await
            }
            DirectoryWrite::RemoveNumber { tenant, number } => self.remove_number(tenant, *number).await,
            DirectoryWrite::PutEndpoint { tenant, endpoint } => self.put_endpoint(tenant, endpoint).await,
            DirectoryWrite::ChangeEndpoint { tenant, known, endpoint } => {
                self.require_endpoint(tenant, known).await?;
                self.put_endpoint(tenant, endpoint).await
            }
            DirectoryWrite::SetEndpointDisabled { key, disabled } => {
                self.set_endpoint_disabled(key, disabled.as_ref()).await
            }
            DirectoryWrite::RemoveEndpoint(EndpointKey { tenant, id }) => {
                self.require_tenant(tenant).await?;
                let which: [Value<'_>; 2] = [&tenant.as_str(), &id.as_str()];
                self.one_row(&sql::REMOVE_ENDPOINT, &which, DirectoryConflict::NoEndpoint).await?;
                let given_up: [Value<'_>; 3] = [&tenant.as_str(), &id.as_str(), &self.now.as_micros()];
                self.session.query(&sql::GIVE_UP_DELIVERIES, &given_up).await?;
                Ok(())
            }
            DirectoryWrite::PutTrunk(trunk) => self.put_trunk(trunk).await,
            DirectoryWrite::RemoveTrunk(name) => {
                match self.session.query(&sql::REMOVE_TRUNK, &[&name.as_str()]).await?.len() {
                    0 => Err(refused(DirectoryConflict::NoTrunk)),
                    _ => Ok(()),
                }
            }
        }
    }

    async fn put_trunk(&mut self, trunk: &Trunk) -> Result<(), Stop> {
        self.session.query(&sql::REMOVE_TRUNK, &[&trunk.name.as_str()]).await?;
        for (setting, value) in trunk.said() {
            self.session.query(&sql::SAY_OF_TRUNK, &[&trunk.name.as_str(), &setting, &value]).await?;
        }
        Ok(())
    }

    /// An endpoint must be what it was taken for. The row of a setting may not be there yet.
    async fn require_endpoint(&mut self, tenant: &Sid, known: &Endpoint) -> Result<(), Stop> {
        self.require_tenant(tenant).await?;
        let rows = self.session.query(&sql::ENDPOINT, &[&tenant.as_str(), &known.id.as_str()]).await?;
        let there = rows.first().map(|row| read_endpoint(&mut Cells::from(row, 0))).transpose()?;
        let of_setting =
            || endpoint::is_setting(known.id.as_str()).then(|| endpoint::row_of_setting(&known.id));
        match there.or_else(of_setting) {
            None => Err(refused(DirectoryConflict::NoEndpoint)),
            Some(there) if there == *known => Ok(()),
            Some(_) => Err(refused(DirectoryConflict::EndpointMoved)),
        }
    }

    async fn put_endpoint(&mut self, tenant: &Sid, endpoint: &Endpoint) -> Result<(), Stop> {
        let Endpoint { id, dialect, url, kinds, masked, secrets, created_at, disabled } = endpoint;
        self.require_tenant(tenant).await?;
        if *dialect == Dialect::Standard {
            let of: [Value<'_>; 2] = [&tenant.as_str(), &id.as_str()];
            let others = counted(&self.session.query(&sql::COUNT_OTHER_ENDPOINTS, &of).await?)?;
            if others >= count(ENDPOINTS) {
                return Err(refused(DirectoryConflict::TooManyEndpoints));
            }
        }
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        // Of one that is still used beside a newer one, the end is known.
        let old = secrets.get(1).and_then(|old| Some((old.key.as_slice(), old.until?.as_micros())));
        let row: [Value<'_>; 12] = [
            &tenant.as_str(),
            &id.as_str(),
            &dialect_code(*dialect),
            url,
            &kinds.join(","),
            masked,
            &secrets.first().map(|secret| secret.key.as_slice()),
            &old.map(|(key, _)| key),
            &old.map(|(_, until)| until),
            &created_at.as_micros(),
            &disabled.as_ref().map(|disabled| disabled.at.as_micros()),
            &disabled.as_ref().map(|disabled| disabled.why.as_str()),
        ];
        self.session.query(&sql::PUT_ENDPOINT, &row).await?;
        Ok(())
    }

    async fn set_endpoint_disabled(
        &mut self,
        key: &EndpointKey,
        disabled: Option<&Disabled>,
    ) -> Result<(), Stop> {
        let EndpointKey { tenant, id } = key;
        self.require_tenant(tenant).await?;
        let (at, why) = (disabled.map(|d| d.at.as_micros()), disabled.map(|d| d.why.as_str()));
        let which: [Value<'_>; 4] = [&tenant.as_str(), &id.as_str(), &at, &why];
        match self.session.query(&sql::SET_ENDPOINT_DISABLED, &which).await?.len() {
            0 if endpoint::is_setting(id.as_str()) => {
                let row = Endpoint { disabled: disabled.cloned(), ..endpoint::row_of_setting(id) };
                self.put_endpoint(tenant, &row).await
            }
            0 => Err(refused(DirectoryConflict::NoEndpoint)),
            _ => Ok(()),
        }
    }

    async fn add_key(&mut self, key: &ApiKey) -> Result<(), Stop> {
        let ApiKey { id, tenant, token_hash, created_at, revoked_at } = key;
        self.require_tenant(tenant).await?;
        let live = counted(&self.session.query(&sql::COUNT_LIVE_KEYS, &[&tenant.as_str()]).await?)?;
        if live >= count(LIVE_KEYS) {
            return Err(refused(DirectoryConflict::TooManyKeys));
        }
        let revoked_at = revoked_at.map(Timestamp::as_micros);
        let key: [Value<'_>; 5] =
            [id, &tenant.as_str(), &token_hash.as_slice(), &created_at.as_micros(), &revoked_at];
        self.session.query(&sql::ADD_KEY, &key).await?;
        Ok(())
    }

    async fn put_number(&mut self, tenant: &Sid, number: &VirtualNumber) -> Result<(), Stop> {
        let VirtualNumber { number, region, number_type, flow, state } = number;
        self.require_tenant(tenant).await?;
        let row: [Value<'_>; 6] = [
            &digits(*number),
            &tenant.as_str(),
            &region.as_ref().map(Region::as_str),
            &number_type.map(NumberType::as_str),
            &flow.as_ref().map(FlowId::as_str),
            &lending_code(*state),
        ];
        self.one_row(&sql::PUT_NUMBER, &row, DirectoryConflict::OthersNumber(*number)).await
    }

    async fn remove_number(&mut self, tenant: &Sid, number: PhoneNumber) -> Result<(), Stop> {
        self.require_tenant(tenant).await?;
        let found = self.session.query(&sql::NUMBER, &[&digits(number)]).await?;
        let standing = found.first().map(standing).transpose()?;
        match standing {
            Some((owner, Lending::Draining)) if owner == *tenant => {}
            Some((owner, Lending::Open)) if owner == *tenant => {
                return Err(refused(DirectoryConflict::NotDraining(number)));
            }
            Some(_) | None => return Err(refused(DirectoryConflict::NoNumber(number))),
        }
        if self.held.contains(&digits(number)) {
            return Err(refused(DirectoryConflict::StillHeld(number)));
        }
        let which: [Value<'_>; 2] = [&tenant.as_str(), &digits(number)];
        self.one_row(&sql::REMOVE_NUMBER, &which, DirectoryConflict::NoNumber(number)).await
    }

    async fn require_tenant(&mut self, tenant: &Sid) -> Result<(), Stop> {
        if self.known.contains(tenant) {
            return Ok(());
        }
        self.one_row(&sql::TENANT_EXISTS, &[&tenant.as_str()], DirectoryConflict::NoTenant).await?;
        self.known.insert(tenant.clone());
        Ok(())
    }

    /// Runs a statement that finds or changes one row, or does not fit.
    async fn one_row(
        &self,
        sql: &'static Sql,
        values: &[Value<'_>],
        otherwise: DirectoryConflict,
    ) -> Result<(), Stop> {
        match self.session.query(sql, values).await?.len() {
            1 => Ok(()),
            _ => Err(refused(otherwise)),
        }
    }
}

fn counted(rows: &[Row]) -> Result<i64, Fault> {
    rows.first().map_or(Ok(0), |row| Cells::from(row, 0).take())
}

fn refused(conflict: DirectoryConflict) -> Stop {
    Stop::Refused(Conflict::Directory(conflict))
}

fn standing(row: &Row) -> Result<(Sid, Lending), Fault> {
    let mut cells = Cells::from(row, 0);
    Ok((cells.sid()?, lending(cells.take()?)?))
}

/// The present directory, as of one revision.
pub(super) async fn read(snapshot: &Snapshot<'_>) -> Result<Directory, Fault> {
    let revision = revision(&snapshot.query(&sql::REVISION, &[]).await?)?;
    let mut settings: HashMap<Sid, Vec<(String, String)>> = HashMap::new();
    for row in snapshot.query(&sql::SETTINGS, &[]).await? {
        let mut cells = Cells::from(&row, 0);
        settings.entry(cells.sid()?).or_default().push((cells.take()?, cells.take()?));
    }
    let mut pools: HashMap<Sid, Vec<Pooled>> = HashMap::new();
    for row in snapshot.query(&sql::NUMBERS, &[]).await? {
        let mut cells = Cells::from(&row, 0);
        let of = cells.sid()?;
        let number = virtual_number(&mut cells)?;
        pools.entry(of).or_default().push(Pooled { number, load: Load::default() });
    }
    let mut endpoints: HashMap<Sid, Vec<Endpoint>> = HashMap::new();
    for row in snapshot.query(&sql::ENDPOINTS, &[]).await? {
        let mut cells = Cells::from(&row, 0);
        endpoints.entry(cells.sid()?).or_default().push(read_endpoint(&mut cells)?);
    }
    let mut tenants = Vec::new();
    for row in snapshot.query(&sql::TENANTS, &[]).await? {
        let sid = Cells::from(&row, 0).sid()?;
        let settings = settle(&sid, settings.remove(&sid).unwrap_or_default());
        let pool = Pool::new(pools.remove(&sid).unwrap_or_default());
        let endpoints = endpoints.remove(&sid).unwrap_or_default();
        tenants.push(Tenant::new(sid, settings, pool, endpoints));
    }
    let keys = snapshot.query(&sql::LIVE_KEYS, &[]).await?;
    let keys: Result<Vec<ApiKey>, Fault> = keys.iter().map(api_key).collect();
    let mut said = Vec::new();
    for row in snapshot.query(&sql::TRUNKS, &[]).await? {
        let mut cells = Cells::from(&row, 0);
        said.push((cells.take()?, cells.take()?, cells.take()?));
    }
    Ok(Directory::new(revision, tenants, keys?).with_trunks(encoding::trunks(said)))
}

/// The revision that a row tells.
pub(super) fn revision(rows: &[Row]) -> Result<u64, Fault> {
    let row = rows.first().ok_or(Garbled("no revision"))?;
    Ok(Cells::from(row, 0).take::<i64>()?.cast_unsigned())
}

/// A setting may rest on another, as `default_region` does on `regions`: one that is refused is tried again after
/// the others. What is refused even then was written by a program with other rules, and its default holds.
fn settle(sid: &Sid, mut unset: Vec<(String, String)>) -> Settings {
    let mut settings = Settings::default();
    for _ in 0..2 {
        unset.retain(|(name, value)| settings.set(name, value).is_err());
    }
    for (name, _) in unset {
        tracing::error!(tenant = %sid, setting = %name, "tenant {sid} has a {name} that is not taken: its default holds");
    }
    settings
}

fn api_key(row: &Row) -> Result<ApiKey, Fault> {
    let mut cells = Cells::from(row, 0);
    Ok(ApiKey {
        id: cells.take()?,
        tenant: cells.sid()?,
        token_hash: cells.bytes()?,
        created_at: cells.moment()?,
        revoked_at: cells.take::<Option<i64>>()?.map(Timestamp::from_micros),
    })
}

fn read_endpoint(cells: &mut Cells<'_>) -> Result<Endpoint, Fault> {
    Ok(Endpoint {
        id: endpoint_id(cells)?,
        dialect: dialect(cells.take()?)?,
        url: cells.take()?,
        kinds: kinds(cells.take()?)?,
        masked: cells.take()?,
        secrets: {
            let secret = key(cells)?.map(|key| Secret { key, until: None });
            let old = key(cells)?;
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

fn key(cells: &mut Cells<'_>) -> Result<Option<[u8; 32]>, Fault> {
    let Some(bytes) = cells.take::<Option<&[u8]>>()? else { return Ok(None) };
    let key = bytes.try_into().map_err(|_| Garbled("a secret that is not as long as it should be"))?;
    Ok(Some(key))
}

fn kinds(names: &str) -> Result<Vec<EventKind>, Fault> {
    let kind = |name| EventKind::parse(name).ok_or(Garbled("an unknown kind of event").into());
    names.split(',').filter(|name| !name.is_empty()).map(kind).collect()
}

fn virtual_number(cells: &mut Cells<'_>) -> Result<VirtualNumber, Fault> {
    Ok(VirtualNumber {
        number: cells.number()?,
        region: word(cells, Region::parse)?,
        number_type: word(cells, NumberType::parse)?,
        flow: word(cells, FlowId::parse)?,
        state: lending(cells.take()?)?,
    })
}

fn word<T, E>(cells: &mut Cells<'_>, parse: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, Fault> {
    let Some(text) = cells.take::<Option<&str>>()? else { return Ok(None) };
    let word = parse(text).map_err(|_| Garbled("a word of a virtual number that is not of its form"))?;
    Ok(Some(word))
}
