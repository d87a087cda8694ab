//! Log lines, and what is logged of a panic: where it was, never what it carried.

use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::filter::filter_fn;
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
    let speaks = filter_fn(|line| may_speak(line.target()));
    let wanted = tracing_subscriber::registry().with(log.level.targets()).with(speaks);
    if human {
        wanted.with(lines.with_target(false)).init();
    } else {
        wanted.with(lines.json().flatten_event(true).with_span_list(false)).init();
    }
    panic::set_hook(Box::new(log_panic));
}

/// The SIP library writes whole messages, with the numbers in them, into its lines: none of them is written, whatever
/// level was asked for.
fn may_speak(target: &str) -> bool {
    !target.starts_with("rsipstack")
}

/// A panic's message may quote the value that caused it, and so is left out.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%location, "a defect: the work that met it was given up");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sip_library_is_silent_whatever_is_asked_for() {
        assert!(may_speak("callveil_voice::sip"));
        assert!(!may_speak("rsipstack"));
        assert!(!may_speak("rsipstack::transport::udp"));
    }
}
