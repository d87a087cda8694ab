//! How reads find a connection, and another one when it breaks.

use std::time::Duration;

use callveil_domain::tenant::Directory;
use deadpool_postgres::Pool;
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;

use super::directory;
use super::fault::Fault;
use super::session::{Preparing, Session, Value};
use super::statements::Sql;

/// How long a read is tried while no host answers. Calls wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a read by key may take.
const KEYED: Duration = Duration::from_secs(5);

/// How long a read that goes through many rows may take.
const LONG: Duration = Duration::from_secs(60);

/// How long is waited before a host is tried again.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Reads, each on a connection that is free. Whatever breaks is read again: nothing is changed by it.
pub(super) struct Reader {
    pool: Pool,
    preparing: Preparing,
}

impl Reader {
    /// Reads by the connections of this pool.
    pub(super) fn new(pool: Pool, preparing: Preparing) -> Reader {
        Reader { pool, preparing }
    }

    /// A connection.
    pub(super) async fn session(&self) -> Result<Session, Fault> {
        Session::open(&self.pool, self.preparing).await
    }

    /// The rows of a statement that finds them by key.
    pub(super) async fn rows(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.rows_within(KEYED, sql, values).await
    }

    /// The rows of a statement that goes through many.
    pub(super) async fn long_rows(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.rows_within(LONG, sql, values).await
    }

    async fn rows_within(
        &self,
        limit: Duration,
        sql: &'static Sql,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let session = self.session().await;
            let read = match session {
                Ok(session) => {
                    let read = timeout(limit, session.query(sql, values)).await;
                    read.unwrap_or(Err(Fault::Slow)).map_err(|fault| session.leave(fault))
                }
                Err(fault) => Err(fault),
            };
            match read {
                Ok(rows) => return Ok(rows),
                Err(fault) => again(fault, give_up).await?,
            }
        }
    }

    /// The present directory.
    pub(super) async fn directory(&self) -> Result<Directory, Fault> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match timeout(LONG, self.read_directory()).await.unwrap_or(Err(Fault::Slow)) {
                Ok(directory) => return Ok(directory),
                Err(fault) => again(fault, give_up).await?,
            }
        }
    }

    async fn read_directory(&self) -> Result<Directory, Fault> {
        let mut session = self.session().await?;
        let snapshot = session.snapshot().await?;
        let read = directory::read(&snapshot).await?;
        snapshot.end().await?;
        Ok(read)
    }
}

/// Waits until a read may be tried again, or says that it may not.
async fn again(fault: Fault, give_up: Instant) -> Result<(), Fault> {
    match fault {
        Fault::Lost(_) if Instant::now() < give_up => {
            #[expect(clippy::disallowed_methods, reason = "this is the driver that waits for another host")]
            tokio::time::sleep(BETWEEN_TRIES).await;
            Ok(())
        }
        Fault::Collided if Instant::now() < give_up => Ok(()),
        Fault::Lost(_) | Fault::Collided | Fault::Slow | Fault::Refused(_) | Fault::Defect(_) => Err(fault),
    }
}
