//! `callveil trunk set`: some settings of a trunk, all or none of them.

use std::path::PathBuf;

use callveil_domain::trunk::TrunkName;
use clap::Args;

use super::{Told, find, name_and_value, passwords, say, trunk_name};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Change some of a trunk's settings
///
/// They hold in a running server within a second, for calls from then on.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil trunk set carrier calls=30 destinations=91,971")]
pub struct Set {
    /// The trunk
    #[arg(value_name = "NAME", value_parser = trunk_name)]
    name: TrunkName,
    /// A file whose first line is the password of the user
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file whose first line is the password of accept_user
    #[arg(long, value_name = "FILE")]
    accept_password_file: Option<PathBuf>,
    /// A setting and its value; nothing after the = clears what may be empty
    #[arg(value_name = "SETTING=VALUE", value_parser = name_and_value)]
    settings: Vec<(String, String)>,
}

impl Set {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let doing = format!("changing the trunk {}", self.name);
        let mut settings = passwords(self.password_file.as_ref(), self.accept_password_file.as_ref())?;
        settings.extend(self.settings);

        options.on_installation(Missing::Refuse, async |at| {
            let Some(trunk) = find(at, &self.name) else {
                return Err(CommandError::new(doing, "there is none of this name in the database")
                    .fix("`callveil trunk list` shows those there are"));
            };
            let trunk = say(at, &doing, trunk, &settings).await?;
            out.show(&Told::of(&trunk, "database"))?;
            Ok(Ending::Done)
        })
    }
}
