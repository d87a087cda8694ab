//! Log lines, and what is logged of a panic: where it was, never what it carried.

use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use callveil_voice::sip::trace;
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
    let traced = log.level.names(trace::TARGET);
    let speaks = filter_fn(move |line| may_speak(line.target(), traced));
    let wanted = tracing_subscriber::registry().with(log.level.targets()).with(speaks);
    if human {
        wanted.with(lines.with_target(false)).init();
    } else {
        wanted.with(lines.json().flatten_event(true).with_span_list(false)).init();
    }
    panic::set_hook(Box::new(log_panic));
}

/// The SIP library writes whole messages, with the numbers in them, into its lines: none of them is written, whatever
/// level was asked for. What we tell of the messages ourselves is written where it was asked for by name.
fn may_speak(target: &str, traced: bool) -> bool {
    !target.starts_with("rsipstack") && (traced || target != trace::TARGET)
}

/// A panic's message may quote the value that caused it, and so is left out.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(%location, "a defect: the work that met it was given up");
}

#[cfg(test)]
mod tests {
    use crate::config::LogFilter;

    use super::*;

    #[test]
    fn the_sip_library_is_silent_whatever_is_asked_for() {
        for traced in [true, false] {
            assert!(may_speak("callveil_voice::sip", traced));
            assert!(!may_speak("rsipstack", traced));
            assert!(!may_speak("rsipstack::transport::udp", traced));
        }
    }

    #[test]
    fn messages_are_told_to_who_names_them() {
        let told = |level: &str| {
            let level: LogFilter = level.parse().unwrap();
            level.targets().would_enable(trace::TARGET, &tracing::Level::DEBUG)
                && may_speak(trace::TARGET, level.names(trace::TARGET))
        };
        assert!(told("info,callveil::sip=debug"));
        assert!(told("callveil::sip=trace,debug"));
        for level in ["debug", "trace", "callveil=trace", "info,callveil::=debug", "callveil::sip=info,trace"]
        {
            assert!(!told(level), "{level}");
        }
    }
}
