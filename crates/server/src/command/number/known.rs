//! `callveil number known`: all that is kept of a person's number.

use std::fmt;

use callveil_domain::allocation::Allocation;
use callveil_domain::erasure::mentions;
use callveil_domain::store::Mentions;
use callveil_domain::{Ctx, Effect};
use clap::Args;
use serde::Serialize;

use super::party;
use crate::command::call::list::{Calls, Row};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::{Output, time};

/// Show all that is kept of a person's number, for whoever asks what is known of them
///
/// Numbers of others stay masked.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil number known +919900000001 --json")]
pub struct Known {
    /// The number of a party, with country code
    #[arg(value_name = "NUMBER")]
    number: String,
}

impl Known {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let number = party(&self.number)?;
        options.on_installation(Missing::Refuse, async |at| {
            let look = async |ctx: &mut Ctx<'_>| mentions(ctx, number).await;
            let found = at.act(Effect::Keep, look).await;
            let found = found.map_err(|e| CommandError::store(format!("looking for {number}"), &e))?;
            out.show(&Told::of(number.to_string(), &found))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
struct Told {
    number: String,
    allocations: Vec<Lent>,
    calls: Calls,
    /// How many events tell the number.
    events: usize,
}

#[derive(Serialize)]
struct Lent {
    tenant: String,
    greenvn_id: String,
    connection_id: String,
    greenvn: String,
    created_at: String,
}

impl Lent {
    fn of(allocation: &Allocation) -> Lent {
        Lent {
            tenant: allocation.tenant.to_string(),
            greenvn_id: allocation.id.to_string(),
            connection_id: allocation.connection.as_str().to_owned(),
            greenvn: allocation.virtual_number.expose().to_string(),
            created_at: time(allocation.created_at),
        }
    }
}

impl Told {
    fn of(number: String, found: &Mentions) -> Told {
        Told {
            number,
            allocations: found.allocations.iter().map(Lent::of).collect(),
            calls: Calls(found.calls.iter().map(|call| Row::of(call, false)).collect()),
            events: found.events.len(),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { number, allocations, calls, events } = self;
        writeln!(f, "{number} stands in {} allocations:", allocations.len())?;
        for lent in allocations {
            writeln!(
                f,
                "  {} {} of {}, made {}",
                lent.greenvn_id, lent.greenvn, lent.tenant, lent.created_at
            )?;
        }
        writeln!(f, "in these calls:\n{calls}")?;
        write!(f, "and in {events} events.")
    }
}
