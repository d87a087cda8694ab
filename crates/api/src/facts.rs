//! What happened, as clients see it: an event and what it tells of. A webhook of our own dialect says the same in
//! the same words; so does a call in the list of calls.

use callveil_domain::allocation::{Allocation, Ending, Party, Side, Standing, Usage};
use callveil_domain::calls::{CallLeg, CallRecord, CallStanding};
use callveil_domain::event::{Event, Fact, Keyed, NumberLow, Rejected, Verified};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::time::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::greenvn::{E164, WireUsage};
use crate::{ApiState, recordings, times};

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct WireEvent<'e> {
    /// Its id, the same in every delivery.
    #[schema(format = "uuid")]
    id: String,
    /// What kind of event it is.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "call.completed")]
    kind: &'static str,
    /// When it happened.
    timestamp: Moment,
    /// The tenant's SID.
    #[schema(value_type = String)]
    tenant: &'e str,
    /// Of the events of one call, or of one allocation, a later one has a greater sequence.
    #[schema(value_type = i64, minimum = 0)]
    sequence: u64,
    /// What it tells: of an allocation, a call, a caller or the pool, by the type.
    data: Data<'e>,
}

/// What an event tells.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = EventData)]
enum Data<'e> {
    /// Of an allocation.
    Allocation(Box<Lent<'e>>),
    /// Of a call.
    Call(Box<Call<'e>>),
    /// Of a caller who keyed the right pin.
    Verified(Box<VerifiedCaller<'e>>),
    /// Of a caller who keyed no right pin.
    Rejected(RejectedCaller<'e>),
    /// Of a pool in which hardly any number is left.
    Low(Low),
}

/// An allocation as it was then.
#[derive(Serialize, ToSchema)]
#[schema(as = EventAllocation)]
struct Lent<'e> {
    /// The allocation's id.
    #[schema(format = "uuid")]
    greenvn_id: String,
    /// The client's own name for it.
    #[schema(value_type = String)]
    connection_id: &'e str,
    /// The virtual number that is lent.
    greenvn: E164,
    /// Who may call.
    usage: WireUsage,
    /// Side A.
    a: WireParty<'e>,
    /// Side B.
    b: WireParty<'e>,
    /// `active`, `expired` or `released`.
    #[schema(value_type = String)]
    state: &'static str,
    /// When it was made.
    created_at: Moment,
    /// When it ends or ended; absent when it ends by itself never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ends_at: Option<Moment>,
    /// Until when its numbers are held after its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cooling_until: Option<Moment>,
    /// The virtual number that it had before, when it has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous_greenvn: Option<E164>,
}

/// One side of an allocation.
#[derive(Serialize, ToSchema)]
#[schema(as = EventParty)]
struct WireParty<'e> {
    /// Its numbers, in the order in which they ring. Those that joined by pin are not told.
    numbers: Vec<E164>,
    /// Its pins.
    pins: Vec<PinDigits>,
    /// The client's word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    tag: Option<&'e str>,
}

/// A call.
#[derive(Serialize, ToSchema)]
pub(crate) struct Call<'e> {
    /// Its id.
    #[schema(format = "uuid")]
    call_sid: String,
    /// The allocation that it belongs to, once one is known.
    #[schema(format = "uuid", required = true)]
    greenvn_id: Option<String>,
    /// The client's own name for that allocation.
    #[schema(value_type = Option<String>, required = true)]
    connection_id: Option<&'e str>,
    /// The virtual number that was dialled.
    greenvn: E164,
    /// The caller's number; null when it was withheld or has been erased.
    #[schema(required = true)]
    from: Option<E164>,
    /// The number that answered, or else the last one that was rung.
    #[schema(required = true)]
    to: Option<E164>,
    /// The caller's side, `a` or `b`.
    #[schema(value_type = Option<String>, required = true)]
    side: Option<&'static str>,
    /// Whether the caller joined by pin in this call.
    joined_by_pin: bool,
    /// When it arrived.
    started_at: Moment,
    /// When the parties were connected.
    #[schema(required = true)]
    answered_at: Option<Moment>,
    /// When it ended; null while it lasts.
    #[schema(required = true)]
    ended_at: Option<Moment>,
    /// How it ended: `completed`, `given-up`, `not-answered`, `refused`, `interrupted`; null while it lasts.
    #[schema(value_type = Option<String>, required = true)]
    end: Option<&'static str>,
    /// Why it was refused, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "one-way")]
    refused_because: Option<&'e str>,
    /// By whose doing it ended: `caller`, `callee`, `program`, `network`.
    #[schema(value_type = Option<String>, required = true)]
    ended_by: Option<&'static str>,
    /// How long the parties talked, in milliseconds.
    #[schema(value_type = i64, minimum = 0)]
    talk_ms: u64,
    /// Where its recording can be had for a while, if there is one.
    #[schema(value_type = Option<String>, required = true)]
    recording_url: Option<String>,
    /// The telephones that were rung, in the order in which they were.
    legs: Vec<Leg>,
}

/// One telephone that was rung.
#[derive(Serialize, ToSchema)]
#[schema(as = CallLeg)]
struct Leg {
    /// Its number; null when it has been erased.
    #[schema(required = true)]
    number: Option<E164>,
    /// When dialling began.
    dialled_at: Moment,
    /// When it rang.
    #[schema(required = true)]
    rang_at: Option<Moment>,
    /// When it was answered.
    #[schema(required = true)]
    answered_at: Option<Moment>,
    /// When it ended.
    #[schema(required = true)]
    ended_at: Option<Moment>,
    /// How it ended: `completed`, `busy`, `no-answer`, `failed`, `canceled`.
    #[schema(value_type = Option<String>, required = true)]
    end: Option<&'static str>,
}

/// A caller who keyed the right pin.
#[derive(Serialize, ToSchema)]
struct VerifiedCaller<'e> {
    /// In which call.
    #[schema(format = "uuid")]
    call_sid: String,
    /// The side that was joined, `a` or `b`.
    #[schema(value_type = String)]
    side: &'static str,
    /// The caller's number; null when it was withheld or has been erased.
    #[schema(required = true)]
    caller: Option<E164>,
    /// The pin.
    pin: PinDigits,
    /// The allocation that it opened.
    #[serde(flatten)]
    allocation: Lent<'e>,
}

/// A caller who keyed no right pin.
#[derive(Serialize, ToSchema)]
struct RejectedCaller<'e> {
    /// In which call.
    #[schema(format = "uuid")]
    call_sid: String,
    /// The virtual number that was dialled.
    greenvn: E164,
    /// The caller's number; null when it was withheld or has been erased.
    #[schema(required = true)]
    caller: Option<E164>,
    /// What was keyed last.
    #[schema(value_type = String)]
    keyed: &'e str,
    /// When the call arrived.
    started_at: Moment,
}

/// A pool in which hardly any number is left.
#[derive(Serialize, ToSchema)]
#[schema(as = PoolLow)]
struct Low {
    /// The numbers that would have served the parties of a request.
    free: u32,
    /// Of so many open ones.
    of: u32,
}

/// A moment in UTC, to the millisecond.
#[derive(ToSchema)]
#[schema(value_type = String, format = "date-time", example = "2026-11-30T10:54:33.123Z")]
pub(crate) struct Moment(pub Timestamp);

/// A pin as its digits.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]{1,15}$", example = "483920")]
struct PinDigits(Pin);

impl<'e> WireEvent<'e> {
    /// An event.
    pub fn of(api: &ApiState, event: &'e Event) -> WireEvent<'e> {
        WireEvent {
            id: event.id.to_string(),
            kind: event.kind().name(),
            timestamp: Moment(event.at),
            tenant: event.tenant.as_str(),
            sequence: event.sequence,
            data: Data::of(api, &event.fact),
        }
    }
}

impl<'e> Data<'e> {
    fn of(api: &ApiState, fact: &'e Fact) -> Data<'e> {
        match fact {
            Fact::Allocation { what: _, allocation, previous } => {
                Data::Allocation(Box::new(Lent::of(allocation, *previous)))
            }
            Fact::Call { what: _, call } => Data::Call(Box::new(Call::of(api, call))),
            Fact::Verified(Verified { call, allocation, caller, pin, side, after: _ }) => {
                Data::Verified(Box::new(VerifiedCaller {
                    call_sid: call.to_string(),
                    side: side_name(*side),
                    caller: caller.map(E164),
                    pin: PinDigits(*pin),
                    allocation: Lent::of(allocation, None),
                }))
            }
            Fact::Rejected(Rejected { call, virtual_number, caller, keyed, started_at, after: _ }) => {
                Data::Rejected(RejectedCaller {
                    call_sid: call.to_string(),
                    greenvn: E164(*virtual_number),
                    caller: caller.map(E164),
                    keyed: Keyed::expose(keyed),
                    started_at: Moment(*started_at),
                })
            }
            Fact::NumberLow(NumberLow { free, of }) => Data::Low(Low { free: *free, of: *of }),
        }
    }
}

impl<'e> Lent<'e> {
    fn of(allocation: &'e Allocation, previous: Option<PhoneNumber>) -> Lent<'e> {
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
        Lent {
            greenvn_id: allocation.id.to_string(),
            connection_id: allocation.connection.as_str(),
            greenvn: E164(allocation.virtual_number),
            usage: match allocation.usage {
                Usage::OneWay => WireUsage::OneWay,
                Usage::TwoWay => WireUsage::TwoWay,
            },
            a: WireParty::of(allocation.party(Side::A)),
            b: WireParty::of(allocation.party(Side::B)),
            state,
            created_at: Moment(allocation.created_at),
            ends_at: ends_at.map(Moment),
            cooling_until: cooling_until.map(Moment),
            previous_greenvn: previous.map(E164),
        }
    }
}

impl<'e> WireParty<'e> {
    fn of(party: &'e Party) -> WireParty<'e> {
        WireParty {
            numbers: party.numbers.iter().copied().map(E164).collect(),
            pins: party.pins.iter().copied().map(PinDigits).collect(),
            tag: party.tag.as_deref(),
        }
    }
}

impl<'e> Call<'e> {
    /// A call, with a new link to its recording.
    pub fn of(api: &ApiState, call: &'e CallRecord) -> Call<'e> {
        let link = call.link.as_ref();
        let (end, because, by) = match &call.standing {
            CallStanding::Open => (None, None, None),
            CallStanding::Ended { how, by, at: _ } => (Some(how.word()), how.reason(), Some(by.word())),
        };
        Call {
            call_sid: call.id.to_string(),
            greenvn_id: link.map(|link| link.allocation.to_string()),
            connection_id: link.map(|link| link.connection.as_str()),
            greenvn: E164(call.virtual_number),
            from: call.caller.map(E164),
            to: call.called().map(E164),
            side: link.map(|link| side_name(link.from)),
            joined_by_pin: call.by_pin,
            started_at: Moment(call.started_at),
            answered_at: call.answered_at.map(Moment),
            ended_at: call.ended_at().map(Moment),
            end,
            refused_because: because,
            ended_by: by,
            talk_ms: u64::try_from(call.talked().as_millis()).unwrap_or(u64::MAX),
            recording_url: call.recording.as_ref().and_then(|name| recordings::link(api, name, None)),
            legs: call.legs.iter().map(Leg::of).collect(),
        }
    }
}

impl Leg {
    fn of(leg: &CallLeg) -> Leg {
        Leg {
            number: leg.number.map(E164),
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

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&times::utc(self.0))
    }
}

impl Serialize for PinDigits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.expose_value())
    }
}
