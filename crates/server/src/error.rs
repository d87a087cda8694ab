//! The one form in which a command says why it did not do what it was asked.

use std::fmt;

use callveil_domain::Failure;
use callveil_domain::store::{DirectoryConflict, StoreError};
use callveil_domain::tenant::Sid;
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

    /// A change to what the directory shows of a tenant, which was not made.
    pub fn directory(
        doing: impl fmt::Display,
        tenant: &Sid,
        failure: &Failure<DirectoryConflict>,
    ) -> CommandError {
        match failure {
            Failure::Store(error) => CommandError::store(doing, error),
            Failure::Refused(conflict) => {
                CommandError::new(doing, explain(conflict)).fix(advice(conflict, tenant))
            }
        }
    }

    /// A trunk was not changed.
    pub fn trunk(doing: impl fmt::Display, failure: &Failure<DirectoryConflict>) -> CommandError {
        let doing = doing.to_string();
        match failure {
            Failure::Store(error) => CommandError::store(doing, error),
            Failure::Refused(conflict) => {
                CommandError::new(doing, explain(conflict)).fix("`callveil trunk list` shows those there are")
            }
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
        | DirectoryConflict::NoKey
        | DirectoryConflict::TooManyEndpoints
        | DirectoryConflict::NoEndpoint
        | DirectoryConflict::EndpointMoved
        | DirectoryConflict::NoTrunk => conflict.to_string(),
    }
}

fn advice(conflict: &DirectoryConflict, tenant: &Sid) -> String {
    match conflict {
        DirectoryConflict::TenantExists => format!("`callveil tenant key add {tenant}` gives it another key"),
        DirectoryConflict::NoTenant => "`callveil tenant list` shows those there are".to_owned(),
        DirectoryConflict::TooManyKeys => format!("`callveil tenant key revoke {tenant} KEY` ends one"),
        DirectoryConflict::NoKey => format!("`callveil tenant key list {tenant}` shows those there are"),
        DirectoryConflict::TooManyEndpoints => {
            format!("`callveil endpoint remove --tenant {tenant} ENDPOINT` ends one")
        }
        DirectoryConflict::NoTrunk => "`callveil trunk list` shows those there are".to_owned(),
        DirectoryConflict::NoEndpoint | DirectoryConflict::EndpointMoved => {
            format!("`callveil endpoint list --tenant {tenant}` shows those there are")
        }
        DirectoryConflict::OthersNumber(_) => "`callveil number remove` takes it out of that one".to_owned(),
        DirectoryConflict::NoNumber(_) => {
            format!("`callveil number list --tenant {tenant}` shows those there are")
        }
        DirectoryConflict::NotDraining(number) => {
            format!("`callveil number drain --tenant {tenant} {}` begins that", number.expose())
        }
        DirectoryConflict::StillHeld(_) => format!(
            "leave it draining and try again when its allocations have ended and cooled; \
             `callveil number list --tenant {tenant}` shows how many it carries"
        ),
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
