//! `callveil call hangup`: the end of a call that goes on.

use std::fmt;

use callveil_domain::call::CallId;
use callveil_domain::live::{HangupRefused, request_hangup};
use callveil_domain::tenant::Sid;
use callveil_domain::{Effect, Failure};
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// End a call that goes on, whichever node has it
///
/// The node that has it looks for such requests twice a second.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil call hangup 019ad1f2-7c1e-7d3a-9a51-0c8a3f6b2e11")]
pub struct Hangup {
    /// The call, as `callveil call live` names it
    #[arg(value_name = "CALL_SID", value_parser = call_id)]
    call: CallId,
}

fn call_id(text: &str) -> Result<CallId, &'static str> {
    CallId::parse(text).ok_or("a call is named by a UUID, as `callveil call live` shows it")
}

impl Hangup {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let doing = format!("hanging up the call {}", self.call);
        options.on_installation(Missing::Refuse, async |at| {
            let sids: Vec<Sid> = at.node.directory().tenants().map(|tenant| tenant.sid.clone()).collect();
            for sid in sids {
                let asked =
                    at.act(Effect::Keep, async |ctx| request_hangup(ctx, &sid, self.call).await).await;
                match asked {
                    Ok(()) => {
                        out.show(&Asked { hangup: self.call.to_string() })?;
                        return Ok(Ending::Done);
                    }
                    Err(Failure::Refused(HangupRefused::NotFound)) => {}
                    Err(Failure::Refused(HangupRefused::Ended)) => {
                        return Err(CommandError::new(doing, "it has ended already"));
                    }
                    Err(Failure::Store(error)) => return Err(CommandError::store(doing, &error)),
                }
            }
            Err(CommandError::new(doing, "there is no such call")
                .fix("`callveil call live` shows those that go on"))
        })
    }
}

#[derive(Serialize)]
struct Asked {
    hangup: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is being hung up", self.hangup)
    }
}
