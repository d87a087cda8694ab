//! One event of each kind, about people who do not exist: for trying an endpoint, for the documentation, and for tests.

use std::time::Duration;

use callveil_domain::allocation::{
    Allocation, AllocationId, ConnectionId, Ending, Parties, Party, Side, Standing, Usage,
};
use callveil_domain::call::CallId;
use callveil_domain::calls::{
    CallEnd, CallLeg, CallRecord, CallStanding, Disconnector, LegEnd, Link, Reason,
};
use callveil_domain::event::{
    AllocationStep, CallStep, Event, EventId, EventKind, Fact, Keyed, Line, NumberLow, Rejected, Verified,
};
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;

/// From the range that is kept for fiction, as all of them.
const CALLER: u64 = 12_025_550_101;
const CALLED: u64 = 12_025_550_102;
const STRANGER: u64 = 12_025_550_103;
const LENT: u64 = 12_025_550_198;
const LENT_BEFORE: u64 = 12_025_550_199;
const PIN: u64 = 483_920;

/// An event of this kind that happened at `now`. Its ids are the same every time.
pub fn event(kind: EventKind, tenant: &Sid, now: Timestamp) -> Event {
    let fact = fact(kind, tenant, now);
    let (line, sequence) = match (&fact, fact.call()) {
        (_, Some(call)) => (Line(*call.as_bytes()), 2),
        (Fact::Allocation { allocation, .. }, None) => (Line(*allocation.id.as_bytes()), allocation.version),
        (Fact::Call { .. } | Fact::Verified(_) | Fact::Rejected(_) | Fact::NumberLow(_), None) => {
            (Line([0; 16]), 1)
        }
    };
    Event {
        id: EventId::from_bytes(id(0xe0 + kind as u8)),
        tenant: tenant.clone(),
        at: now,
        line,
        sequence,
        fact,
    }
}

fn fact(kind: EventKind, tenant: &Sid, now: Timestamp) -> Fact {
    let allocation = |what, previous| Fact::Allocation {
        what,
        allocation: Box::new(allocation(what, tenant, now)),
        previous,
    };
    let call = |what| Fact::Call { what, call: Box::new(call(what, tenant, now)) };
    match kind {
        EventKind::AllocationCreated => allocation(AllocationStep::Created, None),
        EventKind::AllocationUpdated => allocation(AllocationStep::Updated, None),
        EventKind::AllocationNumberChanged => {
            allocation(AllocationStep::NumberChanged, Some(number(LENT_BEFORE)))
        }
        EventKind::AllocationReleased => allocation(AllocationStep::Released, None),
        EventKind::AllocationExpired => allocation(AllocationStep::Expired, None),
        EventKind::CallStarted => call(CallStep::Started),
        EventKind::CallRinging => call(CallStep::Ringing),
        EventKind::CallAnswered => call(CallStep::Answered),
        EventKind::CallCompleted => call(CallStep::Completed),
        EventKind::CallRefused => call(CallStep::Refused),
        EventKind::CallerVerified => Fact::Verified(Verified {
            call: CallId::from_bytes(id(2)),
            allocation: Box::new(self::allocation(AllocationStep::Updated, tenant, now)),
            caller: Some(number(STRANGER)),
            pin: pin(),
            side: Side::B,
            after: 1,
        }),
        EventKind::CallerRejected => Fact::Rejected(Rejected {
            call: CallId::from_bytes(id(2)),
            virtual_number: number(LENT),
            caller: Some(number(STRANGER)),
            keyed: Keyed::new("000000"),
            started_at: before(now, 20),
            after: 1,
        }),
        EventKind::NumberLow => Fact::NumberLow(NumberLow { free: 3, of: 200 }),
    }
}

fn allocation(what: AllocationStep, tenant: &Sid, now: Timestamp) -> Allocation {
    let ended = |how| Standing::Ended { at: now, cooling_until: now.plus(Duration::from_secs(3_600)), how };
    let (standing, version) = match what {
        AllocationStep::Expired => (ended(Ending::Expired), 2),
        AllocationStep::Released => (ended(Ending::Released), 2),
        AllocationStep::Created => (lent(now), 1),
        AllocationStep::Updated | AllocationStep::NumberChanged => (lent(now), 2),
    };
    Allocation {
        id: AllocationId::from_bytes(id(1)),
        tenant: tenant.clone(),
        connection: connection(),
        virtual_number: number(LENT),
        parties: Parties {
            a: Party { numbers: vec![number(CALLER)], ..Party::default() },
            b: Party { numbers: vec![number(CALLED)], pins: vec![pin()], ..Party::default() },
        },
        usage: Usage::TwoWay,
        flow: None,
        exclusive: false,
        created_at: if version == 1 { now } else { before(now, 86_400) },
        standing,
        version,
    }
}

fn lent(now: Timestamp) -> Standing {
    Standing::Lent {
        expires_at: now.plus(Duration::from_secs(2 * 86_400)),
        cooling: Duration::from_secs(3_600),
    }
}

/// A call that rang for four seconds and a half, and whose parties talked for 27 seconds.
fn call(what: CallStep, tenant: &Sid, now: Timestamp) -> CallRecord {
    let (arrived, dialled, rang, answered) =
        (before(now, 33), before(now, 32), before(now, 31), before(now, 27));
    let mut call = CallRecord {
        id: CallId::from_bytes(id(2)),
        tenant: tenant.clone(),
        node: NodeId::from_bytes(id(3)),
        virtual_number: number(LENT),
        caller: Some(number(CALLER)),
        trunk: None,
        link: Some(Link {
            allocation: AllocationId::from_bytes(id(1)),
            connection: connection(),
            from: Side::A,
            tags: ["aparty".to_owned(), "bparty".to_owned()],
        }),
        by_pin: false,
        started_at: arrived,
        answered_at: None,
        standing: CallStanding::Open,
        legs: Vec::new(),
        recording: None,
        version: 1,
    };
    if what == CallStep::Refused {
        call.link = Some(Link {
            allocation: AllocationId::from_bytes(id(1)),
            connection: connection(),
            from: Side::B,
            tags: ["aparty".to_owned(), "bparty".to_owned()],
        });
        call.caller = Some(number(CALLED));
        let why = Reason::parse("one-way").expect("law: the word is a reason");
        call.standing =
            CallStanding::Ended { at: now, how: CallEnd::Refused(why), by: Disconnector::Program };
        return call;
    }
    if what != CallStep::Started {
        let mut leg = CallLeg::dialled(number(CALLED), dialled);
        leg.rang_at = Some(rang.minus(Duration::from_millis(580)));
        call.legs.push(leg);
    }
    if matches!(what, CallStep::Answered | CallStep::Completed) {
        call.answered_at = Some(answered);
        call.legs[0].answered_at = Some(answered);
    }
    if what == CallStep::Completed {
        call.legs[0].ended = Some((now, LegEnd::Completed));
        call.end(now, CallEnd::Completed, Disconnector::Caller);
    }
    call
}

fn connection() -> ConnectionId {
    ConnectionId::parse("order-1001").expect("law: the word is a connection id")
}

fn number(digits: u64) -> PhoneNumber {
    PhoneNumber::from_digits(digits).expect("law: eleven digits are a number")
}

fn pin() -> Pin {
    Pin::from_value(PIN).expect("law: six digits are a pin")
}

fn before(now: Timestamp, seconds: u64) -> Timestamp {
    now.minus(Duration::from_secs(seconds))
}

/// In the form of a UUIDv7, and plainly nobody's.
fn id(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, last]
}
