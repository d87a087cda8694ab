//! `callveil migrate`: brings the database's schema up to date.

use std::fmt;

use callveil_store::postgres;
use callveil_store::sqlite::Mode;
use clap::Args;
use serde::Serialize;

use super::{Ending, Listeners, Options, block_on};
use crate::config::Database;
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Bring the database's schema up to date, making it when there is none
///
/// `callveil serve` does the same at its start. On a PostgreSQL, nodes of the release before go on working meanwhile
/// and afterwards: migrate first, then renew one node after the other.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil migrate --database postgres://callveil@db.internal/callveil")]
pub struct Migrate {}

impl Migrate {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let config = options.configuration(Listeners::default())?;
        let steps = block_on(async {
            match &config.database {
                Database::Postgres(url) => postgres::migrate(url).await.map_err(|e| {
                    CommandError::new(format!("migrating {url}"), e)
                        .fix("`callveil doctor` tells what is wrong")
                }),
                Database::Sqlite(_) => {
                    Installation::open(&config, Mode::Tool, Missing::Make).await.map(|_| Vec::new())
                }
            }
        })?;
        out.show(&Migrated { database: config.database.to_string(), steps })?;
        Ok(Ending::Done)
    }
}

#[derive(Serialize)]
struct Migrated {
    database: String,
    /// The steps that were taken now, where it is known.
    steps: Vec<&'static str>,
}

impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Migrated { database, steps } = self;
        for step in steps {
            writeln!(f, "took {step}")?;
        }
        write!(f, "The schema of {database} is up to date.")
    }
}
