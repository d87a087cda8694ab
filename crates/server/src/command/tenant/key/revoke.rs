//! `callveil tenant key revoke`: the end of a key.

use std::fmt;

use callveil_domain::tenant::Sid;
use callveil_domain::{Ctx, admin};
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// End an API key
///
/// A running server refuses it within a second. It never becomes valid again.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil tenant key revoke acme KEY")]
pub struct Revoke {
    /// The tenant
    #[arg(value_name = "SID", value_parser = Sid::parse)]
    sid: Sid,
    /// The key, as `callveil tenant key list` shows it
    #[arg(value_name = "KEY")]
    key: String,
}

impl Revoke {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Revoke { sid, key } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let doing = format!("revoking a key of the tenant {sid}");
            let revoke = async |ctx: &mut Ctx<'_>| admin::revoke_key(ctx, sid.clone(), key.clone()).await;
            at.change(doing, &sid, revoke).await?;
            out.show(&Revoked { sid: sid.to_string(), revoked: key.clone() })?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
struct Revoked {
    sid: String,
    revoked: String,
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The key {} of {} is valid no longer.", self.revoked, self.sid)
    }
}
