//! Log lines, and what is logged of a panic: where it was, never what it carried.

use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Starts to write log lines to standard error.
pub fn start(log: &Log) {
    let human = match log.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let wanted = tracing_subscriber::registry().with(log.level.targets());
    if human {
        wanted.with(lines.with_target(false)).init();
    } else {
        wanted.with(lines.json().flatten_event(true).with_span_list(false)).init();
    }
    panic::set_hook(Box::new(log_panic));
}

/// A panic's message may quote the value that caused it, and so is left out.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%location, "a defect: the work that met it was given up");
}
