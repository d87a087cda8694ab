//! `callveil call live`: the calls that go on.

use std::fmt;

use callveil_domain::calls::CallRecord;
use callveil_domain::store::CallQuery;
use callveil_domain::time::Timestamp;
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Output, time};

/// List the calls that go on, of all tenants and nodes
///
/// Numbers are shown masked.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil call live
  callveil call live --json | jq length")]
pub struct Live {}

/// The most that are listed of one tenant.
const MOST: usize = 10_000;

impl Live {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let mut calls = Vec::new();
            for tenant in at.node.directory().tenants() {
                let wanted = CallQuery {
                    from: Timestamp::EPOCH,
                    to: Timestamp::NEVER,
                    allocation: None,
                    number: None,
                    virtual_number: None,
                    state: Some("open".to_owned()),
                    before: None,
                    limit: MOST,
                };
                let found = at.node.store().calls(&tenant.sid, wanted).await;
                let found = found.map_err(|e| CommandError::store("listing the calls", &e))?;
                calls.extend(found.iter().map(|call| LiveCall::of(call, at.node.now())));
            }
            out.show(&LiveCalls(calls))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
struct LiveCalls(Vec<LiveCall>);

#[derive(Serialize)]
struct LiveCall {
    call_sid: String,
    tenant: String,
    node: String,
    greenvn: String,
    from: String,
    to: Option<String>,
    started: String,
    /// Seconds of conversation; null while nobody has answered.
    talking: Option<u64>,
}

impl LiveCall {
    fn of(call: &CallRecord, now: Timestamp) -> LiveCall {
        LiveCall {
            call_sid: call.id.to_string(),
            tenant: call.tenant.to_string(),
            node: call.node.to_string(),
            greenvn: call.virtual_number.expose().to_string(),
            from: call.caller.map_or_else(|| "withheld".to_owned(), |number| number.to_string()),
            to: call.called().map(|number| number.to_string()),
            started: time(call.started_at),
            talking: call.answered_at.map(|answered| now.since(answered).as_secs()),
        }
    }
}

impl fmt::Display for LiveCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "no call goes on");
        }
        for call in &self.0 {
            let LiveCall { call_sid, tenant, node: _, greenvn, from, to, started, talking } = call;
            let to = to.as_deref().unwrap_or("nobody yet");
            let state = match talking {
                Some(seconds) => format!("talking for {seconds} s"),
                None => "ringing".to_owned(),
            };
            writeln!(f, "{call_sid}  {tenant}  {from} over {greenvn} to {to}, {state}, since {started}")?;
        }
        Ok(())
    }
}
