//! `callveil endpoint remove`: the end of an endpoint.

use std::fmt;

use callveil_domain::endpoint::{self, EndpointId};
use callveil_domain::{Ctx, Effect};
use clap::Args;
use serde::Serialize;

use super::{id, refused};
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Send nothing to an endpoint any more; what is owed to it is given up
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil endpoint remove --tenant acme ep_0f3a64b1c2d3e4f5")]
pub struct Remove {
    #[command(flatten)]
    of: OfTenant,
    /// Which
    #[arg(value_name = "ENDPOINT", value_parser = id)]
    endpoint: EndpointId,
}

impl Remove {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Remove { of, endpoint } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let doing = format!("removing {endpoint} of {}", tenant.sid);
            let remove = async |ctx: &mut Ctx<'_>| endpoint::remove(ctx, &tenant, &endpoint).await;
            at.act(Effect::Keep, remove).await.map_err(|why| refused(doing, &tenant.sid, why))?;
            out.show(&Removed { tenant: tenant.sid.to_string(), removed: endpoint.to_string() })?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
struct Removed {
    tenant: String,
    removed: String,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removed: {} of {}", self.removed, self.tenant)
    }
}
