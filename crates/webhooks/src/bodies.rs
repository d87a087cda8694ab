//! What is sent: an event in the words of the endpoint's dialect.
//!
//! A body is made when it is sent, from the fact that the event keeps, and comes out the same at every attempt, save for
//! the link to a recording, which is good for a while from the attempt on. Field names and forms are a wire's: they are changed by nobody here.

mod envelope;
mod leadassist;
mod times;

use bytes::Bytes;
use callveil_domain::calls::RecordingName;
use callveil_domain::endpoint::{Dialect, Endpoint};
use callveil_domain::event::Event;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::settings::Settings;
use serde::{Serialize, Serializer};

/// Leads to a recording, if anybody may be led to it.
pub type Link<'l> = dyn Fn(&RecordingName) -> Option<String> + 'l;

/// The body of an event for an endpoint. None when the dialect has no words for it.
pub fn body(event: &Event, endpoint: &Endpoint, settings: &Settings, link: &Link<'_>) -> Option<Bytes> {
    let shown = if endpoint.masked { Shown::Masked } else { Shown::Whole };
    match endpoint.dialect {
        Dialect::Standard => Some(write(&envelope::Envelope::of(event, shown, link))),
        Dialect::LeadAssist => leadassist::Body::of(event, settings, link).map(|body| write(&body)),
    }
}

fn write(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("law: a body is JSON").into()
}

/// How numbers and pins are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Whole,
    Masked,
}

/// A telephone number on the wire.
#[derive(Clone, Copy)]
struct Number(PhoneNumber, Shown);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Shown::Whole => serializer.collect_str(&self.0.expose()),
            Shown::Masked => serializer.collect_str(&self.0),
        }
    }
}

/// A pin on the wire: its digits as a string.
#[derive(Clone, Copy)]
struct Digits(Pin, Shown);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Shown::Whole => serializer.collect_str(&self.0.expose_value()),
            Shown::Masked => serializer.collect_str(&self.0),
        }
    }
}

#[cfg(test)]
mod tests;
