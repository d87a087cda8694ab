//! `callveil endpoint add`: another place for a tenant's events.

use callveil_domain::endpoint::{self, NewEndpoint};
use callveil_domain::event::EventKind;
use callveil_domain::{Ctx, Effect};
use clap::Args;

use super::{Made, kind, refused};
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Send a tenant's events to a URL, from the next one on
///
/// Shows the secret that deliveries are signed with. Which URLs may be reached is decided when they are connected to;
/// `callveil webhook test URL` tries one.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil endpoint add --tenant acme https://example.com/hooks/callveil
  callveil endpoint add --tenant acme --kind call.completed --kind call.refused --masked https://example.com/calls")]
pub struct Add {
    #[command(flatten)]
    of: OfTenant,
    /// A kind of event that is sent; may be repeated [default: all kinds]
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<EventKind>,
    /// Tell numbers and pins masked
    #[arg(long)]
    masked: bool,
    /// Where to
    #[arg(value_name = "URL")]
    url: String,
}

impl Add {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Add { of, kinds, masked, url } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let doing = format!("adding an endpoint of {}", tenant.sid);
            let new = NewEndpoint { url, kinds, masked };
            let add = async |ctx: &mut Ctx<'_>| endpoint::add(ctx, &tenant, new).await;
            let made = at.act(Effect::Keep, add).await.map_err(|why| refused(doing, &tenant.sid, why))?;
            out.show(&Made::of(&tenant.sid, &made))?;
            Ok(Ending::Done)
        })
    }
}
