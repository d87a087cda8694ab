//! `callveil webhook test`: sends a signed sample, and shows what came back.

use std::fmt;
use std::time::Duration;

use callveil_domain::endpoint::{Dialect, Endpoint, EndpointId, Secret};
use callveil_domain::event::EventKind;
use callveil_domain::settings::Settings;
use callveil_domain::tenant::Sid;
use callveil_webhooks::client::{Answer, Message};
use callveil_webhooks::{bodies, retry, sample, sign};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::clock::{generator, stopwatch, wall_time};
use crate::command::{Ending, Listeners, Options, block_on};
use crate::error::CommandError;
use crate::output::Output;
use crate::serving::webhooks;

/// Send a signed sample event to a URL, and show what came back
///
/// The event is about people who do not exist, and is posted once, under the same rules as real ones: over https, to a
/// public address, unless the configuration allows more. The exit code is 1 when it was not taken.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil webhook test https://example.com/hooks/callveil
  callveil webhook test https://example.com/hook --kind caller.verified --dialect leadassist --json
  callveil webhook test https://example.com/hook --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
pub struct Test {
    /// Where to
    #[arg(value_name = "URL")]
    url: String,
    /// What kind of event
    #[arg(long, value_name = "KIND", default_value = "call.completed", value_parser = kind)]
    kind: EventKind,
    /// In whose words
    #[arg(long, value_name = "DIALECT", default_value = "standard")]
    dialect: Words,
    /// What it is signed with, as `callveil endpoint` shows it; a new one is made, and shown, without it
    #[arg(long, value_name = "whsec_...", value_parser = sign::read_secret)]
    secret: Option<[u8; 32]>,
    /// Tell numbers and pins masked
    #[arg(long)]
    masked: bool,
}

/// In whose words an event is told.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Words {
    /// Our own envelope
    Standard,
    /// LeadAssist's
    Leadassist,
}

fn kind(name: &str) -> Result<EventKind, String> {
    let names = || EventKind::ALL.map(EventKind::name).join(", ");
    EventKind::parse(name).ok_or_else(|| format!("is none of {}", names()))
}

impl Test {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let doing = format!("sending {} to {}", self.kind, self.url);
        let config = options.configuration(Listeners::default())?;
        let now = wall_time();
        let key = self.secret.unwrap_or_else(|| Secret::new(&mut generator()).key);
        let endpoint = Endpoint {
            id: EndpointId::parse("test").expect("law: the word is a name"),
            dialect: match self.dialect {
                Words::Standard => Dialect::Standard,
                Words::Leadassist => Dialect::LeadAssist,
            },
            url: self.url,
            kinds: Vec::new(),
            masked: self.masked,
            secrets: Vec::new(),
            created_at: now,
            disabled: None,
        };
        let tenant = Sid::parse("sample").expect("law: the word is a SID");
        let event = sample::event(self.kind, &tenant, now);
        let Some(body) = bodies::body(&event, &endpoint, &Settings::default(), &|_| None) else {
            return Err(CommandError::new(doing, "LeadAssist has no such event").fix("leave out --dialect"));
        };
        let id = event.id.to_string();
        let message = Message { url: &endpoint.url, id: &id, body: body.clone(), secrets: &[&key] };
        let (answer, took) = block_on(async {
            let client = webhooks::client(&config.webhooks)?;
            let watch = stopwatch();
            Ok((client.post(&message, now).await, watch.elapsed()))
        })?;
        let tried = Tried {
            webhook_id: id.clone(),
            webhook_timestamp: sign::seconds(now),
            webhook_signature: sign::signatures(&id, now, &body, [key.as_slice()]),
            body: String::from_utf8_lossy(&body).into_owned(),
            secret: self.secret.is_none().then(|| sign::write_secret(&key)),
            taken: retry::taken(answer),
            answer: tell(answer),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        out.show(&tried)?;
        Ok(if tried.taken { Ending::Done } else { Ending::Refused })
    }
}

fn tell(answer: Answer) -> String {
    match answer {
        Answer::Status { status, retry_after: None } => status.to_string(),
        Answer::Status { status, retry_after: Some(wait) } => {
            format!("{status}, to be asked again in {}", seconds(wait))
        }
        Answer::Nothing(silence) => silence.to_string(),
    }
}

fn seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs())
}

/// What was sent, and what came back.
#[derive(Serialize)]
struct Tried {
    webhook_id: String,
    webhook_timestamp: i64,
    webhook_signature: String,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    taken: bool,
    answer: String,
    took_ms: u64,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tried { webhook_id, webhook_timestamp, webhook_signature, body, secret, taken, answer, took_ms } =
            self;
        writeln!(f, "webhook-id: {webhook_id}")?;
        writeln!(f, "webhook-timestamp: {webhook_timestamp}")?;
        writeln!(f, "webhook-signature: {webhook_signature}")?;
        writeln!(f, "\n{body}\n")?;
        if let Some(secret) = secret {
            writeln!(f, "signed with {secret}")?;
        }
        let verdict = if *taken { "taken" } else { "not taken" };
        writeln!(f, "{verdict}: {answer} ({took_ms} ms)")
    }
}
