//! What can go wrong in a statement, and what is to be done about it.

use std::error::Error;

use callveil_domain::store::StoreError;
use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

use crate::encoding::Garbled;

/// Why a statement did not do its work, or a row could not be read. No text in it carries data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection, or the server behind it: another connection may find one that works.
    Lost(String),
    /// Other transactions were in the way: the same again may succeed.
    Collided,
    /// It took longer than anybody waits, or no connection was free.
    Slow,
    /// The engine cannot do it now, and says why.
    Refused(String),
    /// A defect of this program, or a database that is not of its making.
    Defect(String),
}

impl From<Garbled> for Fault {
    fn from(Garbled(what): Garbled) -> Fault {
        Fault::Defect(what.to_owned())
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        match error.as_db_error() {
            Some(told) => of_engine(told),
            None if is_of_a_value(&error) => {
                Fault::Defect("a value is not of the type of its column".to_owned())
            }
            None => Fault::Lost(with_causes(&error)),
        }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Fault {
        match error {
            PoolError::Timeout(TimeoutType::Create) => Fault::Lost("no host answers".to_owned()),
            PoolError::Timeout(_) => Fault::Slow,
            PoolError::Backend(error) => error.into(),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Fault::Lost("no connection can be had".to_owned())
            }
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> StoreError {
        match fault {
            Fault::Collided | Fault::Slow => StoreError::Busy,
            Fault::Lost(why) | Fault::Refused(why) => StoreError::Unavailable(why),
            Fault::Defect(what) => StoreError::Corrupt(what),
        }
    }
}

/// The driver tells apart what failed by words alone.
fn is_of_a_value(error: &tokio_postgres::Error) -> bool {
    let words = error.to_string();
    ["error serializing", "error deserializing", "query returned an unexpected", "invalid column"]
        .iter()
        .any(|of_a_value| words.starts_with(of_a_value))
}

fn with_causes(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !sentence.contains(&more) {
            sentence = format!("{sentence}: {more}");
        }
        cause = deeper.source();
    }
    sentence
}

fn of_engine(told: &DbError) -> Fault {
    let code = told.code();
    let class = code.code().get(..2).unwrap_or_default();
    if [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::T_R_DEADLOCK_DETECTED].contains(&code) {
        return Fault::Collided;
    }
    if [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::QUERY_CANCELED].contains(&code) {
        return Fault::Slow;
    }
    // A server that has become a standby, or is one still.
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Fault::Lost("the server takes no writes".to_owned());
    }
    match class {
        // These speak of connections, logins and the server's state, never of rows.
        "08" | "57" => Fault::Lost(told.message().to_owned()),
        "28" | "3D" | "53" | "58" => Fault::Refused(told.message().to_owned()),
        // Messages of all others may repeat a value.
        _ => Fault::Defect(format!("PostgreSQL answers with SQLSTATE {}", code.code())),
    }
}
