//! `callveil trunk add`: a way to or from a carrier.

use std::path::PathBuf;

use callveil_domain::trunk::{Trunk, TrunkName};
use clap::Args;

use super::{Told, find, name_and_value, passwords, say, trunk_name};
use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Add a trunk
///
/// A running server takes it up within a second. `callveil trunk list --settings` tells every setting.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil trunk add carrier --source 192.0.2.0/24 --target sip.example.com --transport tls
  callveil trunk add carrier --source 192.0.2.7 --target sip.example.com --user 4711 --password-file pw register=10m")]
pub struct Add {
    /// Its name
    #[arg(value_name = "NAME", value_parser = trunk_name)]
    name: TrunkName,
    /// An address or network its calls come from
    #[arg(long, value_name = "CIDR")]
    source: Vec<String>,
    /// A host that calls are sent to
    #[arg(long, value_name = "HOST[:PORT]")]
    target: Vec<String>,
    /// What carries what we send: udp, tcp or tls
    #[arg(long, value_name = "NAME")]
    transport: Option<String>,
    /// Our user name when it asks for one
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file whose first line is the password of the user
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file whose first line is the password of accept_user
    #[arg(long, value_name = "FILE")]
    accept_password_file: Option<PathBuf>,
    /// Further settings
    #[arg(value_name = "SETTING=VALUE", value_parser = name_and_value)]
    settings: Vec<(String, String)>,
}

impl Add {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let doing = format!("adding the trunk {}", self.name);
        let mut settings = passwords(self.password_file.as_ref(), self.accept_password_file.as_ref())?;
        let lists = [("sources", self.source), ("targets", self.target)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        settings.extend(lists.map(|(name, list)| (name.to_owned(), list.join(","))));
        let words = [("transport", self.transport), ("user", self.user)];
        settings.extend(words.into_iter().filter_map(|(name, word)| Some((name.to_owned(), word?))));
        settings.extend(self.settings);

        options.on_installation(Missing::Make, async |at| {
            if find(at, &self.name).is_some() {
                let fix = format!("`callveil trunk set {}` changes it", self.name);
                return Err(CommandError::new(doing, "there is one of this name").fix(fix));
            }
            let trunk = say(at, &doing, Trunk::new(self.name), &settings).await?;
            out.show(&Told::of(&trunk, "database"))?;
            Ok(Ending::Done)
        })
    }
}
