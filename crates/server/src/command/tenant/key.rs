//! `callveil tenant key`: the keys of a tenant. Two may be live, so that clients change over without a gap.

pub mod add;
pub mod list;
pub mod revoke;

use clap::Subcommand;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// List, add and revoke a tenant's API keys
///
/// Two keys may be live at a time: add the second, let the clients change over, revoke the first.
#[derive(Debug, Subcommand)]
pub enum Key {
    List(list::List),
    Add(add::Add),
    Revoke(revoke::Revoke),
}

impl Key {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Key::List(list) => list.run(options, out),
            Key::Add(add) => add.run(options, out),
            Key::Revoke(revoke) => revoke.run(options, out),
        }
    }
}
