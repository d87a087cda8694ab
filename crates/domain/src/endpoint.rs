//! Endpoints: where a tenant's events are sent, which of them, and in which dialect.
//!
//! A tenant makes endpoints of its own; and each of the four LeadAssist settings that has a URL is one as well, named
//! like the setting. Of those, only secrets and whether they are disabled are kept beside the setting.

use std::fmt;
use std::time::Duration;

use crate::Chance;
use crate::event::{CallStep, EventKind, Fact};
use crate::settings::Settings;
use crate::store::{Change, Conflict, DirectoryConflict, DirectoryWrite, Outcome, StoreError};
use crate::tenant::{Sid, Tenant};
use crate::time::Timestamp;
use crate::{Ctx, Failure, refuse};

/// Where events are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, unique in its tenant.
    pub id: EndpointId,
    /// In whose words events are told.
    pub dialect: Dialect,
    /// The address; empty in the row that goes with a LeadAssist setting.
    pub url: String,
    /// The kinds of events that are sent; empty for all.
    pub kinds: Vec<EventKind>,
    /// Whether numbers and pins are told masked.
    pub masked: bool,
    /// What deliveries are signed with, newest first: two while one follows the other, none for what is not signed.
    pub secrets: Vec<Secret>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when nothing is sent there, and why.
    pub disabled: Option<Disabled>,
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why, in a few words.
    pub why: String,
}

/// In whose words events are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Our envelope, by Standard Webhooks.
    Standard,
    /// LeadAssist's bodies.
    LeadAssist,
}

/// Names an endpoint of a tenant: 1 to 64 letters, digits, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(String);

impl EndpointId {
    /// A new name.
    pub fn new(rng: &mut Chance) -> EndpointId {
        EndpointId(format!("ep_{:016x}", rng.next_u64()))
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<EndpointId> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        ((1..=64).contains(&text.len()) && text.bytes().all(fits)).then(|| EndpointId(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointId({})", self.0)
    }
}

/// An endpoint of the installation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// Whose.
    pub tenant: Sid,
    /// Which.
    pub id: EndpointId,
}

/// What deliveries are signed with (Standard Webhooks, symmetric). Never prints its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// 32 random bytes.
    pub key: [u8; 32],
    /// Until when it is used, when another has followed it.
    pub until: Option<Timestamp>,
}

impl Secret {
    /// A new secret.
    pub fn new(rng: &mut Chance) -> Secret {
        let mut key = [0; 32];
        rng.fill_bytes(&mut key);
        Secret { key, until: None }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(until {:?})", self.until)
    }
}

/// How long deliveries are signed with the secret before as well, after a new one was made.
pub const ROTATION: Duration = Duration::from_secs(86_400);

/// How many endpoints of its own a tenant may have.
pub const ENDPOINTS: usize = 20;

/// The settings of LeadAssist that are endpoints, each with what is sent there.
const BY_SETTING: [(&str, EventKind); 4] = [
    ("greencall_complete_event_endpoint", EventKind::CallCompleted),
    ("failed_verification_event_endpoint", EventKind::CallerRejected),
    ("verified_caller_event_endpoint", EventKind::CallerVerified),
    ("deallocation_callback_event_endpoint", EventKind::AllocationExpired),
];

/// Whether a setting is an endpoint of LeadAssist's.
pub fn is_setting(name: &str) -> bool {
    BY_SETTING.iter().any(|(setting, _)| *setting == name)
}

/// The endpoints of a tenant with these settings and rows.
pub(crate) fn of(settings: &Settings, rows: Vec<Endpoint>) -> Vec<Endpoint> {
    let (with_setting, mut own): (Vec<Endpoint>, Vec<Endpoint>) =
        rows.into_iter().partition(|row| is_setting(row.id.as_str()));
    for (name, kind) in BY_SETTING {
        let Some(setting) = Settings::find(name) else { continue };
        let url = settings.text(setting);
        if url.is_empty() {
            continue;
        }
        let row = with_setting.iter().find(|row| row.id.as_str() == name);
        own.push(Endpoint {
            url,
            kinds: vec![kind],
            ..row.cloned().unwrap_or_else(|| row_of_setting(&EndpointId(name.to_owned())))
        });
    }
    own
}

/// The row that goes with the LeadAssist setting of this name, when it has none.
pub fn row_of_setting(id: &EndpointId) -> Endpoint {
    Endpoint {
        id: id.clone(),
        dialect: Dialect::LeadAssist,
        url: String::new(),
        kinds: Vec::new(),
        masked: false,
        secrets: Vec::new(),
        created_at: Timestamp::EPOCH,
        disabled: None,
    }
}

impl Endpoint {
    /// Whether a fact is told there.
    pub fn wants(&self, fact: &Fact) -> bool {
        if self.disabled.is_some() {
            return false;
        }
        let kind = fact.kind();
        match self.dialect {
            Dialect::Standard => self.kinds.is_empty() || self.kinds.contains(&kind),
            Dialect::LeadAssist => match fact {
                // Every call in an allocation has its event, whether it was let through or not.
                Fact::Call { what: CallStep::Completed | CallStep::Refused, call } => {
                    call.link.is_some() && self.kinds.contains(&EventKind::CallCompleted)
                }
                Fact::Call { .. }
                | Fact::Allocation { .. }
                | Fact::Verified(_)
                | Fact::Rejected(_)
                | Fact::NumberLow(_) => self.kinds.contains(&kind),
            },
        }
    }

    /// The secrets that are in use at a moment, newest first.
    pub fn secrets_at(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().filter(move |secret| secret.until.is_none_or(|until| now < until))
    }
}

/// Why an endpoint is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointRefused {
    /// There is no such endpoint.
    #[error("there is no such endpoint")]
    NotFound,
    /// The address is none.
    #[error("the URL {0}")]
    Url(String),
    /// The tenant has as many as it may have.
    #[error("a tenant has at most {ENDPOINTS} endpoints")]
    TooMany,
    /// It is a setting's, which is changed in its place.
    #[error("the endpoint is a setting: clear the setting instead")]
    Setting,
}

/// A new endpoint, as its tenant wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEndpoint {
    /// The address.
    pub url: String,
    /// The kinds of events; empty for all.
    pub kinds: Vec<EventKind>,
    /// Whether numbers and pins are told masked.
    pub masked: bool,
}

/// Makes an endpoint. Its secret is in the answer.
pub async fn add(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    new: NewEndpoint,
) -> Result<Endpoint, Failure<EndpointRefused>> {
    let NewEndpoint { url, kinds, masked } = new;
    let url = crate::settings::read_url(&url).map_err(|why| Failure::Refused(EndpointRefused::Url(why)))?;
    let endpoint = Endpoint {
        id: EndpointId::new(ctx.rng),
        dialect: Dialect::Standard,
        url,
        kinds,
        masked,
        secrets: vec![Secret::new(ctx.rng)],
        created_at: ctx.now,
        disabled: None,
    };
    write(ctx, DirectoryWrite::PutEndpoint { tenant: tenant.sid.clone(), endpoint: endpoint.clone() })
        .await?;
    Ok(endpoint)
}

/// What is to change of an endpoint; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointChange {
    /// The address.
    pub url: Option<String>,
    /// The kinds of events; empty for all.
    pub kinds: Option<Vec<EventKind>>,
    /// Whether numbers and pins are told masked.
    pub masked: Option<bool>,
    /// Whether anything is sent there.
    pub enabled: Option<bool>,
}

/// Changes an endpoint. Of one that is a setting, only whether anything is sent there.
pub async fn change(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    id: &EndpointId,
    change: EndpointChange,
) -> Result<Endpoint, Failure<EndpointRefused>> {
    let known = tenant.endpoints.iter().find(|endpoint| endpoint.id == *id);
    let Some(known) = known else { return refuse(EndpointRefused::NotFound) };
    let EndpointChange { url, kinds, masked, enabled } = change;
    let disabled = match enabled {
        None => known.disabled.clone(),
        Some(true) => None,
        Some(false) => {
            let by_hand = || Disabled { at: ctx.now, why: "its tenant disabled it".to_owned() };
            Some(known.disabled.clone().unwrap_or_else(by_hand))
        }
    };
    let tenant = tenant.sid.clone();
    match known.dialect {
        Dialect::LeadAssist if url.is_some() || kinds.is_some() || masked.is_some() => {
            refuse(EndpointRefused::Setting)
        }
        Dialect::LeadAssist => {
            let key = EndpointKey { tenant, id: id.clone() };
            let written = DirectoryWrite::SetEndpointDisabled { key, disabled: disabled.clone() };
            write(ctx, written).await?;
            Ok(Endpoint { disabled, ..known.clone() })
        }
        Dialect::Standard => {
            let url = url.as_deref().map_or_else(|| Ok(known.url.clone()), crate::settings::read_url);
            let endpoint = Endpoint {
                url: url.map_err(|why| Failure::Refused(EndpointRefused::Url(why)))?,
                kinds: kinds.unwrap_or_else(|| known.kinds.clone()),
                masked: masked.unwrap_or(known.masked),
                disabled,
                ..known.clone()
            };
            let known = Box::new(known.clone());
            write(ctx, DirectoryWrite::ChangeEndpoint { tenant, known, endpoint: endpoint.clone() }).await?;
            Ok(endpoint)
        }
    }
}

/// Makes a new secret for an endpoint; the one before is used beside it for [`ROTATION`].
pub async fn rotate(
    ctx: &mut Ctx<'_>,
    tenant: &Tenant,
    id: &EndpointId,
) -> Result<Endpoint, Failure<EndpointRefused>> {
    let known = tenant.endpoints.iter().find(|endpoint| endpoint.id == *id);
    let Some(known) = known else { return refuse(EndpointRefused::NotFound) };
    let new = Secret::new(ctx.rng);
    let until = ctx.now.plus(ROTATION);
    let before =
        known.secrets_at(ctx.now).next().map(|secret| Secret { until: Some(until), ..secret.clone() });
    let secrets: Vec<Secret> = std::iter::once(new).chain(before).collect();
    let row = match known.dialect {
        Dialect::Standard => known.clone(),
        // What is the setting's does not stand in its row.
        Dialect::LeadAssist => Endpoint { url: String::new(), kinds: Vec::new(), ..known.clone() },
    };
    let rotated = Endpoint { secrets, ..row.clone() };
    let tenant = tenant.sid.clone();
    let (taken_for, endpoint) = (Box::new(row), rotated.clone());
    write(ctx, DirectoryWrite::ChangeEndpoint { tenant, known: taken_for, endpoint }).await?;
    Ok(Endpoint { url: known.url.clone(), ..rotated })
}

/// Ends an endpoint. What was owed there is not sent any more.
pub async fn remove(ctx: &Ctx<'_>, tenant: &Tenant, id: &EndpointId) -> Result<(), Failure<EndpointRefused>> {
    if is_setting(id.as_str()) {
        return refuse(EndpointRefused::Setting);
    }
    write(ctx, DirectoryWrite::RemoveEndpoint(EndpointKey { tenant: tenant.sid.clone(), id: id.clone() }))
        .await
}

/// Sends nothing there until somebody enables it again.
pub async fn disable(ctx: &Ctx<'_>, key: EndpointKey, why: &str) -> Result<(), Failure<EndpointRefused>> {
    let disabled = Some(Disabled { at: ctx.now, why: why.to_owned() });
    write(ctx, DirectoryWrite::SetEndpointDisabled { key, disabled }).await
}

/// Sends there again, from the next event on and what is owed still.
pub async fn enable(ctx: &Ctx<'_>, key: EndpointKey) -> Result<(), Failure<EndpointRefused>> {
    write(ctx, DirectoryWrite::SetEndpointDisabled { key, disabled: None }).await
}

async fn write(ctx: &Ctx<'_>, write: DirectoryWrite) -> Result<(), Failure<EndpointRefused>> {
    let mut change = Change::at(ctx.now);
    change.directory.push(write);
    match ctx.commit(change).await? {
        Outcome::Applied => Ok(()),
        Outcome::Refused(Conflict::Directory(DirectoryConflict::TooManyEndpoints)) => {
            refuse(EndpointRefused::TooMany)
        }
        // Decided on a picture that is not the present one any more: whoever comes again sees what there is.
        Outcome::Refused(Conflict::Directory(DirectoryConflict::EndpointMoved)) => {
            Err(Failure::Store(StoreError::Busy))
        }
        Outcome::Refused(Conflict::Directory(_)) => refuse(EndpointRefused::NotFound),
        Outcome::Refused(_) => Err(Failure::Store(StoreError::Busy)),
    }
}
