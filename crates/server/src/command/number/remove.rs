//! `callveil number remove`: the end of drained numbers.

use callveil_domain::{Ctx, Effect, admin};
use clap::Args;

use super::{Changed, Numbers};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Take drained virtual numbers out of a tenant's pool
///
/// Refused, for all of them, while one is open or carries an allocation that has not ended and cooled: a party
/// would dial it and reach a stranger.
///
///   callveil number drain --tenant acme +918000000001
///   callveil number list --tenant acme          # until it carries nothing
///   callveil number remove --tenant acme +918000000001
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    #[command(flatten)]
    numbers: Numbers,
}

impl Remove {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let of = self.numbers;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.of.tenant)?;
            let numbers = of.read(&tenant)?;
            let remove = async |ctx: &mut Ctx<'_>| admin::remove_numbers(ctx, &tenant.sid, &numbers).await;
            let removed = at.act(Effect::Keep, remove).await;
            let doing = format!("removing numbers from the pool of {}", tenant.sid);
            removed.map_err(|e| CommandError::directory(doing, &e))?;
            let numbers = numbers.iter().map(|number| number.expose().to_string()).collect();
            out.show(&Changed { tenant: tenant.sid.to_string(), state: "removed", numbers })?;
            Ok(Ending::Done)
        })
    }
}
