//! `callveil settings show`: every setting of a tenant, as it holds.

use std::fmt;

use callveil_domain::settings::{Form, Setting, Settings};
use clap::Args;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Show a tenant's settings
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil settings show --tenant acme
  callveil settings show --tenant acme --json | jq .deletion_time")]
pub struct Show {
    #[command(flatten)]
    of: OfTenant,
}

impl Show {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&self.of.tenant)?;
            out.show(&Values { settings: &tenant.settings, shown: Settings::table().iter().collect() })?;
            Ok(Ending::Done)
        })
    }
}

/// Some settings with their values.
pub struct Values<'a> {
    pub settings: &'a Settings,
    pub shown: Vec<&'static Setting>,
}

/// An object of names and values, each in the form that the API gives it.
impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.shown.len()))?;
        for setting in &self.shown {
            let text = self.settings.text(setting);
            let value = match setting.form {
                Form::Text => serde_json::Value::String(text),
                Form::Integer | Form::Json => {
                    serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
                }
            };
            map.serialize_entry(setting.name, &value)?;
        }
        map.end()
    }
}

impl fmt::Display for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for setting in &self.shown {
            let value = self.settings.text(setting);
            let value = if value.is_empty() { "(empty)" } else { &value };
            writeln!(f, "{} = {value}\n    {}", setting.name, setting.about)?;
        }
        Ok(())
    }
}
