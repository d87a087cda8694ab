//! `callveil trunk`: the ways to and from carriers.

pub mod add;
pub mod check;
pub mod list;
pub mod remove;
pub mod set;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use callveil_domain::trunk::{Trunk as DomainTrunk, TrunkName, TrunkRefused};
use callveil_domain::{Effect, admin};
use clap::Subcommand;
use serde::Serialize;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Installation;
use crate::output::Output;

/// Add, change, list, check and remove the ways to and from carriers
#[derive(Debug, Subcommand)]
pub enum Trunk {
    Add(add::Add),
    Set(set::Set),
    List(list::List),
    Check(check::Check),
    Remove(remove::Remove),
}

impl Trunk {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            Trunk::Add(add) => add.run(options, out),
            Trunk::Set(set) => set.run(options, out),
            Trunk::List(list) => list.run(options, out),
            Trunk::Check(check) => check.run(options, out),
            Trunk::Remove(remove) => remove.run(options, out),
        }
    }
}

/// Reads a trunk's name.
fn trunk_name(text: &str) -> Result<TrunkName, &'static str> {
    TrunkName::parse(text).ok_or("must be 1 to 32 letters, digits, '-' and '_'")
}

/// Reads a setting and its value.
fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be a name, = and a value")?;
    Ok((name.replace('-', "_"), value.to_owned()))
}

/// The trunk of this name in the database.
fn find(at: &Installation, name: &TrunkName) -> Option<DomainTrunk> {
    at.node.directory().trunks().iter().find(|trunk| trunk.name == *name).cloned()
}

/// Says some settings of a trunk, and keeps it.
async fn say(
    at: &Installation,
    doing: &str,
    mut trunk: DomainTrunk,
    settings: &[(String, String)],
) -> Result<DomainTrunk, CommandError> {
    let refused = |why: TrunkRefused| {
        CommandError::new(doing, why).fix("`callveil trunk list --settings` tells what each takes")
    };
    for (name, value) in settings {
        trunk.set(name, value).map_err(refused)?;
    }
    let trunk = trunk.complete().map_err(refused)?;
    let kept = at.act(Effect::Keep, async |ctx| admin::put_trunk(ctx, trunk.clone()).await).await;
    kept.map_err(|failure| CommandError::trunk(doing, &failure))?;
    Ok(trunk)
}

/// A password that stands in a file, so that no list of processes shows it.
fn password(file: &Path) -> Result<String, CommandError> {
    let text = fs::read_to_string(file)
        .map_err(|e| CommandError::new(format!("reading the password in {}", file.display()), e))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The settings of the passwords in files.
fn passwords(
    login: Option<&PathBuf>,
    accepted: Option<&PathBuf>,
) -> Result<Vec<(String, String)>, CommandError> {
    let files = [("password", login), ("accept_password", accepted)];
    let given = files.into_iter().filter_map(|(name, file)| Some((name, file?)));
    given.map(|(name, file)| Ok((name.to_owned(), password(file)?))).collect()
}

/// A trunk as it is told: all that was said of it, but for its secrets.
#[derive(Serialize)]
struct Told {
    name: String,
    /// Where it is kept: the database, or the configuration file.
    kept: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl Told {
    fn of(trunk: &DomainTrunk, kept: &'static str) -> Told {
        let secret = |name: &str| DomainTrunk::table().iter().any(|s| s.name == name && s.secret);
        let told = trunk.said().into_iter().map(|(name, text)| {
            let text = if secret(name) { "(kept secret)".to_owned() } else { text };
            (name, text)
        });
        Told { name: trunk.name.to_string(), kept, settings: told.collect() }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { name, kept, settings } = self;
        write!(f, "{name} (in the {kept})")?;
        settings.iter().try_for_each(|(name, text)| write!(f, "\n  {name} = {text}"))
    }
}
