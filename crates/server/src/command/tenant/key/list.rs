//! `callveil tenant key list`: the keys that are valid now.

use std::fmt;

use callveil_domain::tenant::Sid;
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Columns, Output, time};

/// List a tenant's live API keys; tokens are kept as hashes and cannot be shown
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil tenant key list acme")]
pub struct List {
    /// The tenant
    #[arg(value_name = "SID", value_parser = Sid::parse)]
    sid: Sid,
}

impl List {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&self.sid)?;
            let directory = at.node.directory();
            let mut keys = directory.keys_for(tenant.sid.as_str());
            keys.sort_by_key(|key| key.created_at);
            let rows =
                keys.into_iter().map(|key| Row { api_key: key.id.clone(), created_at: time(key.created_at) });
            out.show(&Keys(rows.collect()))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Keys(Vec<Row>);

#[derive(Serialize)]
struct Row {
    api_key: String,
    created_at: String,
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("The tenant has no live key; `callveil tenant key add SID` makes one.");
        }
        let rows = self.0.iter().map(|row| [row.api_key.clone(), row.created_at.clone()]).collect();
        Columns { header: ["KEY", "CREATED"], rows }.fmt(f)
    }
}
