//! What can go wrong in a statement, and which of the contract's three failures it is.

use callveil_domain::store::StoreError;
use rusqlite::ErrorCode;
use rusqlite::types::FromSqlError;

use crate::encoding::Garbled;

/// Why a statement did not do its work, or a row could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The engine said so.
    Engine(rusqlite::Error),
    /// A row holds what no rule allows. Says in which column, never what.
    Row(&'static str),
    /// The work panicked.
    Bug,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Engine(error)
    }
}

impl From<FromSqlError> for Fault {
    fn from(_: FromSqlError) -> Fault {
        Fault::Row("a column of another type than its own")
    }
}

impl From<Garbled> for Fault {
    fn from(Garbled(what): Garbled) -> Fault {
        Fault::Row(what)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> StoreError {
        match fault {
            Fault::Row(what) => StoreError::Corrupt(what.to_owned()),
            Fault::Bug => StoreError::Corrupt("a change met a defect of the program".to_owned()),
            Fault::Engine(rusqlite::Error::SqliteFailure(failure, _)) => told(failure),
            Fault::Engine(_) => StoreError::Corrupt("a row is not of the form that was asked for".to_owned()),
        }
    }
}

/// A failure in the engine's own words for its code, which carry no data; its message may.
fn told(failure: rusqlite::ffi::Error) -> StoreError {
    let sentence = failure.to_string();
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the engine may get codes that we cannot know: all are bugs"
    )]
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::OutOfMemory
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => StoreError::Unavailable(sentence),
        _ => StoreError::Corrupt(sentence),
    }
}
