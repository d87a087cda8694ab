//! `callveil doctor`: what is wrong with a database that nodes share, and how to mend it.

use std::time::Duration;

use callveil_store::postgres::{Examination, Url, examine};
use clap::Args;

use super::check::{Point, Points};
use super::{Ending, Listeners, Options, block_on};
use crate::clock::{stopwatch, wall_time};
use crate::config::Database;
use crate::error::CommandError;
use crate::output::Output;

/// Look at the database that nodes share, and say how to mend what is wrong
///
/// Asks a PostgreSQL for its settings, its clock, how long its answers take and whether every index is there. Changes
/// nothing. The exit code is 1 when something would keep callveil from working.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil doctor --database postgres://callveil@db.internal/callveil")]
pub struct Doctor {}

impl Doctor {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match options.configuration(Listeners::default())?.database {
            Database::Postgres(url) => Points(look_at(&url)).show(out),
            Database::Sqlite(_) => {
                Err(CommandError::new("looking at the database", "it is a file of SQLite's")
                    .fix("`callveil check` looks at that"))
            }
        }
    }
}

/// How far this machine's clock may be from the database's before it is worth a word.
const SKEW: Duration = Duration::from_secs(2);

/// How long a read and a durable write may take before they are worth a word: calls wait for one, changes for both.
const SLOW_READ: Duration = Duration::from_millis(5);
const SLOW_WRITE: Duration = Duration::from_millis(50);

/// How many questions are asked to find out how long answers take.
const QUESTIONS: usize = 21;

/// Looks at a PostgreSQL.
pub fn look_at(url: &Url) -> Vec<Point> {
    let examined = block_on(async {
        examine(url, QUESTIONS, &stopwatch)
            .await
            .map_err(|e| CommandError::new(format!("opening the database {url}"), e))
    });
    match examined {
        Ok(found) => points(url, &found),
        Err(error) => vec![Point::failure(
            "database",
            error,
            "start it, let this machine in, or name another with CALLVEIL_DATABASE; `callveil migrate` makes the tables",
        )],
    }
}

fn points(url: &Url, found: &Examination) -> Vec<Point> {
    let mut points = vec![Point::ok("database", format!("{url} is PostgreSQL {}", found.version))];
    points.push(schema(found));
    points.push(latency("reads", found.read, SLOW_READ, "move the nodes nearer to the database"));
    points.push(latency("durable writes", found.write, SLOW_WRITE, "put the database on a faster disk"));
    points.push(clock(found));
    points.extend(settings(found));
    points
}

fn schema(found: &Examination) -> Point {
    let Examination { steps_taken, steps_known, missing_indexes, .. } = found;
    if !missing_indexes.is_empty() {
        let says = format!("these indexes are missing: {}", missing_indexes.join(", "));
        return Point::failure("schema", says, "make them again as the migrations in the source say");
    }
    if steps_taken < steps_known {
        let says = format!("{steps_taken} of {steps_known} steps are taken");
        return Point::warning("schema", says, "`callveil migrate` takes the others");
    }
    Point::ok("schema", format!("all {steps_known} steps are taken, and every index is there"))
}

fn latency(name: &'static str, took: Duration, slow: Duration, fix: &str) -> Point {
    let says = format!("take {took:.1?}");
    if took > slow { Point::warning(name, says, fix) } else { Point::ok(name, says) }
}

fn clock(found: &Examination) -> Point {
    let here = wall_time();
    let skew = here.since(found.now).max(found.now.since(here));
    let says = format!("this machine's clock and the database's are {skew:.1?} apart");
    if skew > SKEW {
        return Point::warning(
            "clock",
            format!("{says}; what callveil decides goes by the database's, its log by the machine's"),
            "set the clocks, with `timedatectl set-ntp true` for example",
        );
    }
    Point::ok("clock", says)
}

fn settings(found: &Examination) -> Vec<Point> {
    let mut points = Vec::new();
    for (name, good, fix) in [
        ("fsync", "on", "without it a crash of the machine may destroy the database"),
        ("full_page_writes", "on", "without it a crash of the machine may destroy the database"),
    ] {
        match found.setting(name) {
            Some(value) if value != good => {
                points.push(Point::failure(
                    "settings",
                    format!("{name} is {value}"),
                    format!("set it to {good}: {fix}"),
                ));
            }
            Some(_) | None => {}
        }
    }
    if found.setting("synchronous_commit") == Some("off") {
        points.push(Point::failure(
            "settings",
            "synchronous_commit is off: what was answered may be lost",
            "set it to on, or to remote_write with a synchronous standby",
        ));
    }
    if found.setting("synchronous_standby_names").is_none_or(str::is_empty) && found.standbys > 0 {
        points.push(Point::warning(
            "settings",
            "a standby follows, but no commit waits for it: a fail-over may lose what was answered last",
            "set synchronous_standby_names, or synchronous_mode with Patroni",
        ));
    }
    let room = found.setting("max_connections").and_then(|n| n.parse::<usize>().ok());
    if let Some(room) = room.filter(|room| *room < 3 * found.pool) {
        points.push(Point::warning(
            "settings",
            format!("max_connections is {room}, and each node may hold {} connections", found.pool),
            "raise it, make the pool smaller with ?pool=N, or put PgBouncer between",
        ));
    }
    if points.is_empty() {
        points.push(Point::ok("settings", "keep what was answered"));
    }
    points
}
