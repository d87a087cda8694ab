//! `callveil audit verify`: does the chain hold?

use std::fmt;

use callveil_domain::audit::{self, AuditReport, hex};
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Check that no entry was altered, taken out or put in
///
/// The exit code is 1 when the chain does not hold; the first place where it does not is told.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil audit verify")]
pub struct Verify {}

impl Verify {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let doing = "verifying the audit";
            // Beside a server, what it has not sealed yet is sealed here: one of the two is first.
            let sealed = async {
                while audit::seal(&**at.node.store(), at.node.now()).await? > 0 {}
                audit::verify(&**at.node.store()).await
            };
            let report = sealed.await.map_err(|e| CommandError::store(doing, &e))?;
            let verified = Verified::of(&report);
            out.show(&verified)?;
            Ok(if verified.broken_at.is_some() { Ending::Refused } else { Ending::Done })
        })
    }
}

#[derive(Serialize)]
struct Verified {
    entries: u64,
    first: u64,
    head: u64,
    head_hash: String,
    unsealed: usize,
    broken_at: Option<u64>,
    why: Option<&'static str>,
}

impl Verified {
    fn of(report: &AuditReport) -> Verified {
        let AuditReport { entries, first, head, unsealed, broken } = *report;
        Verified {
            entries,
            first,
            head: head.place,
            head_hash: hex(&head.hash),
            unsealed,
            broken_at: broken.map(|(place, _)| place),
            why: broken.map(|(_, why)| why),
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { entries, first, head, head_hash, unsealed, broken_at, why } = self;
        writeln!(f, "{entries} entries, from place {first}; {unsealed} are not sealed yet")?;
        writeln!(f, "head: {head} {head_hash}")?;
        match broken_at.zip(*why) {
            Some((place, why)) => write!(f, "broken at {place}: {why}"),
            None => f.write_str("The chain holds."),
        }
    }
}
