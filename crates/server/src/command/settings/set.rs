//! `callveil settings set`: some settings of a tenant, all or none of them.

use callveil_domain::settings::{Hand, Settings};
use callveil_domain::{Ctx, Effect, Failure, admin};
use clap::Args;

use super::show::Values;
use crate::command::{Ending, Listeners, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::Missing;
use crate::output::Output;

/// Set some of a tenant's settings
///
/// All of them are set, or none. They hold in a running server within a second, for what is asked from then on.
/// `callveil settings show` lists every name with what it does.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil settings set --tenant acme deletion_time=3600 number_choice=sticky")]
pub struct Set {
    #[command(flatten)]
    of: OfTenant,
    /// A setting and its value; nothing after the = clears what may be empty
    #[arg(value_name = "NAME=VALUE", required = true, value_parser = name_and_value)]
    changes: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be a name, = and a value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Set {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Set { of, changes } = self;
        let records =
            changes.iter().any(|(name, value)| name == "recording" && !value.eq_ignore_ascii_case("off"));
        let media = options.configuration(Listeners::default())?.media;
        if let Some(why) = media.records_nothing().filter(|_| records) {
            let fix = "set media.engine to relay and media.recordings to a directory, or leave recording off";
            return Err(CommandError::new("setting recording", why).fix(fix));
        }
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let change = async |ctx: &mut Ctx<'_>| {
                admin::change_settings(ctx, &tenant, Hand::Operator, &changes).await
            };
            let doing = format!("setting what {} has chosen", tenant.sid);
            let settings = match at.act(Effect::Keep, change).await {
                Ok(settings) => settings,
                Err(Failure::Store(error)) => return Err(CommandError::store(doing, &error)),
                Err(Failure::Refused(refused)) => {
                    let fix = format!("`callveil settings show --tenant {}` lists them all", tenant.sid);
                    return Err(CommandError::new(doing, "nothing was set")
                        .fix(fix)
                        .details(refused.iter().map(ToString::to_string).collect()));
                }
            };
            let shown = changes.iter().filter_map(|(name, _)| Settings::find(name)).collect();
            out.show(&Values { settings: &settings, shown })?;
            Ok(Ending::Done)
        })
    }
}
