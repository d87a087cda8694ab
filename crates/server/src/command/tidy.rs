//! `callveil tidy`: throws away at once what is older than it is to be kept.

use std::fmt;

use callveil_domain::store::{Ended, StoreError, Tidied, Tidy as Old};
use callveil_store::postgres::Renewed;
use callveil_store::sqlite::Mode;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::{Ending, Listeners, Options, block_on};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::keeping::Keep;
use crate::output::Output;

/// Throw away what is older than it is to be kept, until nothing of it is left
///
/// Servers do the same as they go, a little at a time: this is for when a time of keeping was made shorter, or no server
/// has run for long. Works beside servers.
///
/// With --by-month, calls, events and their deliveries are kept in a table a month from then on, and old months are
/// dropped as one: for a PostgreSQL with millions of them. The tables are read through once and are closed to
/// everybody meanwhile, so that requests may be refused with 503 for some seconds: do it in a quiet hour.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil tidy
  callveil tidy --by-month")]
pub struct Tidy {
    /// Keep calls and events in a table a month from now on
    #[arg(long)]
    by_month: bool,
}

impl Tidy {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let config = options.configuration(Listeners::default())?;
        let keep = Keep::of(&config);
        let done = block_on(async {
            let at = Installation::open(&config, Mode::Tool, Missing::Refuse).await?;
            let failed = |e: StoreError| {
                CommandError::store(format!("tidying {}", at.database), &e)
                    .fix("what was thrown away is; start it again for the rest")
            };
            let old = keep.old(&at.node);
            let months = self.by_month(&at, &old).await?;
            let thrown_away = throw_away(&at, old).await.map_err(failed)?;
            Ok(Done::of(&thrown_away, months))
        })?;
        out.show(&done)?;
        Ok(Ending::Done)
    }

    /// Sees to the months, where there are any or shall be.
    async fn by_month(&self, at: &Installation, old: &Old) -> Result<Option<Renewed>, CommandError> {
        let Some(store) = &at.postgres else {
            return match self.by_month {
                true => Err(CommandError::new(
                    "dividing calls and events by month",
                    "the database is a file of SQLite's",
                )
                .fix("leave out --by-month: old rows are deleted there")),
                false => Ok(None),
            };
        };
        let failed = |e: StoreError| {
            CommandError::store("dividing calls and events by month", &e)
                .fix("others use the tables and were not made to wait longer: start it again")
        };
        if self.by_month {
            store.divide_by_month(at.node.now()).await.map_err(failed)?;
        }
        store.renew_months(at.node.now(), old).await.map_err(failed)
    }
}

/// Takes steps until every table has been gone through and nothing is found any more.
async fn throw_away(at: &Installation, old: Old) -> Result<Tidied, StoreError> {
    let bar = ProgressBar::new_spinner();
    let mut sum = Tidied::default();
    loop {
        let step = at.node.store().tidy(old.clone()).await?;
        add(&mut sum, &step);
        bar.set_message(format!("{} rows thrown away", rows(&sum)));
        bar.tick();
        let all_gone_through = sum.ended == Ended { claims: true, connections: true, allocations: true };
        if all_gone_through && step.is_nothing() {
            bar.finish_and_clear();
            return Ok(sum);
        }
    }
}

fn add(sum: &mut Tidied, step: &Tidied) {
    sum.claims += step.claims;
    sum.allocations += step.allocations;
    sum.receipts += step.receipts;
    sum.calls += step.calls;
    sum.events += step.events;
    sum.audit += step.audit;
    sum.ended.claims |= step.ended.claims;
    sum.ended.connections |= step.ended.connections;
    sum.ended.allocations |= step.ended.allocations;
}

fn rows(tidied: &Tidied) -> u64 {
    let Tidied { claims, allocations, receipts, calls, events, audit, ended: _ } = *tidied;
    claims + allocations + receipts + calls + events + audit
}

/// What was thrown away.
#[derive(Serialize)]
struct Done {
    claims: u64,
    allocations: u64,
    receipts: u64,
    calls: u64,
    events: u64,
    audit: u64,
    /// Tables of months that were made and dropped, where calls and events are divided by month.
    #[serde(skip_serializing_if = "Option::is_none")]
    months: Option<Months>,
}

#[derive(Serialize)]
struct Months {
    made: Vec<String>,
    dropped: Vec<String>,
}

impl Done {
    fn of(tidied: &Tidied, months: Option<Renewed>) -> Done {
        let Tidied { claims, allocations, receipts, calls, events, audit, ended: _ } = *tidied;
        let months = months.map(|Renewed { made, dropped }| Months { made, dropped });
        Done { claims, allocations, receipts, calls, events, audit, months }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { claims, allocations, receipts, calls, events, audit, months } = self;
        if let Some(Months { made, dropped }) = months {
            for table in made {
                writeln!(f, "made {table}")?;
            }
            for table in dropped {
                writeln!(f, "dropped {table}")?;
            }
        }
        write!(
            f,
            "Threw away {claims} claims, {allocations} allocations, {receipts} answers, {calls} calls, {events} events \
            and {audit} entries of the audit."
        )
    }
}
