//! `callveil config default`: the manual of the configuration.

use std::fmt;

use clap::Args;
use serde::Serialize;

use crate::command::Ending;
use crate::config::DEFAULT_FILE;
use crate::error::CommandError;
use crate::output::Output;

/// Print every configuration key with its default and what it does
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil config default > callveil.toml")]
pub struct Default {}

impl Default {
    pub fn run(self, out: &mut Output) -> Result<Ending, CommandError> {
        out.show(&File { toml: DEFAULT_FILE })?;
        Ok(Ending::Done)
    }
}

#[derive(Serialize)]
struct File {
    toml: &'static str,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.toml)
    }
}
