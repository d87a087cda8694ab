//! `callveil trunk list`: the ways to and from carriers, or the settings that a trunk has.

use std::fmt;

use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_store::sqlite::Mode;
use clap::Args;
use serde::Serialize;

use super::Told;
use crate::command::{Ending, Listeners, Options, block_on};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::{Columns, Output};

/// List the trunks
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil trunk list
  callveil trunk list --settings")]
pub struct List {
    /// Tell the settings that a trunk has, with their defaults
    #[arg(long)]
    settings: bool,
}

impl List {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        if self.settings {
            out.show(&Settings::all())?;
            return Ok(Ending::Done);
        }
        let config = options.configuration(Listeners::default())?;
        block_on(async {
            let at = Installation::open(&config, Mode::Tool, Missing::Refuse).await?;
            let kept =
                at.node.directory().trunks().iter().map(|t| Told::of(t, "database")).collect::<Vec<_>>();
            let written = config.trunks.iter().map(|t| Told::of(t, "file"));
            out.show(&Trunks(kept.into_iter().chain(written).collect()))?;
            Ok(Ending::Done)
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Trunks(Vec<Told>);

impl fmt::Display for Trunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("There is no trunk yet; `callveil trunk add NAME` makes one.");
        }
        let told: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&told.join("\n"))
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Settings(Vec<Setting>);

#[derive(Serialize)]
struct Setting {
    name: &'static str,
    default: String,
    about: &'static str,
}

impl Settings {
    fn all() -> Settings {
        let new = Trunk::new(TrunkName::parse("new").expect("law: a name"));
        let settings = Trunk::table().iter().map(|setting| Setting {
            name: setting.name,
            default: new.text(setting),
            about: setting.about,
        });
        Settings(settings.collect())
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row =
            |setting: &Setting| [setting.name.to_owned(), setting.default.clone(), setting.about.to_owned()];
        Columns { header: ["SETTING", "DEFAULT", "WHAT IT DOES"], rows: self.0.iter().map(row).collect() }
            .fmt(f)
    }
}
