//! `callveil number open`: draining numbers are lent again.

use callveil_domain::admin;
use callveil_domain::virtual_number::Lending;
use clap::Args;

use super::{Deed, Numbers};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Lend draining virtual numbers again
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil number open --tenant acme +918000000001")]
pub struct Open {
    #[command(flatten)]
    numbers: Numbers,
}

impl Open {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let deed = Deed { doing: "opening", done: "open" };
        self.numbers.change(deed, options, out, async |ctx, tenant, numbers| {
            admin::set_lending(ctx, tenant, numbers, Lending::Open).await
        })
    }
}
