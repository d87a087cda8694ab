//! The program `callveil`: configuration, command line, and the server with its workers.
//!
//! No business rule lives here. This crate is the one driver: it reads the clock, makes the randomness, opens the
//! store and the sockets, and hands them to those that decide and answer. Each subcommand is a file below
//! [`command`]; [`serving`] is the life of a server from its first connection to its last.

pub mod clock;
pub mod command;
pub mod config;
pub mod credentials;
pub mod error;
pub mod installation;
pub mod keeping;
pub mod logging;
pub mod output;
pub mod serving;
pub mod trial;

use std::process::ExitCode;

use clap::Parser;

use command::{CommandLine, Ending};
use output::Output;

/// Runs the command that the program was started with.
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    let mut out = Output::standard(line.options.json);
    match line.run(&mut out) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Refused) => ExitCode::FAILURE,
        Err(error) => {
            out.complain(&error);
            ExitCode::FAILURE
        }
    }
}
