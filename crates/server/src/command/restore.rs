//! `callveil restore`: a backup in the place of the database.

use std::fmt;
use std::path::PathBuf;

use callveil_store::sqlite::{Mode, restore};
use clap::Args;
use serde::Serialize;

use super::backup::not_ours;
use super::verify::Verified;
use super::{Ending, Listeners, Options, block_on};
use crate::config::Database;
use crate::error::CommandError;
use crate::installation::{Installation, Missing, make_directory};
use crate::output::Output;

/// Put a backup in the place of the database, and verify it
///
/// Refused while a server works on the database. What the database holds is lost: back it up first if in doubt.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil restore callveil-backup.db")]
pub struct Restore {
    /// A file that `callveil backup` made
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Restore {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let config = options.configuration(Listeners::default())?;
        let database = match &config.database {
            Database::Sqlite(database) => database,
            Database::Postgres(url) => return Err(not_ours(url)),
        };
        make_directory(database)?;
        restore(&self.file, database).map_err(|e| {
            CommandError::new(format!("restoring {} into {}", self.file.display(), database.display()), e)
        })?;
        let verified = block_on(async {
            Verified::of(&Installation::open(&config, Mode::Tool, Missing::Refuse).await?).await
        })?;
        let ending = verified.ending();
        out.show(&Restored { from: self.file.display().to_string(), verified })?;
        Ok(ending)
    }
}

#[derive(Serialize)]
struct Restored {
    from: String,
    #[serde(flatten)]
    verified: Verified,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Restored {}.\n{}", self.from, self.verified)
    }
}
