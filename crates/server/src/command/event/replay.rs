//! `callveil event replay`: an event is sent once more.

use std::fmt;

use callveil_domain::delivery::{ReplayRefused, replay};
use callveil_domain::endpoint::EndpointId;
use callveil_domain::event::EventId;
use callveil_domain::{Ctx, Effect, Failure};
use clap::Args;
use serde::Serialize;

use super::id;
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Send an event once more, with the id that it has, to every endpoint that wants it or to one of them
///
/// What is owed still goes on as it was. A running server sends it at once.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil event replay --tenant acme 0192f3d4-9c4e-7a31-8d0e-5b3c1f2a9e77")]
pub struct Replay {
    #[command(flatten)]
    of: OfTenant,
    /// To this endpoint alone
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    endpoint: Option<EndpointId>,
    /// Which
    #[arg(value_name = "EVENT", value_parser = id)]
    event: EventId,
}

fn endpoint(text: &str) -> Result<EndpointId, &'static str> {
    EndpointId::parse(text).ok_or("must be an endpoint's id, as `callveil endpoint list` shows it")
}

impl Replay {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Replay { of, endpoint, event } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let doing = format!("replaying {event} of {}", tenant.sid);
            let replay = async |ctx: &mut Ctx<'_>| replay(ctx, &tenant, event, endpoint.as_ref()).await;
            let sid = &tenant.sid;
            let endpoints = match at.act(Effect::Keep, replay).await {
                Ok(endpoints) => endpoints,
                Err(Failure::Store(error)) => return Err(CommandError::store(doing, &error)),
                Err(Failure::Refused(ReplayRefused::NotFound)) => {
                    return Err(CommandError::new(doing, "there is no such event")
                        .fix(format!("`callveil event list --tenant {sid}` shows those that are kept")));
                }
                Err(Failure::Refused(ReplayRefused::NobodyWants)) => {
                    return Err(CommandError::new(doing, "no endpoint that is on wants it")
                        .fix(format!("`callveil endpoint list --tenant {sid}` shows those there are")));
                }
            };
            out.show(&Replayed { event: event.to_string(), endpoints })?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
struct Replayed {
    event: String,
    endpoints: usize,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is sent once more, to {} endpoints", self.event, self.endpoints)
    }
}
