//! `callveil event list`: what happened, newest first.

use std::fmt;

use callveil_domain::event::EventKind;
use callveil_domain::store::{EventQuery, Order};
use callveil_domain::time::Timestamp;
use clap::Args;
use serde::Serialize;

use super::{Told, kind};
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// List a tenant's events, newest first
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil event list --tenant acme
  callveil event list --tenant acme --kind call.completed --limit 500 --json")]
pub struct List {
    #[command(flatten)]
    of: OfTenant,
    /// Of this kind alone
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<EventKind>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Show numbers and pins whole
    #[arg(long)]
    unmasked: bool,
}

impl List {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let List { of, kind, limit, unmasked } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let wanted = EventQuery {
                from: Timestamp::EPOCH,
                to: Timestamp::NEVER,
                kind,
                allocation: None,
                call: None,
                order: Order::Newest,
                past: None,
                limit,
            };
            let found = at.node.store().events(&tenant.sid, wanted).await;
            let found =
                found.map_err(|e| CommandError::store(format!("listing events of {}", tenant.sid), &e))?;
            out.show(&Events(found.iter().map(|event| Told::of(event, !unmasked)).collect()))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Events(Vec<Told>);

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f
                .write_str("There is none. `callveil settings set event_stream=true` has all events kept.");
        }
        self.0.iter().try_for_each(|told| writeln!(f, "{told}"))
    }
}
