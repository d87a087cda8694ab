//! Asks a database how it is: for its operator, and never in the way of a call.

use std::time::{Duration, Instant};

use callveil_domain::time::Timestamp;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::migrate::{self, SchemaError};
use super::reader::Reader;
use super::rows::Cells;
use super::session::Session;
use super::statements::{self as sql, Sql};
use super::{OpenError, Url};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// The engine's version.
    pub version: String,
    /// How many steps of the schema are taken, and how many this program knows.
    pub steps_taken: usize,
    /// How many steps this program knows.
    pub steps_known: usize,
    /// Indexes that the schema asks for and that are not there.
    pub missing_indexes: Vec<String>,
    /// How long a read takes.
    pub read: Duration,
    /// How long a durable write takes.
    pub write: Duration,
    /// What the database's clock shows.
    pub now: Timestamp,
    /// How many standbys follow.
    pub standbys: i64,
    /// How many connections this node may hold.
    pub pool: usize,
    settings: Vec<(String, String)>,
}

impl Examination {
    /// What a setting of the engine's is.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(named, _)| named == name).map(|(_, value)| value.as_str())
    }
}

const SETTINGS: Sql = Sql {
    text: "select name, setting from pg_catalog.pg_settings where name = any ($1)",
    types: &[Type::TEXT_ARRAY],
};

const ASKED: &[&str] = &[
    "server_version",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "synchronous_standby_names",
    "max_connections",
];

const INDEXES: Sql = Sql {
    text: "select indexname from pg_catalog.pg_indexes where schemaname = any (current_schemas(false))",
    types: &[],
};

const STANDBYS: Sql = Sql { text: "select count(*) from pg_catalog.pg_stat_replication", types: &[] };

/// Looks at a database; `stopwatch` measures how long answers to so many questions take.
pub async fn examine(
    url: &Url,
    questions: usize,
    stopwatch: &(dyn Fn() -> Instant + Sync),
) -> Result<Examination, OpenError> {
    let session = Reader::new(url.pool()?, url.preparing()).session().await.map_err(SchemaError::from)?;
    let (taken, known) = migrate::progress(&session).await?;
    Ok(look(&session, url, (taken, known), questions, stopwatch).await.map_err(SchemaError::from)?)
}

async fn look(
    session: &Session,
    url: &Url,
    (steps_taken, steps_known): (usize, usize),
    questions: usize,
    stopwatch: &(dyn Fn() -> Instant + Sync),
) -> Result<Examination, Fault> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for row in session.query(&SETTINGS, &[&ASKED]).await? {
        let mut cells = Cells::from(&row, 0);
        settings.push((cells.take()?, cells.take()?));
    }
    let mut indexes = Vec::new();
    for row in session.query(&INDEXES, &[]).await? {
        indexes.push(Cells::from(&row, 0).take::<String>()?);
    }
    let is_missing = |index: &&str| !indexes.iter().any(|there| there == index);
    let missing_indexes = migrate::indexes(steps_taken).filter(is_missing).map(str::to_owned).collect();
    let standbys = match session.query(&STANDBYS, &[]).await?.first() {
        Some(row) => Cells::from(row, 0).take()?,
        None => 0,
    };

    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    let mut now = Timestamp::EPOCH;
    for _ in 0..questions.max(1) {
        let begun = stopwatch();
        if let Some(row) = session.query(&sql::NOW, &[]).await?.first() {
            now = Cells::from(row, 0).moment()?;
        }
        reads.push(begun.elapsed());
        let begun = stopwatch();
        session.query(&migrate::TOUCH, &[]).await?;
        writes.push(begun.elapsed());
    }
    let version = settings.iter().find(|(name, _)| name == "server_version").map(|(_, v)| v.clone());
    Ok(Examination {
        version: version.unwrap_or_default(),
        steps_taken,
        steps_known,
        missing_indexes,
        read: middle(reads),
        write: middle(writes),
        now,
        standbys,
        pool: url.connections(),
        settings,
    })
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
