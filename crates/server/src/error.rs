//! The one form in which a command says why it did not do what it was asked.

use std::fmt;

use callveil_domain::Failure;
use callveil_domain::store::{DirectoryConflict, StoreError};
use serde::Serialize;

/// What was being done, why it failed, and the command that helps.
#[derive(Debug, Serialize)]
pub struct CommandError {
    doing: String,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// One line for each thing that was wrong, when there may be many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
}

impl CommandError {
    pub fn new(doing: impl fmt::Display, why: impl fmt::Display) -> CommandError {
        CommandError { doing: doing.to_string(), why: why.to_string(), fix: None, details: Vec::new() }
    }

    /// What the reader can do about it.
    pub fn fix(self, fix: impl fmt::Display) -> CommandError {
        CommandError { fix: Some(fix.to_string()), ..self }
    }

    /// Everything that was wrong, a line each.
    pub fn details(self, details: Vec<String>) -> CommandError {
        CommandError { details, ..self }
    }

    /// The store's own failure.
    pub fn store(doing: impl fmt::Display, error: &StoreError) -> CommandError {
        let fix = match error {
            StoreError::Busy => "try again in a moment",
            StoreError::Unavailable(_) => "`callveil check` tells what is wrong",
            StoreError::Corrupt(_) => "`callveil verify` tells what is damaged",
        };
        CommandError::new(doing, error).fix(fix)
    }

    /// A change to the directory that was not made.
    pub fn directory(doing: impl fmt::Display, failure: &Failure<DirectoryConflict>) -> CommandError {
        match failure {
            Failure::Store(error) => CommandError::store(doing, error),
            Failure::Refused(conflict) => CommandError::new(doing, explain(conflict)).fix(advice(conflict)),
        }
    }
}

/// The conflict with the number it is about: virtual numbers are no secret to their operator.
fn explain(conflict: &DirectoryConflict) -> String {
    match conflict {
        DirectoryConflict::OthersNumber(number)
        | DirectoryConflict::NoNumber(number)
        | DirectoryConflict::NotDraining(number)
        | DirectoryConflict::StillHeld(number) => format!("{conflict} ({})", number.expose()),
        DirectoryConflict::TenantExists
        | DirectoryConflict::NoTenant
        | DirectoryConflict::TooManyKeys
        | DirectoryConflict::NoKey => conflict.to_string(),
    }
}

fn advice(conflict: &DirectoryConflict) -> &'static str {
    match conflict {
        DirectoryConflict::TenantExists => "`callveil tenant key add SID` gives it another key",
        DirectoryConflict::NoTenant => "`callveil tenant list` shows those there are",
        DirectoryConflict::TooManyKeys => "`callveil tenant key revoke SID KEY` ends one",
        DirectoryConflict::NoKey => "`callveil tenant key list SID` shows those there are",
        DirectoryConflict::OthersNumber(_) => "`callveil number remove` takes it out of the other pool",
        DirectoryConflict::NoNumber(_) => "`callveil number list --tenant SID` shows those there are",
        DirectoryConflict::NotDraining(_) => "`callveil number drain --tenant SID NUMBER` begins that",
        DirectoryConflict::StillHeld(_) => {
            "leave it draining and try again when its allocations have ended and cooled; \
             `callveil number list --tenant SID` shows how many it carries"
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandError { doing, why, fix, details } = self;
        write!(f, "{doing}: {why}")?;
        if let Some(fix) = fix {
            write!(f, "; {fix}")?;
        }
        for detail in details {
            write!(f, "\n  {detail}")?;
        }
        Ok(())
    }
}
