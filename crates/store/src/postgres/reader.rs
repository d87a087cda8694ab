//! How reads find a connection, and another one when it breaks.

use std::time::Duration;

use callveil_domain::tenant::{Directory, Sid};
use deadpool_postgres::Pool;
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;

use super::directory;
use super::fault::Fault;
use super::session::{Preparing, Session, Value, Wall};
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
#[derive(Clone)]
pub(super) struct Reader {
    pool: Pool,
    preparing: Preparing,
    /// The role that reads what is one tenant's, where the engine is to see to that too.
    tenant_role: Option<String>,
}

/// How a statement is run.
#[derive(Clone, Copy)]
enum Way<'w> {
    Plainly,
    /// By the index, however many keys it is about.
    ByIndex,
    Behind(Wall<'w>),
}

/// Reads of what is one tenant's.
pub(super) struct Own<'r> {
    reader: &'r Reader,
    tenant: &'r Sid,
}

impl Reader {
    /// Reads by the connections of this pool.
    pub(super) fn new(pool: Pool, preparing: Preparing) -> Reader {
        Reader { pool, preparing, tenant_role: None }
    }

    /// Reads what is one tenant's as this role, if it is one.
    pub(super) fn behind(self, tenant_role: Option<&str>) -> Reader {
        Reader { tenant_role: tenant_role.map(str::to_owned), ..self }
    }

    /// Reads of what is this tenant's.
    pub(super) fn of<'r>(&'r self, tenant: &'r Sid) -> Own<'r> {
        Own { reader: self, tenant }
    }

    /// A connection.
    pub(super) async fn session(&self) -> Result<Session, Fault> {
        Session::open(&self.pool, self.preparing).await
    }

    /// The rows of a statement that finds them by key.
    pub(super) async fn rows(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.rows_within(KEYED, Way::Plainly, sql, values).await
    }

    /// The rows of a statement that finds them by many keys.
    pub(super) async fn rows_of_many(
        &self,
        sql: &'static Sql,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Fault> {
        self.rows_within(KEYED, Way::ByIndex, sql, values).await
    }

    /// The rows of a statement that goes through many.
    pub(super) async fn long_rows(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.rows_within(LONG, Way::Plainly, sql, values).await
    }

    async fn rows_within(
        &self,
        limit: Duration,
        way: Way<'_>,
        sql: &'static Sql,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let session = self.session().await;
            let read = match session {
                Ok(session) => {
                    let read = async {
                        match way {
                            Way::Plainly => session.query(sql, values).await,
                            Way::ByIndex => session.query_many(sql, values).await,
                            Way::Behind(wall) => session.query_behind(wall, sql, values).await,
                        }
                    };
                    let read = timeout(limit, read).await;
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

impl Own<'_> {
    /// The rows of a statement that finds them by key.
    pub(super) async fn rows(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.reader.rows_within(KEYED, self.way(), sql, values).await
    }

    /// The rows of a statement that goes through many.
    pub(super) async fn long_rows(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.reader.rows_within(LONG, self.way(), sql, values).await
    }

    fn way(&self) -> Way<'_> {
        match self.reader.tenant_role.as_deref() {
            Some(role) => Way::Behind(Wall { role, tenant: self.tenant.as_str() }),
            None => Way::Plainly,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::statements as sql;
    use crate::postgres::statements::cluster::TENANT_ROLE;
    use crate::postgres::statements::tests::shared_cluster;
    use crate::postgres::{Url, wall};

    /// The same statements find everything without the wall, and on the same connections.
    #[tokio::test]
    async fn a_statement_that_names_no_tenant_finds_one_tenants_rows_behind_the_wall() {
        let cluster = shared_cluster();
        let database = cluster.fresh_database();
        let url: Url = format!("{}?pool=3", cluster.url(&database)).parse().unwrap();
        let db = Reader::new(url.pool().unwrap(), url.preparing()).behind(Some(TENANT_ROLE));
        wall::build(&db.session().await.unwrap(), TENANT_ROLE).await.unwrap();
        cluster.run(
            &database,
            "
            insert into tenant values ('acme'), ('other');
            insert into virtual_number (number, tenant_sid, state) values (1, 'acme', 1), (2, 'other', 1);
            insert into claim values (0, 7, 1, '', 9), (0, 7, 2, '', 9);
            insert into event values ('acme', 'a', '', 0, '', 0, null, null, ''), ('other', 'b', '', 0, '', 0, null, null, '')",
        );
        let acme = Sid::parse("acme").unwrap();
        let statements: [(&Sql, &[Value<'_>]); 3] = [
            (&sql::NUMBERS, &[]),
            (&sql::PAST_OF, &[&[7_i64].as_slice()]),
            (&sql::EVENTS_WITH, &[&"", &b"".as_slice(), &"", &9_i64]),
        ];

        for _ in 0..4 {
            for (sql, values) in statements {
                assert_eq!(db.of(&acme).rows(sql, values).await.unwrap().len(), 1, "{sql:?}");
                assert_eq!(db.rows(sql, values).await.unwrap().len(), 2, "{sql:?}");
            }
            assert!(db.of(&acme).rows(&sql::LIVE_KEYS, &[]).await.is_err(), "it is no tenant's to read");
        }
    }
}
