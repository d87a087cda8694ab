//! `callveil tenant list`: who is served.

use std::fmt;

use callveil_domain::tenant::{Directory, Tenant};
use callveil_domain::virtual_number::Lending;
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Columns, Output};

/// List the tenants
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil tenant list")]
pub struct List {}

impl List {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let directory = at.node.directory();
            let rows = directory.tenants().map(|tenant| Row::of(tenant, &directory)).collect();
            out.show(&Tenants(rows))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Tenants(Vec<Row>);

#[derive(Serialize)]
struct Row {
    sid: String,
    live_keys: usize,
    /// Virtual numbers in the pool.
    numbers: usize,
    /// Those of them that are lent anew.
    open: usize,
    /// Allocations that are lent now.
    allocations: u64,
}

impl Row {
    fn of(tenant: &Tenant, directory: &Directory) -> Row {
        let numbers = tenant.pool.numbers();
        Row {
            sid: tenant.sid.to_string(),
            live_keys: directory.keys_for(tenant.sid.as_str()).len(),
            numbers: numbers.len(),
            open: numbers.iter().filter(|pooled| pooled.number.state == Lending::Open).count(),
            allocations: numbers.iter().map(|pooled| u64::from(pooled.load.get())).sum(),
        }
    }
}

impl fmt::Display for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("There is no tenant yet; `callveil tenant create SID` makes one.");
        }
        let row = |row: &Row| {
            let Row { sid, live_keys, numbers, open, allocations } = row;
            [
                sid.clone(),
                live_keys.to_string(),
                numbers.to_string(),
                open.to_string(),
                allocations.to_string(),
            ]
        };
        let header = ["TENANT", "KEYS", "NUMBERS", "OPEN", "ALLOCATIONS"];
        Columns { header, rows: self.0.iter().map(row).collect() }.fmt(f)
    }
}
