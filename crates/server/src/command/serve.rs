//! `callveil serve`: answers the API until it is told to stop.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use callveil_store::sqlite::Mode;
use clap::Args;
use serde::Serialize;

use super::{Ending, Listeners, Options};
use crate::config::Config;
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::logging;
use crate::output::Output;
use crate::serving::demo::{self, Demo};
use crate::serving::{self, Addresses, End};

/// Answer the GreenVN API, and keep the data in order
///
/// Runs until SIGTERM or Ctrl-C, then finishes the requests in flight and exits with 0; a second signal ends it at
/// once. One server at a time works on a file of SQLite's, any number on one PostgreSQL. Tenants, keys, numbers and settings that other commands change
/// take effect within a second.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil serve
  callveil serve --demo
  CALLVEIL_DATABASE=sqlite:/var/lib/callveil/callveil.db callveil serve --http-listen 0.0.0.0:8080")]
pub struct Serve {
    #[command(flatten)]
    listeners: Listeners,
    /// Make a tenant 'demo' with a pool of made-up numbers, and print requests to try; a later start finds them again
    #[arg(long)]
    demo: bool,
}

impl Serve {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let config = options.configuration(self.listeners)?;
        logging::start(&config.log);
        for name in &config.strange_variables {
            tracing::warn!(%name, "nothing reads the variable {name}");
        }
        let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::new("starting", e))?;
        let served = runtime.block_on(async {
            let at = Installation::open(&config, Mode::Serve, Missing::Make).await?;
            let demo = if self.demo { Some(demo::prepare(&at).await?) } else { None };
            serving::serve(at, &config, |at, addresses| out.show(&Started::new(at, &config, addresses, demo)))
                .await
        });
        match served? {
            // Everything is let go in order, so that the database is one file again.
            End::Finished => runtime.shutdown_timeout(LETTING_GO),
            End::CutOff => runtime.shutdown_background(),
        }
        Ok(Ending::Done)
    }
}

/// How long the end of what runs still is waited for. Nothing is lost by a shorter wait.
const LETTING_GO: Duration = Duration::from_secs(5);

/// Where everything is, told once when connections are taken.
#[derive(Serialize)]
struct Started {
    version: &'static str,
    api: String,
    docs: String,
    metrics: String,
    sip: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sip_tls: Vec<String>,
    database: String,
    #[serde(skip)]
    tenants: usize,
    #[serde(skip)]
    numbers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    demo: Option<Demo>,
}

impl Started {
    fn new(at: &Installation, config: &Config, addresses: Addresses, demo: Option<Demo>) -> Started {
        let url = |address: SocketAddr, path: &str| format!("http://{address}{path}");
        let texts = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::to_string).collect();
        let directory = at.node.directory();
        Started {
            version: env!("CARGO_PKG_VERSION"),
            api: url(addresses.http, ""),
            docs: url(addresses.http, "/docs"),
            metrics: url(addresses.metrics, "/metrics"),
            sip: texts(&addresses.sip),
            sip_tls: texts(&addresses.sip_tls),
            database: config.database.to_string(),
            tenants: directory.tenants().count(),
            numbers: directory.tenants().map(|tenant| tenant.pool.numbers().len()).sum(),
            demo,
        }
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Started { version, api, docs, metrics, sip, sip_tls, database, tenants, numbers, demo } = self;
        writeln!(f, "callveil {version}")?;
        writeln!(f, "  API       {api}/v1/tenants/<sid>/greenvn")?;
        writeln!(f, "  Docs      {docs}")?;
        writeln!(f, "  Metrics   {metrics}")?;
        if !sip.is_empty() {
            writeln!(f, "  Calls     sip: {} (UDP and TCP)", sip.join(", "))?;
        }
        if !sip_tls.is_empty() {
            writeln!(f, "  Calls     sip: {} (TLS)", sip_tls.join(", "))?;
        }
        writeln!(f, "  Database  {database} (tenants: {tenants}, virtual numbers: {numbers})")?;
        if *tenants == 0 {
            writeln!(f, "  Next      `callveil tenant create SID` makes the first tenant")?;
        }
        match demo {
            Some(demo) => demo.tell(f, api, database, sip.first().map(String::as_str)),
            None => Ok(()),
        }
    }
}
