//! Tenants, their credentials, and the snapshot of both that each node works from.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::endpoint::{self, Endpoint};
use crate::number::PhoneNumber;
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::trunk::Trunk;
use crate::virtual_number::{BadWord, Load, Pool};

/// The name of a tenant: the account SID of the wire. 1 to 64 letters, digits, `_`, `-` or `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(Arc<str>);

impl Sid {
    /// Reads a SID.
    pub fn parse(text: &str) -> Result<Sid, BadWord> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err(BadWord("a tenant's SID has 1 to 64 letters, digits, '_', '-' or '.'"));
        }
        Ok(Sid(Arc::from(text)))
    }

    /// The SID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sid({})", self.0)
    }
}

/// How many keys of one tenant may be live at a time: the one in use and the one that is to follow it.
pub const LIVE_KEYS: usize = 2;

/// A tenant's API key: the name that is sent as the user, and the hash of the token that is sent as the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public name, unique in the installation.
    pub id: String,
    /// The tenant it speaks for.
    pub tenant: Sid,
    /// SHA-256 of the token. The token has 256 random bits, so a fast hash is enough.
    pub token_hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped being valid, if it did.
    pub revoked_at: Option<Timestamp>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({} of {})", self.id, self.tenant)
    }
}

/// A tenant with everything that deciding for it needs.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub sid: Sid,
    /// Its settings.
    pub settings: Settings,
    /// Its virtual numbers.
    pub pool: Pool,
    /// Where its events are sent: its own endpoints, and those of LeadAssist's settings.
    pub endpoints: Vec<Endpoint>,
}

impl Tenant {
    /// A tenant with these endpoints of its own.
    pub fn new(sid: Sid, settings: Settings, pool: Pool, endpoints: Vec<Endpoint>) -> Tenant {
        let endpoints = endpoint::of(&settings, endpoints);
        Tenant { sid, settings, pool, endpoints }
    }
}

/// All tenants, keys and pools, as of one revision of the database. Each node holds one and renews it when the
/// revision moves.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The revision that this is a picture of; grows with each change to a tenant, key, setting or pool.
    pub revision: u64,
    tenants: BTreeMap<Sid, Arc<Tenant>>,
    keys: HashMap<String, ApiKey>,
    keys_of: BTreeMap<Sid, Vec<String>>,
    owners: HashMap<PhoneNumber, Sid>,
    trunks: Vec<Trunk>,
}

impl Directory {
    /// The directory of these tenants and keys. Revoked keys are left out.
    pub fn new(revision: u64, tenants: Vec<Tenant>, keys: Vec<ApiKey>) -> Directory {
        let mut directory = Directory { revision, ..Directory::default() };
        for tenant in tenants {
            for pooled in tenant.pool.numbers() {
                directory.owners.insert(pooled.number.number, tenant.sid.clone());
            }
            directory.tenants.insert(tenant.sid.clone(), Arc::new(tenant));
        }
        for key in keys.into_iter().filter(|k| k.revoked_at.is_none()) {
            directory.keys_of.entry(key.tenant.clone()).or_default().push(key.id.clone());
            directory.keys.insert(key.id.clone(), key);
        }
        directory
    }

    /// The same directory with these trunks.
    pub fn with_trunks(mut self, trunks: Vec<Trunk>) -> Directory {
        self.trunks = trunks;
        self
    }

    /// The ways to and from carriers, by name.
    pub fn trunks(&self) -> &[Trunk] {
        &self.trunks
    }

    /// Gives every virtual number the load that `load_of` has for it.
    pub(crate) fn adopt_loads(&mut self, load_of: &dyn Fn(PhoneNumber) -> Load) {
        for tenant in self.tenants.values_mut() {
            Arc::make_mut(tenant).pool.adopt_loads(load_of);
        }
    }

    /// The tenant of this name.
    pub fn tenant(&self, sid: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(&Sid::parse(sid).ok()?)
    }

    /// All tenants, by name.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// The tenant whose pool has this number.
    pub fn owner(&self, virtual_number: PhoneNumber) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.owners.get(&virtual_number)?)
    }

    /// The live keys that `user`, a key's name or a tenant's SID, may be proven by. Empty for strangers.
    pub fn keys_for(&self, user: &str) -> Vec<&ApiKey> {
        if let Some(key) = self.keys.get(user) {
            return vec![key];
        }
        let Ok(sid) = Sid::parse(user) else { return Vec::new() };
        self.keys_of.get(&sid).into_iter().flatten().filter_map(|id| self.keys.get(id)).collect()
    }
}
