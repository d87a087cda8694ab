//! `callveil config show`: which values hold, and who said so.

use std::collections::BTreeMap;
use std::fmt;

use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Listeners, Options};
use crate::config::Told;
use crate::error::CommandError;
use crate::output::{Columns, Output};

/// Show each configuration value that holds, and where it comes from
#[derive(Args, Debug)]
#[command(after_long_help = r#"Examples:
  callveil config show
  callveil --config callveil.toml config show --json | jq '."http.listen"'"#)]
pub struct Show {
    #[command(flatten)]
    listeners: Listeners,
}

impl Show {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        out.show(&Values(options.configuration(self.listeners)?.told))?;
        Ok(Ending::Done)
    }
}

struct Values(Vec<Told>);

impl Serialize for Values {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Value<'a> {
            value: &'a str,
            origin: String,
        }
        let values: BTreeMap<&str, Value<'_>> = self
            .0
            .iter()
            .map(|told| (told.name, Value { value: &told.value, origin: told.origin.to_string() }))
            .collect();
        values.serialize(serializer)
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |told: &Told| [told.name.to_owned(), told.value.clone(), told.origin.to_string()];
        Columns { header: ["KEY", "VALUE", "FROM"], rows: self.0.iter().map(row).collect() }.fmt(f)
    }
}
