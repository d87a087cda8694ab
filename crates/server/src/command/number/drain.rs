//! `callveil number drain`: numbers that are to leave the pool take no new allocation.

use callveil_domain::admin;
use callveil_domain::virtual_number::Lending;
use clap::Args;

use super::{Deed, Numbers};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Stop lending virtual numbers anew
///
/// They keep the allocations that they carry until those end. `callveil number open` undoes it,
/// `callveil number remove` completes it.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil number drain --tenant acme +918000000001")]
pub struct Drain {
    #[command(flatten)]
    numbers: Numbers,
}

impl Drain {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let deed = Deed { doing: "draining", done: "draining" };
        self.numbers.change(deed, options, out, async |ctx, tenant, numbers| {
            admin::set_lending(ctx, tenant, numbers, Lending::Draining).await
        })
    }
}
