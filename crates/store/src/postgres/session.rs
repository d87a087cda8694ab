//! One connection while it is used: statements on it, one after the other or many at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use deadpool_postgres::{Client, Object, Pool};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use super::fault::Fault;
use super::statements::{self as sql, Sql};

/// The value of a parameter.
pub(super) type Value<'v> = &'v (dyn ToSql + Sync);

/// Whether statements are prepared once for a connection, which makes each of them cheaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preparing {
    /// They are.
    Once,
    /// They are not: between the engine and us stands a pooler that gives each transaction another session.
    Never,
}

/// What a read sees no further than: one tenant's rows, as a role that may read no others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall<'w> {
    pub(super) role: &'w str,
    pub(super) tenant: &'w str,
}

/// A connection that is used by one task.
pub(super) struct Session {
    client: Client,
    preparing: Preparing,
}

impl Session {
    /// Waits for a connection.
    pub(super) async fn open(pool: &Pool, preparing: Preparing) -> Result<Session, Fault> {
        Ok(Session { client: pool.get().await?, preparing })
    }

    /// Has a statement ready, so that using it later sends one message at once.
    pub(super) async fn prepare(&self, sql: &Sql) -> Result<(), Fault> {
        if self.preparing == Preparing::Once {
            self.client.prepare_typed_cached(sql.text, sql.types).await?;
        }
        Ok(())
    }

    /// Runs a statement and answers with its rows.
    pub(super) async fn query(&self, sql: &Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        Ok(match self.preparing {
            Preparing::Once => {
                let statement = self.client.prepare_typed_cached(sql.text, sql.types).await?;
                self.client.query(&statement, values).await?
            }
            Preparing::Never => self.client.query_typed(sql.text, &typed(sql, values)).await?,
        })
    }

    /// Runs a statement behind a wall, in a transaction of its own, and answers with its rows. It costs one round trip,
    /// as without: nothing rests on the session, which a pooler may change.
    pub(super) async fn query_behind(
        &self,
        wall: Wall<'_>,
        sql: &Sql,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let behind: [Value<'_>; 2] = [&wall.tenant, &wall.role];
        self.query_within(sql::BEGIN_READ, &[(&sql::STAND_BEHIND, &behind), (sql, values)]).await
    }

    /// Runs a statement that is about many keys, in a transaction of its own that goes by the index. It costs one round
    /// trip.
    pub(super) async fn query_many(&self, sql: &Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        self.query_within(sql::BEGIN_READ_OF_MANY, &[(sql, values)]).await
    }

    /// Runs statements in a transaction of their own, in one round trip, and answers with the rows of the last.
    async fn query_within(
        &self,
        begin: &'static str,
        statements: &[(&Sql, &[Value<'_>])],
    ) -> Result<Vec<Row>, Fault> {
        for (sql, _) in statements {
            self.prepare(sql).await?;
        }
        let simply = |text: &'static str| async move { self.run(text).await.map(|()| Vec::new()) };
        let mut asked: Vec<Asked<'_>> = vec![Box::pin(simply(begin))];
        asked.extend(
            statements.iter().map(|(sql, values)| -> Asked<'_> { Box::pin(self.query(sql, values)) }),
        );
        asked.push(Box::pin(simply(sql::COMMIT)));
        let mut answers = pipelined(asked).await.into_iter().collect::<Result<Vec<_>, Fault>>()?;
        Ok(answers.swap_remove(statements.len()))
    }

    /// Runs a statement that is used once, and answers with its rows.
    pub(super) async fn query_once(
        &self,
        text: &str,
        values: &[(Value<'_>, Type)],
    ) -> Result<Vec<Row>, Fault> {
        Ok(self.client.query_typed(text, values).await?)
    }

    /// Runs statements that take nothing and answer nothing.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Whether a statement that takes nothing finds a row.
    pub(super) async fn finds(&self, text: &str) -> Result<bool, Fault> {
        Ok(!self.query_once(text, &[]).await?.is_empty())
    }

    /// Begins a transaction in which all reads see the same.
    pub(super) async fn snapshot(&mut self) -> Result<Snapshot<'_>, Fault> {
        use tokio_postgres::IsolationLevel::RepeatableRead;

        // The pool's own wrapper of a transaction would keep statements for the next user; the bare one is enough.
        let client: &mut tokio_postgres::Client = &mut self.client;
        let begun =
            client.build_transaction().isolation_level(RepeatableRead).read_only(true).start().await?;
        Ok(Snapshot { transaction: begun })
    }

    /// Lets the connection go after a fault: closes it when it may be of no more use.
    pub(super) fn leave(self, fault: Fault) -> Fault {
        if matches!(fault, Fault::Lost(_) | Fault::Slow) {
            self.discard();
        }
        fault
    }

    /// Closes the connection: what state it is in is not known.
    pub(super) fn discard(self) {
        drop(Object::take(self.client));
    }
}

/// A transaction that only reads.
pub(super) struct Snapshot<'s> {
    transaction: Transaction<'s>,
}

impl Snapshot<'_> {
    /// Runs a statement and answers with its rows.
    pub(super) async fn query(&self, sql: &Sql, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        Ok(self.transaction.query_typed(sql.text, &typed(sql, values)).await?)
    }

    /// Ends it.
    pub(super) async fn end(self) -> Result<(), Fault> {
        Ok(self.transaction.commit().await?)
    }
}

fn typed<'v>(sql: &Sql, values: &[Value<'v>]) -> Vec<(Value<'v>, Type)> {
    values.iter().copied().zip(sql.types.iter().cloned()).collect()
}

/// What a statement will answer.
pub(super) type Asked<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Fault>> + Send + 'a>>;

/// Sends statements in their order, without waiting for one before the next, and answers when all have been answered:
/// they cost one round trip together. All must have been prepared.
pub(super) async fn pipelined(mut asked: Vec<Asked<'_>>) -> Vec<Result<Vec<Row>, Fault>> {
    let mut answers: Vec<Option<Result<Vec<Row>, Fault>>> = asked.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut waiting = false;
        for (asked, answer) in asked.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match asked.as_mut().poll(cx) {
                    Poll::Ready(told) => *answer = Some(told),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers.into_iter().flatten().collect()
}
