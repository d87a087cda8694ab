//! `callveil audit export`: every entry, a line of JSON each.

use callveil_domain::audit::{SealedEntry, hex};
use clap::Args;
use serde_json::json;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Output, time};

/// Write every entry as a line of JSON, oldest first
///
/// The last line's place and hash are the head of the chain: keep them elsewhere, and a later export must contain them.
/// What is changed now is in it after about a second, while a server runs.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil audit export > audit.jsonl
  callveil audit export --after 52817 >> audit.jsonl")]
pub struct Export {
    /// Only entries after this place
    #[arg(long, value_name = "PLACE", default_value_t = 0)]
    after: u64,
}

/// How many entries are read at a time.
const PAGE: usize = 1_000;

impl Export {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let mut after = self.after;
            loop {
                let page = at.node.store().audit_after(after, PAGE).await;
                let page = page.map_err(|e| CommandError::store("reading the audit", &e))?;
                let Some(last) = page.last() else { return Ok(Ending::Done) };
                after = last.head.place;
                for SealedEntry { head, entry } in page {
                    let line = json!({
                        "place": head.place,
                        "hash": hex(&head.hash),
                        "id": entry.id.to_string(),
                        "at": time(entry.at),
                        "at_micros": entry.at.as_micros(),
                        "tenant": entry.tenant.map(|tenant| tenant.to_string()),
                        "actor": entry.actor,
                        "request": entry.request,
                        "what": entry.what,
                        "subject": entry.subject,
                    });
                    out.print(&line.to_string())?;
                }
            }
        })
    }
}
