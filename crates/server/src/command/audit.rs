//! `callveil audit`: the record of who changed what.

pub mod export;
pub mod verify;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Read and check the record of every change: who, what, in answer to which request
///
/// Entries are chained: each carries a hash over itself and the one before. One that is altered or taken out breaks
/// the chain. Whoever can write to the database could make a whole new chain; a copy of its head, kept elsewhere, shows that.
#[derive(Debug, Subcommand)]
pub enum Audit {
    Export(export::Export),
    Verify(verify::Verify),
}

impl Audit {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Audit::Export(export) => export.run(options, out),
            Audit::Verify(verify) => verify.run(options, out),
        }
    }
}
