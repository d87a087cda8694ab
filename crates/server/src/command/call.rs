//! `callveil call`: what would happen to a telephone call, and the calls there are.

pub mod hangup;
pub mod live;
pub mod simulate;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Find out what happens to a call, and end calls that go on
#[derive(Debug, Subcommand)]
pub enum Call {
    Simulate(simulate::Simulate),
    Live(live::Live),
    Hangup(hangup::Hangup),
}

impl Call {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Call::Simulate(simulate) => simulate.run(options, out),
            Call::Live(live) => live.run(options, out),
            Call::Hangup(hangup) => hangup.run(options, out),
        }
    }
}
