//! `callveil check`: what on this machine would keep callveil from working, and how to mend it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use callveil_domain::time::Timestamp;
use callveil_store::sqlite::{Mode, SqliteStore};
use clap::Args;
use serde::Serialize;

use super::{Ending, Listeners, Options, block_on};
use crate::clock::{stopwatch, wall_time};
use crate::config::{Config, Database, Listen};
use crate::error::CommandError;
use crate::output::{Output, time};

/// Check the configuration and the machine, and say how to mend what is wrong
///
/// Looks at the configuration, the database, the disk, the listeners and the clock. Changes no data. The exit code is 1 when something would keep callveil from working.
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  callveil check
  callveil check --json | jq '.[] | select(.state != "ok")'"#)]
pub struct Check {
    #[command(flatten)]
    listeners: Listeners,
}

impl Check {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let points = match options.configuration(self.listeners) {
            Ok(config) => look_at(&config),
            Err(error) => {
                vec![Point::failure("configuration", error, "`callveil config default` shows every key")]
            }
        };
        Points(points).show(out)
    }
}

/// Looks at everything that a server needs.
pub fn look_at(config: &Config) -> Vec<Point> {
    let mut points = vec![configuration(config)];
    match &config.database {
        Database::Sqlite(path) => {
            points.push(disk(path));
            points.extend(database(path));
        }
        Database::Postgres(url) => points.extend(super::doctor::look_at(url)),
    }
    points.push(listener("API listener", config.http.listen, LIVE, "CALLVEIL_HTTP_LISTEN"));
    let runs = is_callveil(config.http.listen, LIVE);
    points.extend(config.sip.listen.values().iter().map(|listen| sip_listener(*listen, runs)));
    points.push(listener("metrics listener", config.metrics_listen, METRICS, "CALLVEIL_METRICS_LISTEN"));
    points
}

fn configuration(config: &Config) -> Point {
    if config.strange_variables.is_empty() {
        return Point::ok("configuration", "is understood");
    }
    let names = config.strange_variables.join(", ");
    Point::warning(
        "configuration",
        format!("nothing reads {names}"),
        "`callveil config default` names every variable that is read",
    )
}

/// How long a durable write may take before it is worth a word: every answer to a change waits for one.
const SLOW_WRITE: Duration = Duration::from_millis(50);

fn disk(database: &Path) -> Point {
    let directory = database.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.exists() {
        let says = format!("there is no directory {} yet", directory.display());
        return Point::warning("disk", says, "`callveil serve` makes it");
    }
    match durable_write(directory) {
        Ok(took) if took > SLOW_WRITE => Point::warning(
            "disk",
            format!(
                "{}: a durable write takes {took:.1?}, and every change waits for one",
                directory.display()
            ),
            "put the database on a faster or less busy disk",
        ),
        Ok(took) => Point::ok("disk", format!("{}: a durable write takes {took:.1?}", directory.display())),
        Err(error) => Point::failure(
            "disk",
            format!("{} cannot be written to: {error}", directory.display()),
            "free space, mend its permissions, or name another place with CALLVEIL_DATABASE",
        ),
    }
}

/// Writes a page and waits until it is on the disk, a few times; answers with the middle one.
fn durable_write(directory: &Path) -> io::Result<Duration> {
    let path: PathBuf = directory.join(format!(".callveil-check-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let mut times = Vec::new();
    let written = (0..5).try_for_each(|_| {
        let begun = stopwatch();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
        Ok(())
    });
    fs::remove_file(&path)?;
    written.map(|()| {
        times.sort();
        times[times.len() / 2]
    })
}

/// The database, and the clock against what the database has seen.
fn database(path: &Path) -> Vec<Point> {
    if !path.exists() {
        let says = format!("there is no {} yet", path.display());
        return vec![Point::warning(
            "database",
            says,
            "`callveil tenant create SID` or `callveil serve` makes it",
        )];
    }
    let store = match SqliteStore::open(path, Mode::Tool) {
        Ok(store) => store,
        Err(error) => {
            return vec![Point::failure("database", error, "`callveil restore FILE` puts a backup there")];
        }
    };
    let latest = block_on(async {
        use callveil_domain::store::Store;
        store.latest_moment().await.map_err(|e| CommandError::store("reading the database", &e))
    });
    match latest {
        Err(error) => vec![Point::failure("database", error, "`callveil verify` tells what is damaged")],
        Ok(latest) => vec![
            Point::ok("database", format!("{} opens, and its schema is known", path.display())),
            clock(latest, wall_time()),
        ],
    }
}

fn clock(latest: Timestamp, now: Timestamp) -> Point {
    let behind = latest.since(now);
    // Within a second it may be another process's write.
    if behind < Duration::from_secs(1) {
        return Point::ok("clock", format!("it is {}", time(now)));
    }
    Point::failure(
        "clock",
        format!(
            "it is {}, and the database has seen {} already: nothing expires until then",
            time(now),
            time(latest)
        ),
        "set the machine's clock, with `timedatectl set-ntp true` for example",
    )
}

fn listener(name: &'static str, listen: Listen, ours: Sign, variable: &str) -> Point {
    match TcpListener::bind(listen.address()) {
        Ok(_) => Point::ok(name, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_callveil(listen, ours) => {
            Point::ok(name, format!("{listen} is served by a running callveil"))
        }
        Err(error) => Point::failure(
            name,
            format!("{listen} cannot be listened on: {error}"),
            format!("stop what uses it, or name another with {variable}=ADDRESS:PORT"),
        ),
    }
}

/// SIP answers nobody but trunks, so that a running server is recognised by its API.
fn sip_listener(listen: Listen, runs: bool) -> Point {
    let name = "SIP listener";
    let bound = UdpSocket::bind(listen.address()).map(drop);
    match bound.and_then(|()| TcpListener::bind(listen.address()).map(drop)) {
        Ok(()) => Point::ok(name, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && runs => {
            Point::ok(name, format!("{listen} is in use, and a callveil runs"))
        }
        Err(error) => Point::failure(
            name,
            format!("{listen} cannot be listened on: {error}"),
            "stop what uses it, or name others with CALLVEIL_SIP_LISTEN=ADDRESS:PORT,... (none takes no calls)",
        ),
    }
}

/// A path that needs no credentials, and a word that we answer there.
#[derive(Clone, Copy)]
struct Sign {
    path: &'static str,
    word: &'static str,
}

const LIVE: Sign = Sign { path: "/live", word: "live" };
const METRICS: Sign = Sign { path: "/metrics", word: "callveil_" };

/// Whether what listens there answers like us.
fn is_callveil(listen: Listen, sign: Sign) -> bool {
    let ask = || -> io::Result<String> {
        let limit = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&listen.address(), limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(stream, "GET {} HTTP/1.1\r\nHost: callveil\r\nConnection: close\r\n\r\n", sign.path)?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains(sign.word))
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    pub name: &'static str,
    pub state: State,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    Warning,
    Failure,
}

impl Point {
    pub fn ok(name: &'static str, says: impl fmt::Display) -> Point {
        Point { name, state: State::Ok, says: says.to_string(), fix: None }
    }

    pub fn warning(name: &'static str, says: impl fmt::Display, fix: impl fmt::Display) -> Point {
        Point { name, state: State::Warning, says: says.to_string(), fix: Some(fix.to_string()) }
    }

    pub fn failure(name: &'static str, says: impl fmt::Display, fix: impl fmt::Display) -> Point {
        Point { name, state: State::Failure, says: says.to_string(), fix: Some(fix.to_string()) }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
pub struct Points(pub Vec<Point>);

impl Points {
    /// Shows them; one that is a failure is bad news.
    pub fn show(self, out: &mut Output) -> Result<Ending, CommandError> {
        let failed = self.0.iter().any(|point| point.state == State::Failure);
        out.show(&self)?;
        Ok(if failed { Ending::Refused } else { Ending::Done })
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Point { name, state, says, fix } in &self.0 {
            let state = match state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failure => "failure",
            };
            writeln!(f, "{state:8} {name}: {says}")?;
            if let Some(fix) = fix {
                writeln!(f, "{:8} -> {fix}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_what_the_database_has_seen_is_a_failure() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let check = |ahead: u64, expected| {
            assert_eq!(clock(now.plus(Duration::from_millis(ahead)), now).state, expected, "{ahead} ms");
        };
        check(0, State::Ok);
        check(999, State::Ok);
        check(1_000, State::Failure);
        check(86_400_000, State::Failure);
    }
}
