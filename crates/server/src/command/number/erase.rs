//! `callveil number erase`: a person's number is taken out of everything.

use std::fmt;

use callveil_domain::erasure::{EraseRefused, Erased, erase};
use callveil_domain::{Ctx, Effect, Failure};
use clap::Args;
use serde::Serialize;

use super::party;
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Take a person's number out of everything that is kept: allocations, calls, events and answers
///
/// Active allocations in which it stands are ended first, and their clients told so. Rows stay, without the number; the
/// audit keeps that it was erased. Backups and what was sent to webhooks already are not reached.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil number erase +919900000001")]
pub struct Erase {
    /// The number of a party, with country code
    #[arg(value_name = "NUMBER")]
    number: String,
}

impl Erase {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let number = party(&self.number)?;
        options.on_installation(Missing::Refuse, async |at| {
            let doing = format!("erasing {number}");
            let directory = at.node.directory();
            let erase = async |ctx: &mut Ctx<'_>| erase(ctx, &directory, number).await;
            match at.act(Effect::Keep, erase).await {
                Ok(erased) => out.show(&Told::of(number.to_string(), erased))?,
                Err(Failure::Store(error)) => return Err(CommandError::store(doing, &error)),
                Err(Failure::Refused(EraseRefused::VirtualNumber)) => {
                    return Err(CommandError::new(doing, "it is a virtual number, and nobody's own").fix(
                        "`callveil number drain` and `callveil number remove` take it out of its pool",
                    ));
                }
            }
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
struct Told {
    number: String,
    released: u64,
    allocations: u64,
    calls: u64,
    events: u64,
    open_calls: u64,
}

impl Told {
    fn of(number: String, erased: Erased) -> Told {
        let Erased { released, allocations, calls, events, open_calls } = erased;
        Told { number, released, allocations, calls, events, open_calls }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { number, released, allocations, calls, events, open_calls } = self;
        write!(
            f,
            "{number} was taken out of {allocations} allocations ({released} of them ended for it), {calls} calls and {events} events"
        )?;
        if *open_calls > 0 {
            write!(f, "\n{open_calls} calls go on still: erase it once more when they have ended")?;
        }
        Ok(())
    }
}
