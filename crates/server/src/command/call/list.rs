//! `callveil call list`: the records of a tenant's calls.

use std::fmt;

use callveil_domain::allocation::AllocationId;
use callveil_domain::calls::{CallEnd, CallRecord, CallStanding};
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::CallQuery;
use callveil_domain::time::Timestamp;
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Columns, Output, time};

/// List the records of a tenant's calls, newest first
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil call list --tenant acme
  callveil call list --tenant acme --number +919900000001 --limit 500 --json
  callveil call list --tenant acme --state not-answered")]
pub struct List {
    #[command(flatten)]
    of: OfTenant,
    /// In which this number of a party stands
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    /// Of this allocation
    #[arg(long, value_name = "ID", value_parser = allocation)]
    allocation: Option<AllocationId>,
    /// That go on (open) or ended so: completed, given-up, not-answered, refused, interrupted
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<String>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Show numbers whole
    #[arg(long)]
    unmasked: bool,
}

fn allocation(text: &str) -> Result<AllocationId, &'static str> {
    AllocationId::parse(text).ok_or("must be the id of an allocation (greenvn_id)")
}

fn state(text: &str) -> Result<String, String> {
    match text == "open" || CallEnd::WORDS.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be open, {}", CallEnd::WORDS.join(", "))),
    }
}

impl List {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let List { of, number, allocation, state, limit, unmasked } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let read = |text: String| {
                PhoneNumber::parse(&text, tenant.settings.country).map_err(|why| {
                    CommandError::new("reading --number", why).fix("write it as +<country code><number>")
                })
            };
            let wanted = CallQuery {
                from: Timestamp::EPOCH,
                to: Timestamp::NEVER,
                allocation,
                number: number.map(read).transpose()?,
                virtual_number: None,
                state,
                before: None,
                limit,
            };
            let found = at.node.store().calls(&tenant.sid, wanted).await;
            let found =
                found.map_err(|e| CommandError::store(format!("listing calls of {}", tenant.sid), &e))?;
            out.show(&Calls(found.iter().map(|call| Row::of(call, unmasked)).collect()))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
pub struct Calls(pub Vec<Row>);

#[derive(Serialize)]
pub struct Row {
    call: String,
    virtual_number: String,
    from: Option<String>,
    to: Option<String>,
    allocation: Option<String>,
    connection_id: Option<String>,
    started_at: String,
    answered_at: Option<String>,
    ended_at: Option<String>,
    state: &'static str,
    /// Why it was refused.
    reason: Option<String>,
    /// Who ended it.
    ended_by: Option<&'static str>,
    /// Seconds that the parties talked.
    talked: u64,
    /// The telephones that were rung.
    legs: usize,
    recording: Option<String>,
}

impl Row {
    pub fn of(call: &CallRecord, unmasked: bool) -> Row {
        let tell = |number: PhoneNumber| match unmasked {
            true => number.expose().to_string(),
            false => number.to_string(),
        };
        let (state, reason, ended_by) = match &call.standing {
            CallStanding::Open => ("open", None, None),
            CallStanding::Ended { how, by, at: _ } => {
                (how.word(), how.reason().map(str::to_owned), Some(by.word()))
            }
        };
        Row {
            call: call.id.to_string(),
            virtual_number: call.virtual_number.expose().to_string(),
            from: call.caller.map(tell),
            to: call.called().map(tell),
            allocation: call.link.as_ref().map(|link| link.allocation.to_string()),
            connection_id: call.link.as_ref().map(|link| link.connection.as_str().to_owned()),
            started_at: time(call.started_at),
            answered_at: call.answered_at.map(time),
            ended_at: call.ended_at().map(time),
            state,
            reason,
            ended_by,
            talked: call.talked().as_secs(),
            legs: call.legs.len(),
            recording: call.recording.as_ref().map(ToString::to_string),
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("There is none.");
        }
        let row = |row: &Row| {
            let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let state = match &row.reason {
                Some(reason) => format!("{} ({reason})", row.state),
                None => row.state.to_owned(),
            };
            [
                row.started_at.clone(),
                row.call.clone(),
                or_dash(&row.from),
                row.virtual_number.clone(),
                or_dash(&row.to),
                state,
                format!("{}s", row.talked),
            ]
        };
        let header = ["STARTED", "CALL", "FROM", "DIALLED", "TO", "STATE", "TALKED"];
        Columns { header, rows: self.0.iter().map(row).collect() }.fmt(f)
    }
}
