//! `callveil webhook`: what would come of a webhook.

pub mod test;

use clap::Subcommand;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::Output;

/// Try webhooks
#[derive(Debug, Subcommand)]
pub enum Webhook {
    Test(test::Test),
}

impl Webhook {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Webhook::Test(test) => test.run(options, out),
        }
    }
}
