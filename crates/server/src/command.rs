//! The command line: which subcommands there are, and what is common to all of them. Each has its own file.

pub mod audit;
pub mod backup;
pub mod call;
pub mod check;
pub mod completions;
pub mod config;
pub mod copy;
pub mod doctor;
pub mod endpoint;
pub mod event;
pub mod migrate;
pub mod number;
pub mod restore;
pub mod serve;
pub mod settings;
pub mod tenant;
pub mod tidy;
pub mod trial_call;
pub mod trunk;
pub mod verify;
pub mod webhook;

use std::path::PathBuf;

use callveil_domain::tenant::Sid;
use callveil_store::sqlite::Mode;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Database, Listen, Written, WrittenHttp, WrittenMetrics};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// callveil hides telephone numbers: it lends two parties a virtual number, and connects those who call it.
///
/// One program, one file of data. `callveil serve` answers the GreenVN API; every other command works on the same
/// data, beside a running server or without one, and what it changes takes effect there within a second.
#[derive(Debug, Parser)]
#[command(name = "callveil", version, after_help = EXIT_CODES, after_long_help = BEGINNING)]
pub struct CommandLine {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or failed, 2 not understood.";

const BEGINNING: &str = "Try it:
  callveil serve --demo

Begin in earnest:
  callveil tenant create acme
  callveil number import --tenant acme numbers.csv
  callveil serve

Exit codes: 0 done, 1 refused or failed, 2 not understood.";

/// What every command takes.
#[derive(Args, Debug)]
pub struct Options {
    /// The configuration file (TOML); `callveil config default` prints one with comments
    #[arg(
        long,
        value_name = "FILE",
        env = "CALLVEIL_CONFIG",
        hide_env_values = true,
        global = true,
        help_heading = "Everywhere"
    )]
    config: Option<PathBuf>,
    /// The database, as sqlite:PATH or postgres://...; goes before the file and CALLVEIL_DATABASE
    #[arg(long, value_name = "DATABASE", global = true, help_heading = "Everywhere")]
    database: Option<Database>,
    /// Answer in JSON on standard output, and with nothing else there
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
}

/// Where to listen, for the commands that care.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Listeners {
    /// Where the API is served [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    http_listen: Option<Listen>,
    /// Where the metrics are served [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<Listen>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    #[command(subcommand)]
    Number(number::Number),
    #[command(subcommand)]
    Settings(settings::Settings),
    #[command(subcommand)]
    Trunk(trunk::Trunk),
    #[command(subcommand, visible_alias = "calls")]
    Call(call::Call),
    TrialCall(trial_call::TrialCall),
    #[command(subcommand, visible_alias = "events")]
    Event(event::EventCommand),
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    #[command(subcommand)]
    Audit(audit::Audit),
    Verify(verify::Verify),
    Tidy(tidy::Tidy),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Check(check::Check),
    Copy(copy::Copy),
    Doctor(doctor::Doctor),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Completions(completions::Completions),
}

/// How a command ended that could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Done,
    /// With an answer that is bad news.
    Refused,
}

impl CommandLine {
    /// Runs the command.
    pub fn run(self, out: &mut Output) -> Result<Ending, CommandError> {
        let CommandLine { options, command } = self;
        match command {
            Command::Serve(serve) => serve.run(&options, out),
            Command::Tenant(tenant) => tenant.run(&options, out),
            Command::Number(number) => number.run(&options, out),
            Command::Settings(settings) => settings.run(&options, out),
            Command::Trunk(trunk) => trunk.run(&options, out),
            Command::Call(call) => call.run(&options, out),
            Command::TrialCall(trial) => trial.run(&options, out),
            Command::Event(event) => event.run(&options, out),
            Command::Endpoint(endpoint) => endpoint.run(&options, out),
            Command::Audit(audit) => audit.run(&options, out),
            Command::Webhook(webhook) => webhook.run(&options, out),
            Command::Tidy(tidy) => tidy.run(&options, out),
            Command::Verify(verify) => verify.run(&options, out),
            Command::Backup(backup) => backup.run(&options, out),
            Command::Restore(restore) => restore.run(&options, out),
            Command::Check(check) => check.run(&options, out),
            Command::Copy(copy) => copy.run(out),
            Command::Doctor(doctor) => doctor.run(&options, out),
            Command::Migrate(migrate) => migrate.run(&options, out),
            Command::Config(config) => config.run(&options, out),
            Command::Completions(completions) => completions.run(out),
        }
    }
}

impl Options {
    /// The configuration that holds for a command with these flags of its own.
    pub fn configuration(&self, listeners: Listeners) -> Result<Config, CommandError> {
        let flags = Written {
            database: self.database.clone(),
            http: WrittenHttp { listen: listeners.http_listen, ..WrittenHttp::default() },
            metrics: WrittenMetrics { listen: listeners.metrics_listen },
            ..Written::default()
        };
        Config::read(self.config.as_deref(), flags).map_err(|e| {
            CommandError::new("reading the configuration", e)
                .fix("`callveil config default` prints every key with its default")
        })
    }

    /// Does a command's work on the installation, beside a server or without one.
    pub fn on_installation(
        &self,
        missing: Missing,
        work: impl AsyncFnOnce(&Installation) -> Result<Ending, CommandError>,
    ) -> Result<Ending, CommandError> {
        let config = self.configuration(Listeners::default())?;
        block_on(async { work(&Installation::open(&config, Mode::Tool, missing).await?).await })
    }
}

/// Runs a command's asynchronous part on this thread.
pub fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| CommandError::new("starting", e))?.block_on(work)
}

/// Which tenant a command is about.
#[derive(Args, Debug)]
pub struct OfTenant {
    /// The tenant
    #[arg(long, value_name = "SID", value_parser = Sid::parse)]
    pub tenant: Sid,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path}{} ", command.get_name());
            let mut subcommands = command.get_subcommands().filter(|sub| sub.get_name() != "help").peekable();
            if subcommands.peek().is_none() {
                let help = command.clone().render_long_help().to_string();
                let examples = help.rsplit("\nExample").next().unwrap();
                assert!(examples != help && examples.contains(path.trim()), "{path}: {help}");
            }
            subcommands.for_each(|sub| check(sub, &path));
        }
        for command in CommandLine::command().get_subcommands() {
            check(command, "");
        }
    }
}
