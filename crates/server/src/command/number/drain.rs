//! `callveil number drain`: numbers that are to leave the pool take no new allocation.

use callveil_domain::virtual_number::Lending;
use clap::Args;

use super::{Numbers, set_lending};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Stop lending virtual numbers anew
///
/// They keep the allocations that they carry until those end. `callveil number open` undoes it,
/// `callveil number remove` completes it.
///
///   callveil number drain --tenant acme +918000000001
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Drain {
    #[command(flatten)]
    numbers: Numbers,
}

impl Drain {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        set_lending(&self.numbers, Lending::Draining, options, out)
    }
}
