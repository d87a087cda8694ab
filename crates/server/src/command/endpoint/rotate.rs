//! `callveil endpoint rotate`: a new secret for an endpoint.

use callveil_domain::endpoint::{self, EndpointId};
use callveil_domain::{Ctx, Effect};
use clap::Args;

use super::{Made, id, refused};
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Make a new secret for an endpoint, and sign with the one before beside it for a day
///
/// The endpoints of LeadAssist's settings, which are named like the setting, are not signed until they have a secret:
/// this makes their first.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil endpoint rotate --tenant acme ep_0f3a64b1c2d3e4f5
  callveil endpoint rotate --tenant acme greencall_complete_event_endpoint")]
pub struct Rotate {
    #[command(flatten)]
    of: OfTenant,
    /// Which
    #[arg(value_name = "ENDPOINT", value_parser = id)]
    endpoint: EndpointId,
}

impl Rotate {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Rotate { of, endpoint } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let doing = format!("making a new secret for {endpoint} of {}", tenant.sid);
            let rotate = async |ctx: &mut Ctx<'_>| endpoint::rotate(ctx, &tenant, &endpoint).await;
            let made = at.act(Effect::Keep, rotate).await.map_err(|why| refused(doing, &tenant.sid, why))?;
            out.show(&Made::of(&tenant.sid, &made))?;
            Ok(Ending::Done)
        })
    }
}
