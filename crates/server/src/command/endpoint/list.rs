//! `callveil endpoint list`: where a tenant's events are sent.

use std::fmt;

use callveil_domain::endpoint::Endpoint;
use callveil_domain::time::Timestamp;
use clap::Args;
use serde::Serialize;

use super::{dialect, secrets};
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Columns, Output, time};

/// List where a tenant's events are sent
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil endpoint list --tenant acme")]
pub struct List {
    #[command(flatten)]
    of: OfTenant,
}

impl List {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&self.of.tenant)?;
            let now = at.node.now();
            out.show(&Endpoints(tenant.endpoints.iter().map(|endpoint| Row::of(endpoint, now)).collect()))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Endpoints(Vec<Row>);

#[derive(Serialize)]
struct Row {
    id: String,
    dialect: &'static str,
    url: String,
    /// Empty for all.
    kinds: Vec<&'static str>,
    masked: bool,
    /// How many secrets deliveries are signed with.
    secrets: usize,
    disabled_at: Option<String>,
    disabled_why: Option<String>,
}

impl Row {
    fn of(endpoint: &Endpoint, now: Timestamp) -> Row {
        Row {
            id: endpoint.id.to_string(),
            dialect: dialect(endpoint.dialect),
            url: endpoint.url.clone(),
            kinds: endpoint.kinds.iter().map(|kind| kind.name()).collect(),
            masked: endpoint.masked,
            secrets: secrets(endpoint, now),
            disabled_at: endpoint.disabled.as_ref().map(|disabled| time(disabled.at)),
            disabled_why: endpoint.disabled.as_ref().map(|disabled| disabled.why.clone()),
        }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("There is none yet; `callveil endpoint add` makes one.");
        }
        let row = |row: &Row| {
            let kinds = if row.kinds.is_empty() { "all".to_owned() } else { row.kinds.join(",") };
            let state =
                row.disabled_why.as_ref().map_or_else(|| "on".to_owned(), |why| format!("off: {why}"));
            [row.id.clone(), row.dialect.to_owned(), kinds, state, row.url.clone()]
        };
        let header = ["ENDPOINT", "DIALECT", "KINDS", "STATE", "URL"];
        Columns { header, rows: self.0.iter().map(row).collect() }.fmt(f)
    }
}
