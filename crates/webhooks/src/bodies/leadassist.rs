//! The bodies of LeadAssist's four GreenVN events, with the types that its samples have: the second leg's duration is
//! a string and the talk's an integer, a missing recording is the string `"null"`, and pins are strings.

use callveil_domain::allocation::{Allocation, Usage};
use callveil_domain::calls::{CallRecord, CallStanding, Disconnector};
use callveil_domain::event::{AllocationStep, CallStep, Event, Fact, Rejected, Verified};
use callveil_domain::number::PhoneNumber;
use callveil_domain::settings::{EventTimes, Settings};
use callveil_domain::time::Timestamp;
use serde::Serialize;

use super::{Digits, Link, Number, Shown, times};

/// One of the four.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Body<'e> {
    /// To `greencall_complete_event_endpoint`.
    Call(Box<Call<'e>>),
    /// To `deallocation_callback_event_endpoint`.
    Deallocation(Deallocation<'e>),
    /// To `verified_caller_event_endpoint`.
    Verified(VerifiedCaller<'e>),
    /// To `failed_verification_event_endpoint`.
    Failed(FailedVerification<'e>),
}

#[derive(Serialize)]
pub(super) struct Call<'e> {
    connection_id: &'e str,
    call_sid: String,
    greenvn: Number,
    greenvn_id: String,
    from: Party,
    to: Party,
    call_type: &'static str,
    start_time: String,
    current_time: String,
    dial_call_duration: String,
    on_call_duration: u64,
    recording_url: String,
    dial_call_status: &'static str,
    direction: &'static str,
    source: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    insights: Option<Insights>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    tags: Option<Tags<'e>>,
}

/// A number, or the empty string for one that is not known.
#[derive(Serialize)]
#[serde(untagged)]
enum Party {
    Known(Number),
    Unknown(&'static str),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Insights {
    disconnected_by: &'static str,
    status: &'static str,
    detailed_status: String,
    ringing_duration: String,
}

#[derive(Serialize)]
struct Tags<'e> {
    aparty_tag: &'e str,
    bparty_tag: &'e str,
}

#[derive(Serialize)]
pub(super) struct Deallocation<'e> {
    connection_id: &'e str,
    greenvn: Number,
    greenvn_id: String,
    usage: &'static str,
    aparty_numbers: Vec<Number>,
    bparty_numbers: Vec<Number>,
    aparty_pins: Vec<u64>,
    bparty_pins: Vec<u64>,
    state: &'static str,
}

#[derive(Serialize)]
pub(super) struct VerifiedCaller<'e> {
    connection_id: &'e str,
    greenvn: Number,
    greenvn_id: String,
    caller: Party,
    pin: Digits,
}

#[derive(Serialize)]
pub(super) struct FailedVerification<'e> {
    call_sid: String,
    greenvn: Number,
    start_time: String,
    caller: Party,
    pin: &'e str,
}

/// What stands where there is nothing to tell, as in the samples.
const NULL: &str = "null";

impl<'e> Body<'e> {
    /// The body of an event, if it is one of the four.
    pub(super) fn of(event: &'e Event, settings: &'e Settings, link: &Link<'_>) -> Option<Body<'e>> {
        match &event.fact {
            Fact::Call { what: CallStep::Completed | CallStep::Refused, call } => {
                let recording = call.recording.as_ref().and_then(link);
                Call::of(call, event.at, settings, recording).map(|call| Body::Call(Box::new(call)))
            }
            Fact::Allocation { what: AllocationStep::Expired, allocation, .. } => {
                Some(Body::Deallocation(Deallocation::of(allocation)))
            }
            Fact::Verified(verified) => Some(Body::Verified(VerifiedCaller::of(verified))),
            Fact::Rejected(rejected) => Some(Body::Failed(FailedVerification::of(rejected, settings))),
            Fact::Call { what: CallStep::Started | CallStep::Ringing | CallStep::Answered, .. }
            | Fact::Allocation {
                what:
                    AllocationStep::Created
                    | AllocationStep::Updated
                    | AllocationStep::NumberChanged
                    | AllocationStep::Released,
                ..
            }
            | Fact::NumberLow(_) => None,
        }
    }
}

impl<'e> Call<'e> {
    /// None for a call that belongs to no allocation: it has no connection to be told by.
    fn of(
        call: &'e CallRecord,
        told_at: Timestamp,
        settings: &'e Settings,
        recording: Option<String>,
    ) -> Option<Call<'e>> {
        let link = call.link.as_ref()?;
        let tagged = Settings::find("tag_enabled").is_some_and(|setting| settings.text(setting) == "true");
        Some(Call {
            connection_id: link.connection.as_str(),
            call_sid: call.id.to_string(),
            greenvn: number(call.virtual_number),
            greenvn_id: link.allocation.to_string(),
            from: Party::of(call.caller),
            to: Party::of(call.called()),
            call_type: call.call_type().word(),
            start_time: time(call.started_at, settings),
            current_time: time(told_at, settings),
            dial_call_duration: call.dialled_for().as_secs().to_string(),
            on_call_duration: call.talked().as_secs(),
            recording_url: recording.unwrap_or_else(|| NULL.to_owned()),
            dial_call_status: dial_status(call),
            direction: "incoming",
            source: &settings.event_source,
            insights: settings.event_insights.then(|| Insights::of(call)),
            tags: tagged.then(|| Tags { aparty_tag: &link.tags[0], bparty_tag: &link.tags[1] }),
        })
    }
}

/// The status of the second leg.
fn dial_status(call: &CallRecord) -> &'static str {
    call.called_leg().and_then(|leg| leg.ended).map_or(NULL, |(_, end)| end.word())
}

impl Insights {
    fn of(call: &CallRecord) -> Insights {
        let status = dial_status(call);
        let by = match &call.standing {
            CallStanding::Ended { by, .. } => match by {
                Disconnector::Caller => "Caller",
                Disconnector::Callee => "Callee",
                Disconnector::Program => "Exotel",
                Disconnector::Network => "Operator",
            },
            CallStanding::Open => "NA",
        };
        let rang = call.rang_for();
        Insights {
            disconnected_by: by,
            status,
            detailed_status: format!("CALL_{}", status.to_ascii_uppercase().replace('-', "_")),
            ringing_duration: format!("{}.{:02}", rang.as_secs(), rang.subsec_millis() / 10),
        }
    }
}

impl<'e> Deallocation<'e> {
    fn of(allocation: &'e Allocation) -> Deallocation<'e> {
        let parties = &allocation.parties;
        let numbers = |numbers: &[PhoneNumber]| numbers.iter().copied().map(number).collect();
        Deallocation {
            connection_id: allocation.connection.as_str(),
            greenvn: number(allocation.virtual_number),
            greenvn_id: allocation.id.to_string(),
            usage: match allocation.usage {
                Usage::OneWay => "oneway",
                Usage::TwoWay => "twoway",
            },
            aparty_numbers: numbers(&parties.a.numbers),
            bparty_numbers: numbers(&parties.b.numbers),
            aparty_pins: parties.a.pins.iter().map(|pin| pin.expose_value()).collect(),
            bparty_pins: parties.b.pins.iter().map(|pin| pin.expose_value()).collect(),
            state: "vault",
        }
    }
}

impl<'e> VerifiedCaller<'e> {
    fn of(verified: &'e Verified) -> VerifiedCaller<'e> {
        VerifiedCaller {
            connection_id: verified.allocation.connection.as_str(),
            greenvn: number(verified.allocation.virtual_number),
            greenvn_id: verified.allocation.id.to_string(),
            caller: Party::of(verified.caller),
            pin: Digits(verified.pin, Shown::Whole),
        }
    }
}

impl<'e> FailedVerification<'e> {
    fn of(rejected: &'e Rejected, settings: &Settings) -> FailedVerification<'e> {
        FailedVerification {
            call_sid: rejected.call.to_string(),
            greenvn: number(rejected.virtual_number),
            start_time: time(rejected.started_at, settings),
            caller: Party::of(rejected.caller),
            pin: rejected.keyed.expose(),
        }
    }
}

impl Party {
    fn of(known: Option<PhoneNumber>) -> Party {
        known.map_or(Party::Unknown(""), |known| Party::Known(number(known)))
    }
}

fn number(number: PhoneNumber) -> Number {
    Number(number, Shown::Whole)
}

fn time(moment: Timestamp, settings: &Settings) -> String {
    match settings.event_times {
        EventTimes::Plain => times::plain(moment, settings.time_zone),
        EventTimes::Iso => times::with_offset(moment, settings.time_zone),
    }
}
