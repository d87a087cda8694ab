//! `callveil copy` of a million allocations, from a file into a PostgreSQL and back.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::bail;

use crate::figures::say;
use crate::load::now;
use crate::postgres::cluster::{Cluster, Durability};
use crate::world::{World, program};

/// How many allocations there are unless it is said otherwise.
pub const LIVE: u32 = 1_000_000;

/// Copies so many live allocations there and back, and reads what arrived.
pub async fn copy(live: u32) -> anyhow::Result<()> {
    say(&format!("\nCopying {live} live allocations, each side durable"));
    let world = World::with(u64::from(live)).await?;
    let cluster = Cluster::make(&world.path().join("cluster"), Durability::Full);
    cluster.create_database("callveil", None);
    let file = format!("sqlite:{}", world.database().display());
    let back = format!("sqlite:{}", world.path().join("back.db").display());
    let there = cluster.url("callveil");

    let up = callveil(&["copy", "--from", &file, "--to", &there], &there)?;
    let verified = callveil(&["verify"], &there)?;
    let down = callveil(&["copy", "--from", &there, "--to", &back], &back)?;
    callveil(&["verify"], &back)?;
    say(&format!(
        "  into PostgreSQL {:.0} s, verified there in {:.0} s",
        up.as_secs_f64(),
        verified.as_secs_f64()
    ));
    say(&format!("  back into a file {:.0} s", down.as_secs_f64()));
    let size = cluster.run("callveil", "select pg_size_pretty(pg_database_size('callveil'))");
    say(&format!("  size in PostgreSQL: {size}"));
    say(&format!("  closed meanwhile: {:.0} s", (up + verified).as_secs_f64()));
    Ok(())
}

/// How long a command takes that must come to its good end.
fn callveil(arguments: &[&str], database: &str) -> anyhow::Result<Duration> {
    let began = now();
    let ended = Command::new(program("callveil")?)
        .args(arguments)
        .env("CALLVEIL_DATABASE", database)
        .stdout(Stdio::null())
        .status()?;
    match ended.success() {
        true => Ok(began.elapsed()),
        false => bail!("callveil {}: {ended}", arguments.join(" ")),
    }
}
