//! `callveil call`: what would happen to a telephone call.

pub mod simulate;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Find out what happens to a call
#[derive(Debug, Subcommand)]
pub enum Call {
    Simulate(simulate::Simulate),
}

impl Call {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Call::Simulate(simulate) => simulate.run(options, out),
        }
    }
}
