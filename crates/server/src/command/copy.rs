//! `callveil copy`: everything from one database into another, whatever engine each is of.

use std::fmt;

use callveil_store::copy::{self, Copied, Phase, Place, Progress};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Ending, block_on};
use crate::config::Database;
use crate::error::CommandError;
use crate::installation::make_directory;
use crate::output::Output;

/// Copy everything from one database into another, and compare both
///
/// The way from one machine to many, and back. Stop every server first: what they change meanwhile is not copied. A
/// copy that is broken off goes on where it was when it is started again.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil copy --from sqlite:callveil-data/callveil.db --to postgres://callveil@db.internal/callveil")]
pub struct Copy {
    /// The database to copy
    #[arg(long, value_name = "DATABASE")]
    from: Database,
    /// The database to copy it into, which is made or empty
    #[arg(long, value_name = "DATABASE")]
    to: Database,
}

impl Copy {
    pub fn run(self, out: &mut Output) -> Result<Ending, CommandError> {
        let (from, to) = (place(&self.from), place(&self.to));
        let doing = format!("copying {from} into {to}");
        if self.from == self.to {
            return Err(CommandError::new(doing, "they are the same database").fix("name another with --to"));
        }
        if let Place::Sqlite(path) = &from
            && !path.exists()
        {
            return Err(CommandError::new(doing, "there is no such file").fix("name another with --from"));
        }
        if let Place::Sqlite(path) = &to {
            make_directory(path)?;
        }
        let bar = ProgressBar::new(0);
        bar.set_style(
            ProgressStyle::with_template("{msg:9} {wide_bar} {human_pos}/{human_len} rows, {eta} to go")
                .expect("law: the template is one"),
        );
        let mut told = None;
        let mut show = |Progress { phase, done, total }: Progress| {
            if told.replace(phase) != Some(phase) {
                bar.reset();
                bar.set_message(match phase {
                    Phase::Copying => "copying",
                    Phase::Comparing => "comparing",
                });
            }
            bar.set_length(total);
            bar.set_position(done);
        };
        let copied = block_on(async {
            copy::copy(&from, &to, &mut show).await.map_err(|e| {
                CommandError::new(&doing, e).fix("stop every server on both, and start the copy again")
            })
        });
        bar.finish_and_clear();
        let Copied { rows, before } = copied?;
        out.show(&Done { from: from.to_string(), to: to.to_string(), rows, before })?;
        Ok(Ending::Done)
    }
}

fn place(database: &Database) -> Place {
    match database {
        Database::Sqlite(path) => Place::Sqlite(path.clone()),
        Database::Postgres(url) => Place::Postgres(url.clone()),
    }
}

#[derive(Serialize)]
struct Done {
    from: String,
    to: String,
    /// Rows that both have now.
    rows: u64,
    /// Rows that an earlier copy had brought.
    before: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { from, to, rows, before } = self;
        writeln!(f, "Copied {from} into {to}: both have the same {rows} rows.")?;
        if *before > 0 {
            writeln!(f, "{before} of them had been brought by an earlier copy.")?;
        }
        write!(f, "Start the servers with CALLVEIL_DATABASE={to}; `callveil verify` checks the laws.")
    }
}
