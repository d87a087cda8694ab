//! Events: what a tenant is told of what happened, each owed in the same [`Change`] as the fact.
//!
//! An event is kept only when somebody wants it: an endpoint of the tenant, or the tenant's event stream. Its content
//! is the fact itself, typed; how it is told on a wire is decided where it is sent. Its id is derived from what it tells, so that
//! the same fact is never owed twice.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::allocation::{Allocation, AllocationId, Side};
use crate::call::CallId;
use crate::calls::CallRecord;
use crate::delivery::{Delivery, DeliveryWrite};
use crate::number::PhoneNumber;
use crate::pin::Pin;
use crate::store::Change;
use crate::tenant::{Sid, Tenant};
use crate::time::Timestamp;

/// Something that happened, to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id, the same in every delivery.
    pub id: EventId,
    /// Whom it is told.
    pub tenant: Sid,
    /// When it happened.
    pub at: Timestamp,
    /// What it is one of: the call, or else the allocation. Events of one line are told in the order of their sequence.
    pub line: Line,
    /// Its place in the line. Grows, with gaps.
    pub sequence: u64,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// To an allocation.
    Allocation {
        /// What.
        what: AllocationStep,
        /// The allocation as it is then.
        allocation: Box<Allocation>,
        /// The virtual number that it had before, when it has another.
        previous: Option<PhoneNumber>,
    },
    /// In a call.
    Call {
        /// What.
        what: CallStep,
        /// The call as it is then.
        call: Box<CallRecord>,
    },
    /// A caller keyed the right pin.
    Verified(Verified),
    /// A caller keyed no right pin.
    Rejected(Rejected),
    /// Hardly any virtual number is left for new allocations.
    NumberLow(NumberLow),
}

/// What happens to an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationStep {
    /// It was made.
    Created,
    /// Its parties were changed, or a caller joined.
    Updated,
    /// It has another virtual number.
    NumberChanged,
    /// The client ended it.
    Released,
    /// Its policy ended it.
    Expired,
}

/// What happens in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStep {
    /// It arrived.
    Started,
    /// A telephone rings.
    Ringing,
    /// The parties are connected.
    Answered,
    /// It ended.
    Completed,
    /// It was not let through.
    Refused,
}

/// A caller who keyed the right pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// In which call.
    pub call: CallId,
    /// The allocation that it opened.
    pub allocation: Box<Allocation>,
    /// The caller's number; `None` when it was withheld, or has been erased.
    pub caller: Option<PhoneNumber>,
    /// The pin.
    pub pin: Pin,
    /// The side that was joined.
    pub side: Side,
    /// The version of the call's record then.
    pub after: u64,
}

/// A call in which no right pin was keyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which call.
    pub call: CallId,
    /// The number that was dialled.
    pub virtual_number: PhoneNumber,
    /// The caller's number; `None` when it was withheld, or has been erased.
    pub caller: Option<PhoneNumber>,
    /// What was keyed last.
    pub keyed: Keyed,
    /// When the call arrived.
    pub started_at: Timestamp,
    /// The version of the call's record then.
    pub after: u64,
}

/// A pool in which hardly any number is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberLow {
    /// The numbers that would have served the parties of a request.
    pub free: u32,
    /// Of so many open ones.
    pub of: u32,
}

/// Keys that a caller pressed. Prints itself masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyed(String);

impl Keyed {
    /// What was pressed, at most 32 of it.
    pub fn new(keys: &str) -> Keyed {
        Keyed(keys.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '*' | '#')).take(32).collect())
    }

    /// The keys in clear, for the wire and the database.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed({} keys)", self.0.len())
    }
}

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// `allocation.created`
    AllocationCreated,
    /// `allocation.updated`
    AllocationUpdated,
    /// `allocation.number_changed`
    AllocationNumberChanged,
    /// `allocation.released`
    AllocationReleased,
    /// `allocation.expired`
    AllocationExpired,
    /// `call.started`
    CallStarted,
    /// `call.ringing`
    CallRinging,
    /// `call.answered`
    CallAnswered,
    /// `call.completed`
    CallCompleted,
    /// `call.refused`
    CallRefused,
    /// `caller.verified`
    CallerVerified,
    /// `caller.rejected`
    CallerRejected,
    /// `number.low`
    NumberLow,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 13] = [
        EventKind::AllocationCreated,
        EventKind::AllocationUpdated,
        EventKind::AllocationNumberChanged,
        EventKind::AllocationReleased,
        EventKind::AllocationExpired,
        EventKind::CallStarted,
        EventKind::CallRinging,
        EventKind::CallAnswered,
        EventKind::CallCompleted,
        EventKind::CallRefused,
        EventKind::CallerVerified,
        EventKind::CallerRejected,
        EventKind::NumberLow,
    ];

    /// Its name, as it is told.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::AllocationCreated => "allocation.created",
            EventKind::AllocationUpdated => "allocation.updated",
            EventKind::AllocationNumberChanged => "allocation.number_changed",
            EventKind::AllocationReleased => "allocation.released",
            EventKind::AllocationExpired => "allocation.expired",
            EventKind::CallStarted => "call.started",
            EventKind::CallRinging => "call.ringing",
            EventKind::CallAnswered => "call.answered",
            EventKind::CallCompleted => "call.completed",
            EventKind::CallRefused => "call.refused",
            EventKind::CallerVerified => "caller.verified",
            EventKind::CallerRejected => "caller.rejected",
            EventKind::NumberLow => "number.low",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Fact {
    /// What kind of event tells it.
    pub fn kind(&self) -> EventKind {
        match self {
            Fact::Allocation { what, .. } => match what {
                AllocationStep::Created => EventKind::AllocationCreated,
                AllocationStep::Updated => EventKind::AllocationUpdated,
                AllocationStep::NumberChanged => EventKind::AllocationNumberChanged,
                AllocationStep::Released => EventKind::AllocationReleased,
                AllocationStep::Expired => EventKind::AllocationExpired,
            },
            Fact::Call { what, .. } => match what {
                CallStep::Started => EventKind::CallStarted,
                CallStep::Ringing => EventKind::CallRinging,
                CallStep::Answered => EventKind::CallAnswered,
                CallStep::Completed => EventKind::CallCompleted,
                CallStep::Refused => EventKind::CallRefused,
            },
            Fact::Verified(_) => EventKind::CallerVerified,
            Fact::Rejected(_) => EventKind::CallerRejected,
            Fact::NumberLow(_) => EventKind::NumberLow,
        }
    }

    /// The allocation that it is about.
    pub fn allocation(&self) -> Option<AllocationId> {
        match self {
            Fact::Allocation { allocation, .. } | Fact::Verified(Verified { allocation, .. }) => {
                Some(allocation.id)
            }
            Fact::Call { call, .. } => call.link.as_ref().map(|link| link.allocation),
            Fact::Rejected(_) | Fact::NumberLow(_) => None,
        }
    }

    /// The call that it is about.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Fact::Call { call, .. } => Some(call.id),
            Fact::Verified(Verified { call, .. }) | Fact::Rejected(Rejected { call, .. }) => Some(*call),
            Fact::Allocation { .. } | Fact::NumberLow(_) => None,
        }
    }
}

impl Event {
    /// What kind of event it is.
    pub fn kind(&self) -> EventKind {
        self.fact.kind()
    }
}

/// What events are told in the order of: the call that they are of, or else the allocation, or else the tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(pub [u8; 16]);

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", Uuid::from_bytes(self.0))
    }
}

/// Names an event: a UUIDv7, so that ids sort by the time of what happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// The id of what happened at a moment in a line: what would be random in a UUIDv7 is drawn from what it tells.
    fn of(at: Timestamp, line: Line, kind: EventKind, sequence: u64) -> EventId {
        let digest = Sha256::new()
            .chain_update(line.0)
            .chain_update(kind.name())
            .chain_update(sequence.to_be_bytes())
            .finalize();
        let mut drawn = [0; 10];
        drawn.copy_from_slice(&digest[..10]);
        EventId(uuid::Builder::from_unix_timestamp_millis(at.as_millis(), &drawn).into_uuid())
    }

    /// Reads an id as clients send it back. Anything else is no id of ours.
    pub fn parse(text: &str) -> Option<EventId> {
        Uuid::try_parse(text).ok().map(EventId)
    }

    /// The id of these 16 bytes, as the database keeps it.
    pub fn from_bytes(bytes: [u8; 16]) -> EventId {
        EventId(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes, which sort by the time of what happened.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The least id that an event of `moment` can have: a bound for searches by time.
    pub fn least_at(moment: Timestamp) -> EventId {
        EventId::from_bytes(*AllocationId::least_at(moment).as_bytes())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The fact of what happened to an allocation.
pub(crate) fn told(what: AllocationStep, allocation: &Allocation) -> Fact {
    Fact::Allocation { what, allocation: Box::new(allocation.clone()), previous: None }
}

/// Owes a fact to everybody of the tenant who wants it, as part of a change.
pub(crate) fn owe(change: &mut Change, tenant: &Tenant, fact: Fact) {
    let listeners = tenant.endpoints.iter().filter(|endpoint| endpoint.wants(&fact));
    let listeners: Vec<_> = listeners.map(|endpoint| endpoint.id.clone()).collect();
    if listeners.is_empty() && !tenant.settings.event_stream {
        return;
    }
    let event = event(&tenant.sid, change.now, fact);
    let owed = |endpoint| DeliveryWrite::Owe(Delivery::of(&event, endpoint, change.now));
    change.deliveries.extend(listeners.into_iter().map(owed));
    change.events.push(event);
}

/// After so long nothing comes to light any more of what happened before: an event is dated by its decision, and waits for
/// its commit, for as long as a store tries one. Whoever follows events in their order stays so far behind.
pub const COME_TO_LIGHT: Duration = Duration::from_secs(20);

/// How long the tenant is not told again that its pool is low.
const LOW_AGAIN: i64 = 3_600_000_000;

fn event(tenant: &Sid, now: Timestamp, fact: Fact) -> Event {
    let of_tenant = || {
        let mut line = [0; 16];
        line.copy_from_slice(&Sha256::digest(tenant.as_str())[..16]);
        Line(line)
    };
    let (line, sequence, dated) = match &fact {
        Fact::Allocation { allocation, .. } => (Line(*allocation.id.as_bytes()), allocation.version, now),
        Fact::Call { call, .. } => (Line(*call.id.as_bytes()), 2 * call.version, now),
        // Between the steps of its call.
        Fact::Verified(Verified { call, after, .. }) | Fact::Rejected(Rejected { call, after, .. }) => {
            (Line(*call.as_bytes()), 2 * after + 1, now)
        }
        Fact::NumberLow(_) => {
            let hour = now.as_micros().div_euclid(LOW_AGAIN);
            (of_tenant(), hour.cast_unsigned(), Timestamp::from_micros(hour * LOW_AGAIN))
        }
    };
    let id = EventId::of(dated, line, fact.kind(), sequence);
    Event { id, tenant: tenant.clone(), at: now, line, sequence, fact }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_that_reads_back() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::parse("call.lost"), None);
    }

    #[test]
    fn the_id_of_a_fact_is_the_same_however_often_it_is_told() {
        let line = Line([7; 16]);
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let id = EventId::of(at, line, EventKind::CallStarted, 1);

        assert_eq!(EventId::of(at, line, EventKind::CallStarted, 1), id);
        assert_ne!(EventId::of(at, line, EventKind::CallStarted, 2), id);
        assert_ne!(EventId::of(at, line, EventKind::CallRinging, 1), id);
        assert!(EventId::least_at(at) <= id);
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn a_pool_is_told_to_be_low_once_an_hour() {
        let tenant = Sid::parse("acme").unwrap();
        let low = |micros| {
            event(&tenant, Timestamp::from_micros(micros), Fact::NumberLow(NumberLow { free: 1, of: 9 }))
        };

        assert_eq!(low(LOW_AGAIN).id, low(LOW_AGAIN + 1).id);
        assert_ne!(low(LOW_AGAIN).id, low(2 * LOW_AGAIN).id);
    }
}
