//! Our own envelope: one form for all kinds of events. What the API has a name for has the same name here.

use callveil_domain::allocation::{Allocation, Ending, Party, Side, Standing, Usage};
use callveil_domain::calls::{CallLeg, CallRecord, CallStanding};
use callveil_domain::event::{Event, Fact, Keyed, NumberLow, Rejected, Verified};
use callveil_domain::time::Timestamp;
use serde::{Serialize, Serializer};

use super::{Digits, Link, Number, Shown, times};

/// An event as it is sent. `id` is the same at every attempt; of the events of one call, or of one allocation, a later
/// one has a greater `sequence`.
#[derive(Serialize)]
pub(super) struct Envelope<'e> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Moment,
    tenant: &'e str,
    sequence: u64,
    data: Data<'e>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'e> {
    Allocation {
        #[serde(flatten)]
        allocation: AllocationData<'e>,
        #[serde(skip_serializing_if = "Option::is_none")]
        previous_greenvn: Option<Number>,
    },
    Call(Box<CallData<'e>>),
    Verified {
        call_sid: String,
        side: &'static str,
        caller: Option<Number>,
        pin: Digits,
        #[serde(flatten)]
        allocation: AllocationData<'e>,
    },
    Rejected {
        call_sid: String,
        greenvn: Number,
        caller: Option<Number>,
        keyed: Keys<'e>,
        started_at: Moment,
    },
    NumberLow {
        free: u32,
        of: u32,
    },
}

#[derive(Serialize)]
struct AllocationData<'e> {
    greenvn_id: String,
    connection_id: &'e str,
    greenvn: Number,
    usage: &'static str,
    a: PartyData<'e>,
    b: PartyData<'e>,
    state: &'static str,
    created_at: Moment,
    /// Absent for an allocation that ends by itself never.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cooling_until: Option<Moment>,
}

#[derive(Serialize)]
struct PartyData<'e> {
    numbers: Vec<Number>,
    pins: Vec<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'e str>,
}

#[derive(Serialize)]
struct CallData<'e> {
    call_sid: String,
    greenvn_id: Option<String>,
    connection_id: Option<&'e str>,
    greenvn: Number,
    from: Option<Number>,
    to: Option<Number>,
    side: Option<&'static str>,
    joined_by_pin: bool,
    started_at: Moment,
    answered_at: Option<Moment>,
    ended_at: Option<Moment>,
    end: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_because: Option<&'e str>,
    ended_by: Option<&'static str>,
    talk_ms: u64,
    recording_url: Option<String>,
    legs: Vec<LegData>,
}

#[derive(Serialize)]
struct LegData {
    number: Option<Number>,
    dialled_at: Moment,
    rang_at: Option<Moment>,
    answered_at: Option<Moment>,
    ended_at: Option<Moment>,
    end: Option<&'static str>,
}

impl<'e> Envelope<'e> {
    pub(super) fn of(event: &'e Event, shown: Shown, link: &Link<'_>) -> Envelope<'e> {
        Envelope {
            id: event.id.to_string(),
            kind: event.kind().name(),
            timestamp: Moment(event.at),
            tenant: event.tenant.as_str(),
            sequence: event.sequence,
            data: Data::of(event, shown, link),
        }
    }
}

impl<'e> Data<'e> {
    fn of(event: &'e Event, shown: Shown, link: &Link<'_>) -> Data<'e> {
        match &event.fact {
            Fact::Allocation { what: _, allocation, previous } => Data::Allocation {
                allocation: AllocationData::of(allocation, shown),
                previous_greenvn: previous.map(|number| Number(number, shown)),
            },
            Fact::Call { what: _, call } => {
                Data::Call(Box::new(CallData::of(call, shown, call.recording.as_ref().and_then(link))))
            }
            Fact::Verified(Verified { call, allocation, caller, pin, side, after: _ }) => Data::Verified {
                call_sid: call.to_string(),
                side: side_name(*side),
                caller: caller.map(|number| Number(number, shown)),
                pin: Digits(*pin, shown),
                allocation: AllocationData::of(allocation, shown),
            },
            Fact::Rejected(Rejected { call, virtual_number, caller, keyed, started_at, after: _ }) => {
                Data::Rejected {
                    call_sid: call.to_string(),
                    greenvn: Number(*virtual_number, shown),
                    caller: caller.map(|number| Number(number, shown)),
                    keyed: Keys(keyed, shown),
                    started_at: Moment(*started_at),
                }
            }
            Fact::NumberLow(NumberLow { free, of }) => Data::NumberLow { free: *free, of: *of },
        }
    }
}

impl<'e> AllocationData<'e> {
    fn of(allocation: &'e Allocation, shown: Shown) -> AllocationData<'e> {
        let (state, ends_at, cooling_until) = match allocation.standing {
            Standing::Lent { expires_at: Timestamp::NEVER, .. } => ("active", None, None),
            Standing::Lent { expires_at, .. } => ("active", Some(expires_at), None),
            Standing::Ended { at, cooling_until, how: Ending::Expired } => {
                ("expired", Some(at), Some(cooling_until))
            }
            Standing::Ended { at, cooling_until, how: Ending::Released } => {
                ("released", Some(at), Some(cooling_until))
            }
        };
        AllocationData {
            greenvn_id: allocation.id.to_string(),
            connection_id: allocation.connection.as_str(),
            greenvn: Number(allocation.virtual_number, shown),
            usage: match allocation.usage {
                Usage::OneWay => "oneway",
                Usage::TwoWay => "twoway",
            },
            a: PartyData::of(allocation.party(Side::A), shown),
            b: PartyData::of(allocation.party(Side::B), shown),
            state,
            created_at: Moment(allocation.created_at),
            ends_at: ends_at.map(Moment),
            cooling_until: cooling_until.map(Moment),
        }
    }
}

impl<'e> PartyData<'e> {
    /// As clients gave it: numbers that joined by pin are not told.
    fn of(party: &'e Party, shown: Shown) -> PartyData<'e> {
        PartyData {
            numbers: party.numbers.iter().map(|number| Number(*number, shown)).collect(),
            pins: party.pins.iter().map(|pin| Digits(*pin, shown)).collect(),
            tag: party.tag.as_deref(),
        }
    }
}

impl<'e> CallData<'e> {
    fn of(call: &'e CallRecord, shown: Shown, recording_url: Option<String>) -> CallData<'e> {
        let number = |number| Number(number, shown);
        let link = call.link.as_ref();
        let (end, because, by) = match &call.standing {
            CallStanding::Open => (None, None, None),
            CallStanding::Ended { how, by, .. } => (Some(how.word()), how.reason(), Some(by.word())),
        };
        CallData {
            call_sid: call.id.to_string(),
            greenvn_id: link.map(|link| link.allocation.to_string()),
            connection_id: link.map(|link| link.connection.as_str()),
            greenvn: number(call.virtual_number),
            from: call.caller.map(number),
            to: call.called().map(number),
            side: link.map(|link| side_name(link.from)),
            joined_by_pin: call.by_pin,
            started_at: Moment(call.started_at),
            answered_at: call.answered_at.map(Moment),
            ended_at: call.ended_at().map(Moment),
            end,
            refused_because: because,
            ended_by: by,
            talk_ms: u64::try_from(call.talked().as_millis()).unwrap_or(u64::MAX),
            recording_url,
            legs: call.legs.iter().map(|leg| LegData::of(leg, shown)).collect(),
        }
    }
}

impl LegData {
    fn of(leg: &CallLeg, shown: Shown) -> LegData {
        LegData {
            number: leg.number.map(|number| Number(number, shown)),
            dialled_at: Moment(leg.dialled_at),
            rang_at: leg.rang_at.map(Moment),
            answered_at: leg.answered_at.map(Moment),
            ended_at: leg.ended.map(|(at, _)| Moment(at)),
            end: leg.ended.map(|(_, end)| end.word()),
        }
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::A => "a",
        Side::B => "b",
    }
}

/// A moment in UTC.
struct Moment(Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&times::utc(self.0))
    }
}

/// What a caller keyed.
struct Keys<'e>(&'e Keyed, Shown);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Shown::Whole => serializer.serialize_str(self.0.expose()),
            Shown::Masked => serializer.serialize_str("***"),
        }
    }
}
