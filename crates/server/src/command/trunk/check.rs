//! `callveil trunk check`: asks a carrier whether it is there.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_store::sqlite::Mode;
use callveil_voice::sip::{self, Probed, Settings, StartError};
use clap::Args;
use serde::Serialize;

use super::trunk_name;
use crate::clock::randomness;
use crate::command::{Ending, Listeners, Options, block_on};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Ask every address of a trunk whether it is there (OPTIONS)
///
/// The question leaves from a free port of this machine, beside a running server.
#[derive(Args, Debug)]
#[command(after_long_help = "Example:
  callveil trunk check carrier")]
pub struct Check {
    /// The trunk
    #[arg(value_name = "NAME", value_parser = trunk_name)]
    name: TrunkName,
}

impl Check {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let config = options.configuration(Listeners::default())?;
        let doing = format!("checking the trunk {}", self.name);
        block_on(async {
            let at = Installation::open(&config, Mode::Tool, Missing::Refuse).await?;
            let directory = at.node.directory();
            let mut trunks = directory.trunks().iter().chain(&config.trunks);
            let Some(trunk) = trunks.find(|trunk| trunk.name == self.name) else {
                return Err(CommandError::new(doing, "there is none of this name")
                    .fix("`callveil trunk list` shows those there are"));
            };
            let answers = ask(trunk).await.map_err(|e| CommandError::new(&doing, e))?;
            let all_there = answers.iter().all(|answer| answer.answer.is_ok());
            out.show(&Answers {
                trunk: self.name.to_string(),
                targets: answers.into_iter().map(Row::of).collect(),
            })?;
            Ok(if all_there { Ending::Done } else { Ending::Refused })
        })
    }
}

async fn ask(trunk: &Trunk) -> Result<Vec<Probed>, StartError> {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let quiet = Trunk { probe: None, ..trunk.clone() };
    let start = async |listen| {
        let settings = Settings { listen, ..Settings::default() };
        sip::start(settings, vec![quiet.clone()], randomness()).await
    };
    // A machine without IPv6 has no targets there either.
    let (sip, _calls) = match start(vec![v4, v6]).await {
        Ok(started) => started,
        Err(_) => start(vec![v4]).await?,
    };
    let answers = sip.probe(trunk).await;
    sip.stop();
    Ok(answers)
}

#[derive(Serialize)]
struct Answers {
    trunk: String,
    targets: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    target: String,
    address: Option<String>,
    answer: String,
}

impl Row {
    fn of(probed: Probed) -> Row {
        let Probed { target, address, answer } = probed;
        let answer = match answer {
            Ok(status) => format!("there (it answered {status})"),
            Err(silence) => silence.to_string(),
        };
        Row { target: target.to_string(), address: address.map(|a| a.to_string()), answer }
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.targets.is_empty() {
            return write!(f, "{} has no targets: it only receives", self.trunk);
        }
        let row = |row: &Row| match &row.address {
            Some(address) => format!("{} ({address}): {}", row.target, row.answer),
            None => format!("{}: {}", row.target, row.answer),
        };
        f.write_str(&self.targets.iter().map(row).collect::<Vec<_>>().join("\n"))
    }
}
