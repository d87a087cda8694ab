//! `callveil backup`: a copy of everything, while the server answers.

use std::fmt;
use std::path::PathBuf;

use callveil_store::postgres::Url;
use callveil_store::sqlite::backup;
use clap::Args;
use serde::Serialize;

use super::{Ending, Listeners, Options};
use crate::config::Database;
use crate::error::CommandError;
use crate::output::Output;

/// Copy the database into a file, also while a server works on it
///
/// The copy is one consistent moment. It holds telephone numbers in clear: keep it as safe as the database. Never
/// copy the database's own file by hand while a server runs.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil backup callveil-backup.db
  callveil verify --database sqlite:callveil-backup.db")]
pub struct Backup {
    /// The file to make
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Backup {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let database = match options.configuration(Listeners::default())?.database {
            Database::Sqlite(database) => database,
            Database::Postgres(url) => return Err(not_ours(&url)),
        };
        let file = self.file;
        let doing = || format!("backing up {} into {}", database.display(), file.display());
        if !database.exists() {
            return Err(CommandError::new(doing(), "there is no such database")
                .fix("`callveil config show` tells why it is this one"));
        }
        backup(&database, &file).map_err(|e| CommandError::new(doing(), e))?;
        out.show(&Copied { from: database.display().to_string(), to: file.display().to_string() })?;
        Ok(Ending::Done)
    }
}

/// Whoever runs a PostgreSQL backs it up with its own tools, which know how.
pub fn not_ours(url: &Url) -> CommandError {
    CommandError::new(format!("backing up {url}"), "a PostgreSQL is backed up and restored by its own tools")
        .fix("use pg_dump, or pg_basebackup with archived logs: docs/postgres.md shows how")
}

#[derive(Serialize)]
struct Copied {
    from: String,
    to: String,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Copied { from, to } = self;
        write!(f, "Copied {from} into {to}.\n`callveil verify --database sqlite:{to}` checks the copy.")
    }
}
