//! `callveil config`: what may be configured, what is, and whether a file would be read.

pub mod check;
pub mod default;
pub mod show;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Print the default configuration, show the one that holds, or check a file
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    Default(default::Default),
    Show(show::Show),
    Check(check::Check),
}

impl ConfigCommand {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            ConfigCommand::Default(default) => default.run(out),
            ConfigCommand::Show(show) => show.run(options, out),
            ConfigCommand::Check(check) => check.run(options, out),
        }
    }
}
