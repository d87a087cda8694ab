//! `callveil call`: what happened, and what would happen, to telephone calls, and those that go on.

pub mod hangup;
pub mod list;
pub mod live;
pub mod simulate;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// List calls, find out what happens to one, and end those that go on
#[derive(Debug, Subcommand)]
pub enum Call {
    List(list::List),
    Simulate(simulate::Simulate),
    Live(live::Live),
    Hangup(hangup::Hangup),
}

impl Call {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Call::List(list) => list.run(options, out),
            Call::Simulate(simulate) => simulate.run(options, out),
            Call::Live(live) => live.run(options, out),
            Call::Hangup(hangup) => hangup.run(options, out),
        }
    }
}
