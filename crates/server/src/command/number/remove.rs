//! `callveil number remove`: the end of drained numbers.

use callveil_domain::admin;
use clap::Args;

use super::{Deed, Numbers};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Take drained virtual numbers out of a tenant's pool
///
/// Refused, for all of them, while one is open or carries an allocation that has not ended and cooled: a party
/// would dial it and reach a stranger.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil number drain --tenant acme +918000000001
  callveil number list --tenant acme          # until it carries nothing
  callveil number remove --tenant acme +918000000001")]
pub struct Remove {
    #[command(flatten)]
    numbers: Numbers,
}

impl Remove {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let deed = Deed { doing: "removing", done: "removed" };
        self.numbers.change(deed, options, out, async |ctx, tenant, numbers| {
            admin::remove_numbers(ctx, tenant, numbers).await
        })
    }
}
