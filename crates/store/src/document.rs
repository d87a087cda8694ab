//! How calls and events stand in their documents, and back: the same on every database.
//!
//! A party's number stands as `"<digits>"`, so that one number can be looked for whole ([`mention`]). Fields are only
//! ever added, each with a default: documents of earlier programs are read for as long as they are kept.

use std::time::Duration;

use callveil_domain::allocation::{
    Allocation, AllocationId, ConnectionId, Ending, Parties, Party, Side, Standing, Usage,
};
use callveil_domain::call::CallId;
use callveil_domain::calls::{
    CallEnd, CallLeg, CallRecord, CallStanding, Disconnector, LegEnd, Link, Reason, RecordingName,
};
use callveil_domain::event::{
    AllocationStep, CallStep, EventKind, Fact, Keyed, NumberLow, Rejected, Verified,
};
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::trunk::TrunkName;
use callveil_domain::virtual_number::FlowId;
use serde::{Deserialize, Serialize};

/// The document cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

type Read<T> = Result<T, Unreadable>;

/// How a number stands in a document in which it stands.
pub(crate) fn mention(number: PhoneNumber) -> String {
    format!("<{}>", number.expose_digits())
}

/// The document of a call.
pub(crate) fn write_call(call: &CallRecord) -> String {
    write(&CallDocument::from(call))
}

/// The call of a document.
pub(crate) fn read_call(text: &str) -> Read<CallRecord> {
    CallRecord::try_from(read::<CallDocument>(text)?)
}

/// The document of what happened.
pub(crate) fn write_fact(fact: &Fact) -> String {
    write(&FactDocument::from(fact))
}

/// What happened, by its kind and document.
pub(crate) fn read_fact(kind: &str, text: &str) -> Read<Fact> {
    let kind = EventKind::parse(kind).ok_or(Unreadable)?;
    fact(kind, read(text)?)
}

fn write<T: Serialize>(document: &T) -> String {
    serde_json::to_string(document).expect("law: documents have text keys and finite numbers alone")
}

fn read<'text, T: Deserialize<'text>>(text: &'text str) -> Read<T> {
    serde_json::from_str(text).map_err(|_| Unreadable)
}

/// A number of a party.
#[derive(Serialize, Deserialize)]
struct Mention(String);

impl From<PhoneNumber> for Mention {
    fn from(number: PhoneNumber) -> Mention {
        Mention(mention(number))
    }
}

impl Mention {
    fn number(&self) -> Read<PhoneNumber> {
        let digits = self.0.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).ok_or(Unreadable)?;
        digits.parse().ok().and_then(PhoneNumber::from_digits).ok_or(Unreadable)
    }
}

fn mentioned(mention: Option<Mention>) -> Read<Option<PhoneNumber>> {
    mention.map(|mention| mention.number()).transpose()
}

/// A virtual number is nobody's own, and stands as its digits.
fn virtual_number(digits: u64) -> Read<PhoneNumber> {
    PhoneNumber::from_digits(digits).ok_or(Unreadable)
}

fn id<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Read<T> {
    parse(text).ok_or(Unreadable)
}

#[derive(Serialize, Deserialize)]
struct CallDocument {
    id: String,
    tenant: String,
    node: String,
    virtual_number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<Mention>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trunk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<LinkDocument>,
    #[serde(default)]
    by_pin: bool,
    started_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<EndDocument>,
    legs: Vec<LegDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recording: Option<String>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct LinkDocument {
    allocation: String,
    connection: String,
    from: SideDocument,
    tags: [String; 2],
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SideDocument {
    A,
    B,
}

#[derive(Serialize, Deserialize)]
struct EndDocument {
    at: i64,
    how: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    by: String,
}

#[derive(Serialize, Deserialize)]
struct LegDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<Mention>,
    dialled_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rang_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<LegEndDocument>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LegEndDocument {
    Completed,
    Busy,
    NoAnswer,
    Failed(u16),
    Cancelled,
}

impl From<Side> for SideDocument {
    fn from(side: Side) -> SideDocument {
        match side {
            Side::A => SideDocument::A,
            Side::B => SideDocument::B,
        }
    }
}

impl From<SideDocument> for Side {
    fn from(side: SideDocument) -> Side {
        match side {
            SideDocument::A => Side::A,
            SideDocument::B => Side::B,
        }
    }
}

impl From<LegEnd> for LegEndDocument {
    fn from(end: LegEnd) -> LegEndDocument {
        match end {
            LegEnd::Completed => LegEndDocument::Completed,
            LegEnd::Busy => LegEndDocument::Busy,
            LegEnd::NoAnswer => LegEndDocument::NoAnswer,
            LegEnd::Failed(status) => LegEndDocument::Failed(status),
            LegEnd::Cancelled => LegEndDocument::Cancelled,
        }
    }
}

impl From<LegEndDocument> for LegEnd {
    fn from(end: LegEndDocument) -> LegEnd {
        match end {
            LegEndDocument::Completed => LegEnd::Completed,
            LegEndDocument::Busy => LegEnd::Busy,
            LegEndDocument::NoAnswer => LegEnd::NoAnswer,
            LegEndDocument::Failed(status) => LegEnd::Failed(status),
            LegEndDocument::Cancelled => LegEnd::Cancelled,
        }
    }
}

impl From<&CallRecord> for CallDocument {
    fn from(call: &CallRecord) -> CallDocument {
        let CallRecord {
            id,
            tenant,
            node,
            virtual_number,
            caller,
            trunk,
            link,
            by_pin,
            started_at,
            answered_at,
            standing,
            legs,
            recording,
            version,
        } = call;
        CallDocument {
            id: id.to_string(),
            tenant: tenant.to_string(),
            node: node.to_string(),
            virtual_number: virtual_number.expose_digits(),
            caller: caller.map(Mention::from),
            trunk: trunk.as_ref().map(ToString::to_string),
            link: link.as_ref().map(LinkDocument::from),
            by_pin: *by_pin,
            started_at: started_at.as_micros(),
            answered_at: answered_at.map(Timestamp::as_micros),
            ended: match standing {
                CallStanding::Open => None,
                CallStanding::Ended { at, how, by } => Some(EndDocument {
                    at: at.as_micros(),
                    how: how.word().to_owned(),
                    reason: how.reason().map(str::to_owned),
                    by: by.word().to_owned(),
                }),
            },
            legs: legs.iter().map(LegDocument::from).collect(),
            recording: recording.as_ref().map(ToString::to_string),
            version: *version,
        }
    }
}

impl TryFrom<CallDocument> for CallRecord {
    type Error = Unreadable;

    fn try_from(document: CallDocument) -> Read<CallRecord> {
        Ok(CallRecord {
            id: id(&document.id, CallId::parse)?,
            tenant: Sid::parse(&document.tenant).map_err(|_| Unreadable)?,
            node: id(&document.node, NodeId::parse)?,
            virtual_number: virtual_number(document.virtual_number)?,
            caller: mentioned(document.caller)?,
            trunk: document.trunk.map(|name| id(&name, TrunkName::parse)).transpose()?,
            link: document.link.map(Link::try_from).transpose()?,
            by_pin: document.by_pin,
            started_at: Timestamp::from_micros(document.started_at),
            answered_at: document.answered_at.map(Timestamp::from_micros),
            standing: document.ended.map_or(Ok(CallStanding::Open), CallStanding::try_from)?,
            legs: document.legs.into_iter().map(CallLeg::try_from).collect::<Read<_>>()?,
            recording: document.recording.map(|name| id(&name, RecordingName::parse)).transpose()?,
            version: document.version,
        })
    }
}

impl From<&Link> for LinkDocument {
    fn from(link: &Link) -> LinkDocument {
        let Link { allocation, connection, from, tags } = link;
        LinkDocument {
            allocation: allocation.to_string(),
            connection: connection.as_str().to_owned(),
            from: (*from).into(),
            tags: tags.clone(),
        }
    }
}

impl TryFrom<LinkDocument> for Link {
    type Error = Unreadable;

    fn try_from(document: LinkDocument) -> Read<Link> {
        Ok(Link {
            allocation: id(&document.allocation, AllocationId::parse)?,
            connection: ConnectionId::parse(&document.connection).map_err(|_| Unreadable)?,
            from: document.from.into(),
            tags: document.tags,
        })
    }
}

impl TryFrom<EndDocument> for CallStanding {
    type Error = Unreadable;

    fn try_from(document: EndDocument) -> Read<CallStanding> {
        let EndDocument { at, how, reason, by } = document;
        let how = match (how.as_str(), reason) {
            ("completed", None) => CallEnd::Completed,
            ("given-up", None) => CallEnd::GivenUp,
            ("not-answered", None) => CallEnd::NotAnswered,
            ("interrupted", None) => CallEnd::Interrupted,
            ("refused", Some(reason)) => CallEnd::Refused(id(&reason, Reason::parse)?),
            _ => return Err(Unreadable),
        };
        let by = match by.as_str() {
            "caller" => Disconnector::Caller,
            "callee" => Disconnector::Callee,
            "program" => Disconnector::Program,
            "network" => Disconnector::Network,
            _ => return Err(Unreadable),
        };
        Ok(CallStanding::Ended { at: Timestamp::from_micros(at), how, by })
    }
}

impl From<&CallLeg> for LegDocument {
    fn from(leg: &CallLeg) -> LegDocument {
        let CallLeg { number, dialled_at, rang_at, answered_at, ended } = leg;
        LegDocument {
            number: number.map(Mention::from),
            dialled_at: dialled_at.as_micros(),
            rang_at: rang_at.map(Timestamp::as_micros),
            answered_at: answered_at.map(Timestamp::as_micros),
            ended_at: ended.map(|(at, _)| at.as_micros()),
            end: ended.map(|(_, end)| end.into()),
        }
    }
}

impl TryFrom<LegDocument> for CallLeg {
    type Error = Unreadable;

    fn try_from(document: LegDocument) -> Read<CallLeg> {
        Ok(CallLeg {
            number: mentioned(document.number)?,
            dialled_at: Timestamp::from_micros(document.dialled_at),
            rang_at: document.rang_at.map(Timestamp::from_micros),
            answered_at: document.answered_at.map(Timestamp::from_micros),
            ended: document.ended_at.map(Timestamp::from_micros).zip(document.end.map(LegEnd::from)),
        })
    }
}

/// What happened; which fields are set goes by the kind.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct FactDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation: Option<AllocationDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<CallerDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<LowDocument>,
}

#[derive(Serialize, Deserialize)]
struct AllocationDocument {
    tenant: String,
    id: String,
    connection: String,
    virtual_number: u64,
    a: PartyDocument,
    b: PartyDocument,
    two_way: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow: Option<String>,
    exclusive: bool,
    created_at: i64,
    standing: StandingDocument,
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct PartyDocument {
    numbers: Vec<Mention>,
    pins: Vec<u64>,
    learned: Vec<Mention>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StandingDocument {
    Lent { expires_at: i64, cooling: u64 },
    Expired { at: i64, cooling_until: i64 },
    Released { at: i64, cooling_until: i64 },
}

/// A caller who keyed a pin, or none.
#[derive(Serialize, Deserialize)]
struct CallerDocument {
    call: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<Mention>,
    after: u64,
    keyed: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    side: Option<SideDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    virtual_number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct LowDocument {
    free: u32,
    of: u32,
}

impl From<&Fact> for FactDocument {
    fn from(fact: &Fact) -> FactDocument {
        match fact {
            Fact::Allocation { what: _, allocation, previous } => FactDocument {
                allocation: Some(allocation.as_ref().into()),
                previous: previous.map(PhoneNumber::expose_digits),
                ..FactDocument::default()
            },
            Fact::Call { what: _, call } => {
                FactDocument { call: Some(call.as_ref().into()), ..FactDocument::default() }
            }
            Fact::Verified(Verified { call, allocation, caller, pin, side, after }) => FactDocument {
                allocation: Some(allocation.as_ref().into()),
                caller: Some(CallerDocument {
                    call: call.to_string(),
                    number: caller.map(Mention::from),
                    after: *after,
                    keyed: pin.expose_value().to_string(),
                    side: Some((*side).into()),
                    virtual_number: None,
                    started_at: None,
                }),
                ..FactDocument::default()
            },
            Fact::Rejected(Rejected { call, virtual_number, caller, keyed, started_at, after }) => {
                FactDocument {
                    caller: Some(CallerDocument {
                        call: call.to_string(),
                        number: caller.map(Mention::from),
                        after: *after,
                        keyed: keyed.expose().to_owned(),
                        side: None,
                        virtual_number: Some(virtual_number.expose_digits()),
                        started_at: Some(started_at.as_micros()),
                    }),
                    ..FactDocument::default()
                }
            }
            Fact::NumberLow(NumberLow { free, of }) => {
                FactDocument { low: Some(LowDocument { free: *free, of: *of }), ..FactDocument::default() }
            }
        }
    }
}

fn fact(kind: EventKind, document: FactDocument) -> Read<Fact> {
    match kind {
        EventKind::AllocationCreated => allocation_fact(AllocationStep::Created, document),
        EventKind::AllocationUpdated => allocation_fact(AllocationStep::Updated, document),
        EventKind::AllocationNumberChanged => allocation_fact(AllocationStep::NumberChanged, document),
        EventKind::AllocationReleased => allocation_fact(AllocationStep::Released, document),
        EventKind::AllocationExpired => allocation_fact(AllocationStep::Expired, document),
        EventKind::CallStarted => call_fact(CallStep::Started, document),
        EventKind::CallRinging => call_fact(CallStep::Ringing, document),
        EventKind::CallAnswered => call_fact(CallStep::Answered, document),
        EventKind::CallCompleted => call_fact(CallStep::Completed, document),
        EventKind::CallRefused => call_fact(CallStep::Refused, document),
        EventKind::CallerVerified => verified(document),
        EventKind::CallerRejected => rejected(document),
        EventKind::NumberLow => {
            let LowDocument { free, of } = document.low.ok_or(Unreadable)?;
            Ok(Fact::NumberLow(NumberLow { free, of }))
        }
    }
}

fn allocation_fact(what: AllocationStep, document: FactDocument) -> Read<Fact> {
    Ok(Fact::Allocation {
        what,
        allocation: Box::new(document.allocation.ok_or(Unreadable)?.try_into()?),
        previous: document.previous.map(virtual_number).transpose()?,
    })
}

fn call_fact(what: CallStep, document: FactDocument) -> Read<Fact> {
    Ok(Fact::Call { what, call: Box::new(document.call.ok_or(Unreadable)?.try_into()?) })
}

fn verified(document: FactDocument) -> Read<Fact> {
    let CallerDocument { call, number, after, keyed, side, .. } = document.caller.ok_or(Unreadable)?;
    let pin = keyed.parse().ok().and_then(|value| Pin::from_value(value).ok());
    Ok(Fact::Verified(Verified {
        call: id(&call, CallId::parse)?,
        allocation: Box::new(document.allocation.ok_or(Unreadable)?.try_into()?),
        caller: mentioned(number)?,
        pin: pin.ok_or(Unreadable)?,
        side: side.ok_or(Unreadable)?.into(),
        after,
    }))
}

fn rejected(document: FactDocument) -> Read<Fact> {
    let caller = document.caller.ok_or(Unreadable)?;
    Ok(Fact::Rejected(Rejected {
        call: id(&caller.call, CallId::parse)?,
        virtual_number: virtual_number(caller.virtual_number.ok_or(Unreadable)?)?,
        caller: mentioned(caller.number)?,
        keyed: Keyed::new(&caller.keyed),
        started_at: Timestamp::from_micros(caller.started_at.ok_or(Unreadable)?),
        after: caller.after,
    }))
}

impl From<&Allocation> for AllocationDocument {
    fn from(allocation: &Allocation) -> AllocationDocument {
        let Allocation {
            id,
            tenant,
            connection,
            virtual_number,
            parties: Parties { a, b },
            usage,
            flow,
            exclusive,
            created_at,
            standing,
            version,
        } = allocation;
        AllocationDocument {
            tenant: tenant.to_string(),
            id: id.to_string(),
            connection: connection.as_str().to_owned(),
            virtual_number: virtual_number.expose_digits(),
            a: a.into(),
            b: b.into(),
            two_way: *usage == Usage::TwoWay,
            flow: flow.as_ref().map(ToString::to_string),
            exclusive: *exclusive,
            created_at: created_at.as_micros(),
            standing: match *standing {
                Standing::Lent { expires_at, cooling } => StandingDocument::Lent {
                    expires_at: expires_at.as_micros(),
                    cooling: u64::try_from(cooling.as_micros()).unwrap_or(u64::MAX),
                },
                Standing::Ended { at, cooling_until, how } => {
                    let (at, cooling_until) = (at.as_micros(), cooling_until.as_micros());
                    match how {
                        Ending::Expired => StandingDocument::Expired { at, cooling_until },
                        Ending::Released => StandingDocument::Released { at, cooling_until },
                    }
                }
            },
            version: *version,
        }
    }
}

impl TryFrom<AllocationDocument> for Allocation {
    type Error = Unreadable;

    fn try_from(document: AllocationDocument) -> Read<Allocation> {
        let moment = Timestamp::from_micros;
        let ended = |at, until, how| Standing::Ended { at: moment(at), cooling_until: moment(until), how };
        Ok(Allocation {
            id: id(&document.id, AllocationId::parse)?,
            tenant: Sid::parse(&document.tenant).map_err(|_| Unreadable)?,
            connection: ConnectionId::parse(&document.connection).map_err(|_| Unreadable)?,
            virtual_number: virtual_number(document.virtual_number)?,
            parties: Parties { a: document.a.try_into()?, b: document.b.try_into()? },
            usage: if document.two_way { Usage::TwoWay } else { Usage::OneWay },
            flow: document.flow.map(|flow| FlowId::parse(&flow).map_err(|_| Unreadable)).transpose()?,
            exclusive: document.exclusive,
            created_at: moment(document.created_at),
            standing: match document.standing {
                StandingDocument::Lent { expires_at, cooling } => {
                    Standing::Lent { expires_at: moment(expires_at), cooling: Duration::from_micros(cooling) }
                }
                StandingDocument::Expired { at, cooling_until } => ended(at, cooling_until, Ending::Expired),
                StandingDocument::Released { at, cooling_until } => {
                    ended(at, cooling_until, Ending::Released)
                }
            },
            version: document.version,
        })
    }
}

impl From<&Party> for PartyDocument {
    fn from(party: &Party) -> PartyDocument {
        let Party { numbers, pins, learned, tag } = party;
        let mentions = |numbers: &[PhoneNumber]| numbers.iter().copied().map(Mention::from).collect();
        PartyDocument {
            numbers: mentions(numbers),
            pins: pins.iter().map(|pin| pin.expose_value()).collect(),
            learned: mentions(learned),
            tag: tag.clone(),
        }
    }
}

impl TryFrom<PartyDocument> for Party {
    type Error = Unreadable;

    fn try_from(document: PartyDocument) -> Read<Party> {
        let numbers = |mentions: Vec<Mention>| mentions.iter().map(Mention::number).collect::<Read<_>>();
        let pins = document.pins.into_iter().map(|value| Pin::from_value(value).map_err(|_| Unreadable));
        Ok(Party {
            numbers: numbers(document.numbers)?,
            pins: pins.collect::<Read<_>>()?,
            learned: numbers(document.learned)?,
            tag: document.tag,
        })
    }
}
