//! `callveil verify`: does the data keep the law?

use std::fmt;

use callveil_domain::verify::{Finding, Report, verify};
use clap::Args;
use serde::Serialize;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Check that what is stored keeps every law, and name what breaks one
///
/// Looks at every allocation, every claim and the database itself. Works beside a running server; the exit code is 1
/// when something is found.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil verify
  callveil verify --database sqlite:backup.db")]
pub struct Verify {}

impl Verify {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let verified = Verified::of(at).await?;
            out.show(&verified)?;
            Ok(verified.ending())
        })
    }
}

/// What was looked at, and what was found.
#[derive(Serialize)]
pub struct Verified {
    database: String,
    allocations: u64,
    claims: u64,
    findings: Vec<String>,
}

impl Verified {
    /// Verifies an installation. Beside a running server a change may come between two reads, so that a finding
    /// counts only when it is found twice.
    pub async fn of(at: &Installation) -> Result<Verified, CommandError> {
        let look = async || {
            let report = verify(&**at.node.store(), at.node.now()).await;
            report.map_err(|e| CommandError::store(format!("verifying {}", at.database), &e))
        };
        let Report { mut allocations, mut claims, mut findings } = look().await?;
        if !findings.is_empty() {
            let second = look().await?;
            (allocations, claims) = (second.allocations, second.claims);
            findings.retain(|finding| second.findings.contains(finding));
        }
        Ok(Verified {
            database: at.database.to_string(),
            allocations,
            claims,
            findings: findings.iter().map(Finding::to_string).collect(),
        })
    }

    pub fn ending(&self) -> Ending {
        if self.findings.is_empty() { Ending::Done } else { Ending::Refused }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { database, allocations, claims, findings } = self;
        writeln!(f, "{database}: looked at {allocations} allocations and {claims} claims")?;
        if findings.is_empty() {
            return f.write_str("Every law is kept.");
        }
        findings.iter().try_for_each(|finding| writeln!(f, "broken: {finding}"))?;
        f.write_str(
            "Keep a copy of the database before anything is mended; a backup may be put in its place.",
        )
    }
}
