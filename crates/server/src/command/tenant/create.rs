//! `callveil tenant create`: a tenant with its first key.

use callveil_domain::admin;
use callveil_domain::tenant::Sid;
use clap::Args;

use crate::command::{Ending, Options};
use crate::credentials::Credentials;
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Make a tenant with its first API key
///
/// The token is shown this once and kept only as a hash. Clients send key and token by HTTP Basic; the SID may
/// stand in the place of the key.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil tenant create acme
  callveil tenant create acme --json | jq -r .api_token")]
pub struct Create {
    /// The tenant's name in the API's paths: 1 to 64 letters, digits, '_', '-' or '.'
    #[arg(value_name = "SID", value_parser = Sid::parse)]
    sid: Sid,
}

impl Create {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Make, async |at| {
            out.show(&create(at, &self.sid).await?)?;
            Ok(Ending::Done)
        })
    }
}

/// Makes a tenant, and answers with what its clients need.
pub async fn create(at: &Installation, sid: &Sid) -> Result<Credentials, CommandError> {
    let (credentials, key) = Credentials::new(sid, at.node.now());
    let doing = format!("creating the tenant {sid}");
    at.change(doing, sid, async |ctx| admin::add_tenant(ctx, key).await).await?;
    Ok(credentials)
}
