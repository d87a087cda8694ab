//! What a command works on: the store that the configuration names, with the clock and the randomness.

use std::env;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::audit::{Actor, Origin};
use callveil_domain::node::Node;
use callveil_domain::store::{DirectoryConflict, Store, StoreError};
use callveil_domain::tenant::{Sid, Tenant};
use callveil_domain::{Ctx, Effect, Failure};
use callveil_store::postgres::{OpenError, PostgresStore, Url, migrate};
use callveil_store::sqlite::{Mode, SqliteStore};
use rand::RngExt;

use crate::clock::{WallClock, generator, randomness, stopwatch};
use crate::config::{Config, Database};
use crate::error::CommandError;

/// An open installation.
pub struct Installation {
    pub node: Arc<Node>,
    /// Where it is.
    pub database: Database,
    /// The database's clock, where it has one that goes before the machine's.
    pub time: Option<DatabaseTime>,
    /// The database, where it is one that many nodes share.
    pub postgres: Option<Arc<PostgresStore>>,
}

/// The clock of a database that many nodes share, and this node's clock, which follows it.
#[derive(Clone)]
pub struct DatabaseTime {
    store: Arc<PostgresStore>,
    clock: Arc<WallClock>,
}

impl DatabaseTime {
    /// Has the node's clock show again what the database's shows.
    pub async fn follow(&self) -> Result<(), StoreError> {
        let asked = stopwatch();
        let shows = self.store.now().await?;
        // It showed that at some time between the question and the answer. A slow answer tells too little.
        let halfway = asked.elapsed() / 2;
        if halfway < SLOW_ANSWER || !self.clock.follows() {
            self.clock.follow(asked + halfway, shows);
        }
        Ok(())
    }
}

/// An answer that took longer than twice this is not used to set a clock.
const SLOW_ANSWER: Duration = Duration::from_millis(50);

/// What to do when there is no database yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make one.
    Make,
    /// Say so: a command that only reads or changes has most likely been given the wrong path.
    Refuse,
}

impl Installation {
    /// Opens the store that the configuration names.
    pub async fn open(config: &Config, mode: Mode, missing: Missing) -> Result<Installation, CommandError> {
        let doing = format!("opening the database {}", config.database);
        let store_failed = |e: StoreError| CommandError::store(&doing, &e);
        let (store, clock, postgres): (Arc<dyn Store>, Arc<WallClock>, _) = match &config.database {
            Database::Sqlite(path) => {
                if !path.exists() {
                    match missing {
                        Missing::Make => make_directory(path)?,
                        Missing::Refuse => return Err(no_database(path)),
                    }
                }
                let store = SqliteStore::open(path, mode).map_err(|e| CommandError::new(&doing, e))?;
                let latest = store.latest_moment().await.map_err(store_failed)?;
                (Arc::new(store), Arc::new(WallClock::starting_at(latest)), None)
            }
            Database::Postgres(url) => {
                let store = Arc::new(open_postgres(url, missing).await?);
                let latest = store.latest_moment().await.map_err(store_failed)?;
                let clock = Arc::new(WallClock::starting_at(latest));
                (Arc::clone(&store) as Arc<dyn Store>, clock, Some(store))
            }
        };
        let time = postgres.clone().map(|store| DatabaseTime { store, clock: Arc::clone(&clock) });
        if let Some(time) = &time {
            time.follow().await.map_err(store_failed)?;
        }
        let node = Node::open(store, clock, randomness()).await.map_err(store_failed)?;
        Ok(Installation { node: Arc::new(node), database: config.database.clone(), time, postgres })
    }

    /// The tenant of this name, as it is now.
    pub fn tenant(&self, sid: &Sid) -> Result<Arc<Tenant>, CommandError> {
        self.node.directory().tenant(sid.as_str()).cloned().ok_or_else(|| {
            CommandError::new(format!("looking for the tenant {sid}"), "there is none of this name").fix(
                format!(
                    "`callveil tenant list` shows those there are, `callveil tenant create {sid}` makes it"
                ),
            )
        })
    }

    /// Changes what the directory shows of a tenant.
    pub async fn change(
        &self,
        doing: impl fmt::Display,
        tenant: &Sid,
        case: impl AsyncFnOnce(&mut Ctx<'_>) -> Result<(), Failure<DirectoryConflict>>,
    ) -> Result<(), CommandError> {
        let changed = self.act(Effect::Keep, case).await;
        changed.map_err(|failure| CommandError::directory(doing, tenant, &failure))
    }

    /// Runs one use case at the present moment, for whoever is at the command line.
    pub async fn act<T>(&self, effect: Effect, case: impl AsyncFnOnce(&mut Ctx<'_>) -> T) -> T {
        let mut rng = generator();
        let by = Origin { actor: operator(), request: None };
        case(&mut Ctx { by, ..self.node.ctx(&mut rng, effect) }).await
    }
}

/// Whoever is at the command line, by the name that the system's session has for them.
fn operator() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let name = name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    Actor::Operator(name.chars().filter(|c| !c.is_control()).take(64).collect())
}

/// Opens a PostgreSQL, taking first the steps that it has not taken yet where the command may make a database.
async fn open_postgres(url: &Url, missing: Missing) -> Result<PostgresStore, CommandError> {
    let failed = |e: OpenError| {
        CommandError::new(format!("opening the database {url}"), e)
            .fix("`callveil doctor` tells what is wrong")
    };
    if missing == Missing::Make {
        for step in migrate(url).await.map_err(failed)? {
            tracing::info!(step, "took the step {step} of the schema");
        }
    }
    let mut process = [0; 16];
    generator().fill(&mut process);
    PostgresStore::open(url, process).await.map_err(failed)
}

fn no_database(path: &Path) -> CommandError {
    CommandError::new(format!("opening the database {}", path.display()), "there is no such file")
        .fix("`callveil tenant create SID` or `callveil serve` makes it; `callveil config show` tells why it is this one")
}

/// Makes the directory of a database to be, for its owner alone: the files in it hold numbers in clear.
pub fn make_directory(path: &Path) -> Result<(), CommandError> {
    use std::os::unix::fs::DirBuilderExt;

    let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty() && !d.exists()) else {
        return Ok(());
    };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|e| {
        CommandError::new(format!("making the directory {}", directory.display()), e)
            .fix("make it yourself, or name another database with --database sqlite:PATH")
    })
}
