//! `callveil config check`: would callveil start with this configuration?

use std::fmt;

use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Listeners, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Read the configuration file and the environment, and say whether they are understood
///
/// Nothing is started and nothing is written. `callveil check` looks at the machine, too.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil --config callveil.toml config check")]
pub struct Check {}

impl Check {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let config = options.configuration(Listeners::default())?;
        out.show(&Checked { understood: true, unknown_variables: config.strange_variables })?;
        Ok(Ending::Done)
    }
}

#[derive(Serialize)]
struct Checked {
    understood: bool,
    /// Variables that begin like ours and that nothing reads.
    unknown_variables: Vec<String>,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The configuration is understood.")?;
        let strange = &self.unknown_variables;
        strange.iter().try_for_each(|name| write!(f, "\nwarning: nothing reads the variable {name}"))
    }
}
