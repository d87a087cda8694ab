//! `callveil number open`: draining numbers are lent again.

use callveil_domain::virtual_number::Lending;
use clap::Args;

use super::{Numbers, set_lending};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Lend draining virtual numbers again
///
///   callveil number open --tenant acme +918000000001
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Open {
    #[command(flatten)]
    numbers: Numbers,
}

impl Open {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        set_lending(&self.numbers, Lending::Open, options, out)
    }
}
