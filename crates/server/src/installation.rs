//! What a command works on: the store that the configuration names, with the clock and the randomness.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callveil_domain::node::Node;
use callveil_domain::store::{DirectoryConflict, Store, StoreError};
use callveil_domain::tenant::{Sid, Tenant};
use callveil_domain::{Ctx, Effect, Failure};
use callveil_store::sqlite::{Mode, SqliteStore};

use crate::clock::{WallClock, generator, randomness};
use crate::config::{Config, Database};
use crate::error::CommandError;

/// An open installation.
pub struct Installation {
    pub node: Arc<Node>,
    /// The file that holds it.
    pub path: PathBuf,
}

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
        let Database::Sqlite(path) = &config.database;
        let doing = format!("opening the database {}", path.display());
        if !path.exists() {
            match missing {
                Missing::Make => make_directory(path)?,
                Missing::Refuse => return Err(no_database(path)),
            }
        }
        let store = SqliteStore::open(path, mode).map_err(|e| CommandError::new(&doing, e))?;
        let node = open_node(Arc::new(store)).await.map_err(|e| CommandError::store(&doing, &e))?;
        Ok(Installation { node: Arc::new(node), path: path.clone() })
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

    /// Runs one use case at the present moment.
    pub async fn act<T>(&self, effect: Effect, case: impl AsyncFnOnce(&mut Ctx<'_>) -> T) -> T {
        let mut rng = generator();
        case(&mut self.node.ctx(&mut rng, effect)).await
    }
}

async fn open_node(store: Arc<dyn Store>) -> Result<Node, StoreError> {
    let clock = WallClock::starting_at(store.latest_moment().await?);
    Node::open(store, Arc::new(clock), randomness()).await
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
