//! `callveil number`: the virtual numbers of a tenant's pool, and what is kept of a person's.

pub mod add;
pub mod drain;
pub mod erase;
pub mod import;
pub mod known;
pub mod list;
pub mod open;
pub mod remove;

use std::fmt;

use callveil_domain::country::Country;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::DirectoryConflict;
use callveil_domain::tenant::{Sid, Tenant};
use callveil_domain::virtual_number::{Lending, VirtualNumber};
use callveil_domain::{Ctx, Failure, admin};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Add, import, list, drain, open and remove virtual numbers of a pool; show and erase what is kept of a person's
#[derive(Debug, Subcommand)]
pub enum Number {
    Add(add::Add),
    Import(import::Import),
    List(list::List),
    Drain(drain::Drain),
    Open(open::Open),
    Remove(remove::Remove),
    Known(known::Known),
    Erase(erase::Erase),
}

impl Number {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Number::Add(add) => add.run(options, out),
            Number::Import(import) => import.run(options, out),
            Number::List(list) => list.run(options, out),
            Number::Drain(drain) => drain.run(options, out),
            Number::Open(open) => open.run(options, out),
            Number::Remove(remove) => remove.run(options, out),
            Number::Known(known) => known.run(options, out),
            Number::Erase(erase) => erase.run(options, out),
        }
    }
}

/// Reads the number of a party.
fn party(text: &str) -> Result<PhoneNumber, CommandError> {
    PhoneNumber::parse(text, Country::INDIA).map_err(|why| {
        CommandError::new("reading the number", why).fix("write it as +<country code><number>")
    })
}

/// Some numbers of a tenant's pool.
#[derive(Args, Debug)]
pub struct Numbers {
    #[command(flatten)]
    owner: OfTenant,
    /// The virtual numbers, with country code or as the tenant's country writes them
    #[arg(value_name = "NUMBER", required = true)]
    numbers: Vec<String>,
}

impl Numbers {
    /// Reads them against the tenant's country; answers with all that cannot be read.
    fn read(&self, tenant: &Tenant) -> Result<Vec<PhoneNumber>, CommandError> {
        let mut unreadable = Vec::new();
        let mut read = |text: &String| match PhoneNumber::parse(text, tenant.settings.country) {
            Ok(number) => Some(number),
            Err(why) => {
                unreadable.push(format!("{text}: {why}"));
                None
            }
        };
        let numbers: Vec<PhoneNumber> = self.numbers.iter().filter_map(&mut read).collect();
        if unreadable.is_empty() {
            return Ok(numbers);
        }
        let why = format!("{} of {} cannot be read", unreadable.len(), self.numbers.len());
        Err(CommandError::new("reading the numbers", why)
            .fix("write them as +<country code><number>")
            .details(unreadable))
    }

    /// Changes all of them, or none.
    fn change(
        &self,
        deed: Deed,
        options: &Options,
        out: &mut Output,
        change: impl AsyncFnOnce(&mut Ctx<'_>, &Sid, &[PhoneNumber]) -> Result<(), Failure<DirectoryConflict>>,
    ) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&self.owner.tenant)?;
            let numbers = self.read(&tenant)?;
            let doing = format!("{} numbers of {}", deed.doing, tenant.sid);
            at.change(doing, &tenant.sid, async |ctx| change(ctx, &tenant.sid, &numbers).await).await?;
            let numbers = numbers.iter().map(|number| number.expose().to_string()).collect();
            out.show(&Changed { tenant: tenant.sid.to_string(), state: deed.done, numbers })?;
            Ok(Ending::Done)
        })
    }
}

/// What is done to numbers, and what they are then.
struct Deed {
    doing: &'static str,
    done: &'static str,
}

/// What became of some numbers.
#[derive(Serialize)]
struct Changed {
    tenant: String,
    state: &'static str,
    numbers: Vec<String>,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changed { tenant, state, numbers } = self;
        write!(f, "{state}: {} of {tenant}", numbers.join(", "))
    }
}

/// The word for whether a number is lent anew.
fn word(lending: Lending) -> &'static str {
    match lending {
        Lending::Open => "open",
        Lending::Draining => "draining",
    }
}

/// Puts numbers into a tenant's pool, as many at a time as a running server bears; `progress` is told how many
/// are in.
pub async fn put(
    at: &Installation,
    tenant: &Sid,
    numbers: &[VirtualNumber],
    progress: &dyn Fn(usize),
) -> Result<(), CommandError> {
    for (done, chunk) in numbers.chunks(admin::NUMBERS_AT_ONCE).enumerate() {
        let before = done * admin::NUMBERS_AT_ONCE;
        let doing = format!("adding numbers to the pool of {tenant} ({before} of {} are in)", numbers.len());
        let put = async |ctx: &mut Ctx<'_>| admin::put_numbers(ctx, tenant, chunk.to_vec()).await;
        at.change(doing, tenant, put).await?;
        progress(before + chunk.len());
    }
    Ok(())
}
