//! `callveil number add`: a few numbers, named on the command line.

use std::fmt;

use callveil_domain::tenant::Tenant;
use callveil_domain::virtual_number::{FlowId, Lending, NumberType, Region, VirtualNumber};
use clap::Args;
use serde::Serialize;

use super::{Numbers, put};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Add virtual numbers to a tenant's pool
///
/// A running server lends them within a second. A number that the tenant has already takes the new region, type
/// and flow, and is open again.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil number add --tenant acme --region KA --type mobile +918000000001 +918000000002")]
pub struct Add {
    #[command(flatten)]
    numbers: Numbers,
    /// The region that requests prefer them by, such as KA
    #[arg(long, value_parser = Region::parse)]
    region: Option<Region>,
    /// mobile, landline or tollfree
    #[arg(long = "type", value_name = "TYPE", value_parser = NumberType::parse)]
    number_type: Option<NumberType>,
    /// The call flow that they serve; without one, the tenant's default flow
    #[arg(long, value_parser = FlowId::parse)]
    flow: Option<FlowId>,
}

impl Add {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Add { numbers, region, number_type, flow } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&numbers.owner.tenant)?;
            let number = |number| VirtualNumber {
                number,
                region: region.clone(),
                number_type,
                flow: flow.clone(),
                state: Lending::Open,
            };
            let added: Vec<VirtualNumber> = numbers.read(&tenant)?.into_iter().map(number).collect();
            put(at, &tenant.sid, &added, &|_| {}).await?;
            out.show(&Added::new(&tenant, &added))?;
            Ok(Ending::Done)
        })
    }
}

/// What was added, with what is worth knowing about it.
#[derive(Serialize)]
pub struct Added {
    tenant: String,
    added: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Added {
    pub fn new(tenant: &Tenant, added: &[VirtualNumber]) -> Added {
        let regions = &tenant.settings.regions;
        let mut strange: Vec<&Region> = added.iter().filter_map(|n| n.region.as_ref()).collect();
        strange.retain(|region| !regions.contains(region));
        strange.sort();
        strange.dedup();
        let note = |region: &Region| {
            format!(
                "no request of {sid} may prefer the region {region}; \
                 `callveil settings show --tenant {sid}` lists its regions",
                sid = tenant.sid
            )
        };
        Added {
            tenant: tenant.sid.to_string(),
            added: added.len(),
            notes: strange.into_iter().map(note).collect(),
        }
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Added { tenant, added, notes } = self;
        let numbers = if *added == 1 { "number" } else { "numbers" };
        write!(f, "Added {added} {numbers} to the pool of {tenant}.")?;
        notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}
