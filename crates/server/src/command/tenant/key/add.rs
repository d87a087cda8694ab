//! `callveil tenant key add`: the key that is to follow the one in use.

use callveil_domain::admin;
use callveil_domain::tenant::Sid;
use clap::Args;

use crate::command::{Ending, Options};
use crate::credentials::Credentials;
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Give a tenant another API key
///
/// It is valid in a running server within a second. The token is shown this once.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil tenant key add acme --json")]
pub struct Add {
    /// The tenant
    #[arg(value_name = "SID", value_parser = Sid::parse)]
    sid: Sid,
}

impl Add {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            out.show(&add(at, &self.sid).await?)?;
            Ok(Ending::Done)
        })
    }
}

/// Gives a tenant another key, and answers with it.
pub async fn add(at: &Installation, sid: &Sid) -> Result<Credentials, CommandError> {
    let (credentials, key) = Credentials::new(sid, at.node.now());
    let doing = format!("adding a key of the tenant {sid}");
    at.change(doing, sid, async |ctx| admin::add_key(ctx, key).await).await?;
    Ok(credentials)
}
