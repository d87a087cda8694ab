//! `callveil number list`: a tenant's pool.

use std::fmt;

use callveil_domain::virtual_number::{Pooled, VirtualNumber};
use clap::Args;
use serde::Serialize;

use super::word;
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Columns, Output};

/// List a tenant's virtual numbers, and how many allocations each carries
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  callveil number list --tenant acme
  callveil number list --tenant acme --json | jq -r '.[] | select(.state == "draining") | .number'"#)]
pub struct List {
    #[command(flatten)]
    of: OfTenant,
}

impl List {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&self.of.tenant)?;
            out.show(&Pool(tenant.pool.numbers().iter().map(Row::of).collect()))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Pool(Vec<Row>);

#[derive(Serialize)]
struct Row {
    number: String,
    region: Option<String>,
    number_type: Option<&'static str>,
    flow: Option<String>,
    state: &'static str,
    allocations: u32,
}

impl Row {
    fn of(pooled: &Pooled) -> Row {
        let VirtualNumber { number, region, number_type, flow, state } = &pooled.number;
        Row {
            number: number.expose().to_string(),
            region: region.as_ref().map(ToString::to_string),
            number_type: number_type.map(|kind| kind.as_str()),
            flow: flow.as_ref().map(ToString::to_string),
            state: word(*state),
            allocations: pooled.load.get(),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f
                .write_str("The pool is empty; `callveil number import` and `callveil number add` fill it.");
        }
        let row = |row: &Row| {
            let Row { number, region, number_type, flow, state, allocations } = row;
            let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
            [
                number.clone(),
                or_dash(region.as_deref()),
                or_dash(*number_type),
                or_dash(flow.as_deref()),
                (*state).to_owned(),
                allocations.to_string(),
            ]
        };
        let header = ["NUMBER", "REGION", "TYPE", "FLOW", "STATE", "ALLOCATIONS"];
        Columns { header, rows: self.0.iter().map(row).collect() }.fmt(f)
    }
}
