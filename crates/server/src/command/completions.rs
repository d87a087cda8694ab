//! `callveil completions`: the command line, as a shell knows it.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{CommandLine, Ending};
use crate::error::CommandError;
use crate::output::Output;

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil completions bash > /etc/bash_completion.d/callveil
  callveil completions zsh > ~/.zfunc/_callveil
  callveil completions fish > ~/.config/fish/completions/callveil.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self, out: &mut Output) -> Result<Ending, CommandError> {
        let mut script = Vec::new();
        generate(self.shell, &mut CommandLine::command(), "callveil", &mut script);
        out.print(&String::from_utf8_lossy(&script))?;
        Ok(Ending::Done)
    }
}
