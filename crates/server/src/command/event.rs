//! `callveil event`: what happened to a tenant's allocations and calls.

pub mod list;
pub mod replay;
pub mod tail;

use std::fmt;

use callveil_domain::endpoint::{Dialect, Endpoint, EndpointId};
use callveil_domain::event::{Event, EventId, EventKind};
use callveil_domain::settings::Settings;
use callveil_domain::time::Timestamp;
use callveil_webhooks::bodies;
use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use super::{Ending, Options};
use crate::error::CommandError;
use crate::output::{Output, time};

/// List, follow and replay a tenant's events
///
/// Events are kept when an endpoint wants them, or all of them once the setting `event_stream` is true.
#[derive(Debug, Subcommand)]
pub enum EventCommand {
    List(list::List),
    Tail(tail::Tail),
    Replay(replay::Replay),
}

impl EventCommand {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        match self {
            EventCommand::List(list) => list.run(options, out),
            EventCommand::Tail(tail) => tail.run(options, out),
            EventCommand::Replay(replay) => replay.run(options, out),
        }
    }
}

fn id(text: &str) -> Result<EventId, &'static str> {
    EventId::parse(text).ok_or("must be an event's id, as `callveil event list` shows it")
}

fn kind(name: &str) -> Result<EventKind, String> {
    let names = || EventKind::ALL.map(EventKind::name).join(", ");
    EventKind::parse(name).ok_or_else(|| format!("is none of {}", names()))
}

/// An event as one line for eyes, and in the words of our webhooks for programs.
#[derive(Serialize)]
#[serde(transparent)]
struct Told {
    body: Value,
    #[serde(skip)]
    line: String,
}

impl Told {
    fn of(event: &Event, masked: bool) -> Told {
        let endpoint = Endpoint {
            id: EndpointId::parse("terminal").expect("law: the word is a name"),
            dialect: Dialect::Standard,
            url: String::new(),
            kinds: Vec::new(),
            masked,
            secrets: Vec::new(),
            created_at: Timestamp::EPOCH,
            disabled: None,
        };
        let body = bodies::body(event, &endpoint, &Settings::default(), &|_| None);
        let body = body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        let about = [
            event.fact.call().map(|call| format!("call {call}")),
            event.fact.allocation().map(|allocation| format!("allocation {allocation}")),
        ];
        let about: Vec<String> = about.into_iter().flatten().collect();
        let kind = event.kind().name();
        let line = format!("{}  {}  {kind:25}  {}", time(event.at), event.id, about.join(", "));
        Told { body, line: line.trim_end().to_owned() }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}
