//! `callveil settings`: what a tenant has chosen, and what its operator has chosen for it.

pub mod set;
pub mod show;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Show and set a tenant's settings
#[derive(Debug, Subcommand)]
pub enum Settings {
    Show(show::Show),
    Set(set::Set),
}

impl Settings {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Settings::Show(show) => show.run(options, out),
            Settings::Set(set) => set.run(options, out),
        }
    }
}
