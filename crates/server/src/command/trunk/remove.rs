//! `callveil trunk remove`: a way to a carrier that is used no more.

use std::fmt;

use callveil_domain::trunk::TrunkName;
use callveil_domain::{Effect, admin};
use clap::Args;
use serde::Serialize;

use super::trunk_name;
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Remove a trunk; its calls in progress go on
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil trunk remove carrier")]
pub struct Remove {
    /// The trunk
    #[arg(value_name = "NAME", value_parser = trunk_name)]
    name: TrunkName,
}

impl Remove {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let doing = format!("removing the trunk {}", self.name);
        options.on_installation(Missing::Refuse, async |at| {
            let name = self.name.clone();
            let removed = at.act(Effect::Keep, async |ctx| admin::remove_trunk(ctx, name).await).await;
            removed.map_err(|failure| CommandError::trunk(doing, &failure))?;
            out.show(&Removed { removed: self.name.to_string() })?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removed: {}", self.removed)
    }
}
