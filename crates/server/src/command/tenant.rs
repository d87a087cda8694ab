//! `callveil tenant`: the customers of the installation, and the keys by which they prove who they are.

pub mod create;
pub mod key;
pub mod list;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Make and list tenants, and manage their API keys
#[derive(Debug, Subcommand)]
pub enum Tenant {
    Create(create::Create),
    List(list::List),
    #[command(subcommand)]
    Key(key::Key),
}

impl Tenant {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Tenant::Create(create) => create.run(options, out),
            Tenant::List(list) => list.run(options, out),
            Tenant::Key(key) => key.run(options, out),
        }
    }
}
