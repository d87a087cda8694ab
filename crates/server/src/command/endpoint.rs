//! `callveil endpoint`: where a tenant's events are sent.

pub mod add;
pub mod list;
pub mod remove;
pub mod rotate;

use std::fmt;

use callveil_domain::Failure;
use callveil_domain::endpoint::{Dialect, Endpoint, EndpointId, EndpointRefused};
use callveil_domain::event::EventKind;
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_webhooks::sign;
use clap::Subcommand;
use serde::Serialize;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Add, list and remove where a tenant's events are sent, and change their secrets
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    Add(add::Add),
    List(list::List),
    Remove(remove::Remove),
    Rotate(rotate::Rotate),
}

impl EndpointCommand {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            EndpointCommand::Add(add) => add.run(options, out),
            EndpointCommand::List(list) => list.run(options, out),
            EndpointCommand::Remove(remove) => remove.run(options, out),
            EndpointCommand::Rotate(rotate) => rotate.run(options, out),
        }
    }
}

fn id(text: &str) -> Result<EndpointId, &'static str> {
    EndpointId::parse(text).ok_or("must be an endpoint's id, as `callveil endpoint list` shows it")
}

fn kind(name: &str) -> Result<EventKind, String> {
    let names = || EventKind::ALL.map(EventKind::name).join(", ");
    EventKind::parse(name).ok_or_else(|| format!("is none of {}", names()))
}

/// Why an endpoint is not changed, with the way out.
fn refused(doing: String, tenant: &Sid, failure: Failure<EndpointRefused>) -> CommandError {
    match failure {
        Failure::Store(error) => CommandError::store(doing, &error),
        Failure::Refused(why) => {
            let fix = match &why {
                EndpointRefused::NotFound | EndpointRefused::TooMany => {
                    format!("`callveil endpoint list --tenant {tenant}` shows those there are")
                }
                EndpointRefused::Url(_) => "write it as https://host/path".to_owned(),
                EndpointRefused::Setting => {
                    format!("`callveil settings set --tenant {tenant} NAME=` clears it")
                }
            };
            CommandError::new(doing, why).fix(fix)
        }
    }
}

/// An endpoint with the secret that its receiver needs.
#[derive(Serialize)]
struct Made {
    tenant: String,
    endpoint: String,
    url: String,
    secret: Option<String>,
    /// Until when deliveries are signed with the secret before as well.
    previous_until: Option<String>,
}

impl Made {
    fn of(tenant: &Sid, endpoint: &Endpoint) -> Made {
        Made {
            tenant: tenant.to_string(),
            endpoint: endpoint.id.to_string(),
            url: endpoint.url.clone(),
            secret: endpoint.secrets.first().map(|secret| sign::write_secret(&secret.key)),
            previous_until: endpoint.secrets.get(1).and_then(|old| old.until).map(crate::output::time),
        }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Made { tenant, endpoint, url, secret, previous_until } = self;
        writeln!(f, "{endpoint} of {tenant}: {url}")?;
        if let Some(secret) = secret {
            writeln!(f, "Deliveries are signed (Standard Webhooks) with {secret}")?;
        }
        if let Some(until) = previous_until {
            writeln!(f, "and until {until} with the secret before as well.")?;
        }
        Ok(())
    }
}

fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Standard => "standard",
        Dialect::LeadAssist => "leadassist",
    }
}

/// The secrets that are in use at a moment.
fn secrets(endpoint: &Endpoint, now: Timestamp) -> usize {
    endpoint.secrets_at(now).count()
}
