//! Call records: what became of each call, as a value that the driver of the call fills and the store keeps.
//!
//! A record is kept from the first moment on, so that a call which nobody ends is found and ended for it
//! ([`crate::live`]). Each step is one [`Change`] that carries the whole record and owes the event of it. A step that could not be kept
//! may be tried again: it is taken once.

use std::fmt;
use std::time::Duration;

use crate::Ctx;
use crate::allocation::{Allocation, AllocationId, ConnectionId, Side};
use crate::call::CallId;
use crate::event::{self, CallStep, Fact, Keyed, Rejected};
use crate::live::NodeId;
use crate::number::PhoneNumber;
use crate::routing::RefuseReason;
use crate::settings::Settings;
use crate::store::{Change, Conflict, Haste, Outcome, StoreError};
use crate::tenant::{Sid, Tenant};
use crate::time::Timestamp;
use crate::trunk::TrunkName;

/// What is known of a call, while it lasts and afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Its id.
    pub id: CallId,
    /// Whose virtual number was dialled.
    pub tenant: Sid,
    /// The node that has it.
    pub node: NodeId,
    /// The number that was dialled.
    pub virtual_number: PhoneNumber,
    /// The caller's number; `None` when it was withheld, or has been erased.
    pub caller: Option<PhoneNumber>,
    /// The trunk that it came by.
    pub trunk: Option<TrunkName>,
    /// The allocation that it belongs to, once one is known.
    pub link: Option<Link>,
    /// Whether the caller joined by pin in this call.
    pub by_pin: bool,
    /// When it arrived.
    pub started_at: Timestamp,
    /// When the two parties were connected, if they were.
    pub answered_at: Option<Timestamp>,
    /// Whether it lasts still.
    pub standing: CallStanding,
    /// The telephones that were rung, in the order in which they were.
    pub legs: Vec<CallLeg>,
    /// Its recording.
    pub recording: Option<RecordingName>,
    /// Counts its changes, beginning with 1.
    pub version: u64,
}

/// The allocation of a call, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which.
    pub allocation: AllocationId,
    /// The client's name for it.
    pub connection: ConnectionId,
    /// The side of the caller.
    pub from: Side,
    /// The words of its parties for events: A, B.
    pub tags: [String; 2],
}

impl Link {
    /// The link of a call from a side of an allocation.
    pub fn of(allocation: &Allocation, from: Side, settings: &Settings) -> Link {
        let tag = |side: Side, default: &String| {
            allocation.party(side).tag.clone().unwrap_or_else(|| default.clone())
        };
        Link {
            allocation: allocation.id,
            connection: allocation.connection.clone(),
            from,
            tags: [tag(Side::A, &settings.tags[0]), tag(Side::B, &settings.tags[1])],
        }
    }
}

/// Whether a call lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallStanding {
    /// It does.
    Open,
    /// It has ended.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        how: CallEnd,
        /// By whose doing.
        by: Disconnector,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The parties were connected, and then hung up.
    Completed,
    /// The caller hung up before anybody answered.
    GivenUp,
    /// Nobody answered; the legs tell why.
    NotAnswered,
    /// It was not let through.
    Refused(Reason),
    /// The node that had it came to an end, or lost it.
    Interrupted,
}

impl CallEnd {
    /// Its word, as filters and rows have it.
    pub fn word(&self) -> &'static str {
        match self {
            CallEnd::Completed => "completed",
            CallEnd::GivenUp => "given-up",
            CallEnd::NotAnswered => "not-answered",
            CallEnd::Refused(_) => "refused",
            CallEnd::Interrupted => "interrupted",
        }
    }

    /// Why it was not let through, if it was not.
    pub fn reason(&self) -> Option<&str> {
        match self {
            CallEnd::Refused(reason) => Some(reason.as_str()),
            CallEnd::Completed | CallEnd::GivenUp | CallEnd::NotAnswered | CallEnd::Interrupted => None,
        }
    }

    /// All words.
    pub const WORDS: [&str; 5] = ["completed", "given-up", "not-answered", "refused", "interrupted"];
}

/// Why a call was refused: a short word, `wrong-pin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Reads a reason: 1 to 32 lower-case letters and `-`.
    pub fn parse(text: &str) -> Option<Reason> {
        let fits = |c: u8| c.is_ascii_lowercase() || c == b'-';
        ((1..=32).contains(&text.len()) && text.bytes().all(fits)).then(|| Reason(text.to_owned()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<RefuseReason> for Reason {
    fn from(why: RefuseReason) -> Reason {
        let word = match why {
            RefuseReason::NotAVirtualNumber => "not-a-virtual-number",
            RefuseReason::Loop => "loop",
            RefuseReason::UnknownCaller => "unknown-caller",
            RefuseReason::Ended => "ended",
            RefuseReason::NoLongerAParty => "no-longer-a-party",
            RefuseReason::OneWay => "one-way",
            RefuseReason::WrongPin => "wrong-pin",
        };
        Reason(word.to_owned())
    }
}

/// By whose doing a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnector {
    /// The caller hung up.
    Caller,
    /// The called hung up, or did not answer.
    Callee,
    /// This program: a limit, an operator, a stop.
    Program,
    /// The network lost it.
    Network,
}

impl Disconnector {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Disconnector::Caller => "caller",
            Disconnector::Callee => "callee",
            Disconnector::Program => "program",
            Disconnector::Network => "network",
        }
    }
}

/// One telephone that was rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLeg {
    /// Its number; `None` when it has been erased.
    pub number: Option<PhoneNumber>,
    /// When dialling began.
    pub dialled_at: Timestamp,
    /// When it rang, if it did.
    pub rang_at: Option<Timestamp>,
    /// When it was answered, if it was.
    pub answered_at: Option<Timestamp>,
    /// When it ended and how, if it has.
    pub ended: Option<(Timestamp, LegEnd)>,
}

impl CallLeg {
    /// A leg that begins to be dialled.
    pub fn dialled(number: PhoneNumber, at: Timestamp) -> CallLeg {
        CallLeg { number: Some(number), dialled_at: at, rang_at: None, answered_at: None, ended: None }
    }
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEnd {
    /// It was answered, and then hung up.
    Completed,
    /// Busy.
    Busy,
    /// It rang, and nobody came.
    NoAnswer,
    /// It could not be reached: the last status of SIP.
    Failed(u16),
    /// It was called off: the caller gave up, or another was answered.
    Cancelled,
}

impl LegEnd {
    /// The word of the wire (`DialCallStatus`).
    pub fn word(self) -> &'static str {
        match self {
            LegEnd::Completed => "completed",
            LegEnd::Busy => "busy",
            LegEnd::NoAnswer => "no-answer",
            LegEnd::Failed(_) => "failed",
            LegEnd::Cancelled => "canceled",
        }
    }
}

/// The random name of a recording's file, which says nothing of the call: 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingName(String);

impl RecordingName {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<RecordingName> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let named = (1..=64).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('.');
        named.then(|| RecordingName(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of call it was, in the words of the wire (`CallType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallType {
    /// No telephone was rung.
    Attempt,
    /// The parties were connected.
    Completed,
    /// The caller hung up while a telephone rang.
    ClientHangup,
    /// Nobody picked up.
    Incomplete,
}

impl CallType {
    /// The word of the wire.
    pub fn word(self) -> &'static str {
        match self {
            CallType::Attempt => "call-attempt",
            CallType::Completed => "completed",
            CallType::ClientHangup => "client-hangup",
            CallType::Incomplete => "incomplete",
        }
    }
}

impl CallRecord {
    /// The record of a call that has just arrived.
    pub fn arrived(
        id: CallId,
        tenant: &Tenant,
        node: NodeId,
        virtual_number: PhoneNumber,
        caller: Option<PhoneNumber>,
        at: Timestamp,
    ) -> CallRecord {
        CallRecord {
            id,
            tenant: tenant.sid.clone(),
            node,
            virtual_number,
            caller,
            trunk: None,
            link: None,
            by_pin: false,
            started_at: at,
            answered_at: None,
            standing: CallStanding::Open,
            legs: Vec::new(),
            recording: None,
            version: 0,
        }
    }

    /// When it ended, if it has.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.standing {
            CallStanding::Open => None,
            CallStanding::Ended { at, .. } => Some(at),
        }
    }

    /// Ends it. Legs that nobody ended end with it.
    pub fn end(&mut self, at: Timestamp, how: CallEnd, by: Disconnector) {
        for leg in self.legs.iter_mut().filter(|leg| leg.ended.is_none()) {
            let end = if leg.answered_at.is_some() { LegEnd::Completed } else { LegEnd::Cancelled };
            leg.ended = Some((at, end));
        }
        self.standing = CallStanding::Ended { at, how, by };
    }

    /// The leg that answered, or else the last that was rung.
    pub fn called_leg(&self) -> Option<&CallLeg> {
        self.legs.iter().find(|leg| leg.answered_at.is_some()).or(self.legs.last())
    }

    /// The number that answered, or else the last that was rung.
    pub fn called(&self) -> Option<PhoneNumber> {
        self.called_leg().and_then(|leg| leg.number)
    }

    /// What kind of call it was.
    pub fn call_type(&self) -> CallType {
        if self.answered_at.is_some() {
            return CallType::Completed;
        }
        if self.legs.is_empty() {
            return CallType::Attempt;
        }
        match &self.standing {
            CallStanding::Ended { how: CallEnd::GivenUp, .. } => CallType::ClientHangup,
            CallStanding::Open | CallStanding::Ended { .. } => CallType::Incomplete,
        }
    }

    /// How long it lasted, from its arrival; zero while it lasts.
    pub fn duration(&self) -> Duration {
        self.ended_at().map(|at| at.since(self.started_at)).unwrap_or_default()
    }

    /// How long the parties talked.
    pub fn talked(&self) -> Duration {
        self.answered_at.zip(self.ended_at()).map(|(from, to)| to.since(from)).unwrap_or_default()
    }

    /// How long the second leg lasted, from the beginning of its dialling.
    pub fn dialled_for(&self) -> Duration {
        let leg = self.called_leg();
        leg.and_then(|leg| leg.ended.map(|(to, _)| to.since(leg.dialled_at))).unwrap_or_default()
    }

    /// How long the second leg rang.
    pub fn rang_for(&self) -> Duration {
        let leg = self.called_leg();
        let ends = leg.and_then(|leg| {
            let to = leg.answered_at.or(leg.ended.map(|(to, _)| to))?;
            Some(to.since(leg.rang_at?))
        });
        ends.unwrap_or_default()
    }

    /// Whether its number stands in it, as the caller's or as one that was rung.
    pub fn concerns(&self, number: PhoneNumber) -> bool {
        self.caller == Some(number) || self.legs.iter().any(|leg| leg.number == Some(number))
    }
}

/// Whether a step of a call was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was.
    Kept,
    /// The record was ended by another node, which took this one for dead, or has this step already.
    Superseded,
}

/// Keeps a call that has arrived and is not refused at once.
pub async fn opened(ctx: &Ctx<'_>, tenant: &Tenant, call: &mut CallRecord) -> Result<Kept, StoreError> {
    step(ctx, tenant, call, CallStep::Started).await
}

/// Keeps that a telephone rings.
pub async fn ringing(ctx: &Ctx<'_>, tenant: &Tenant, call: &mut CallRecord) -> Result<Kept, StoreError> {
    step(ctx, tenant, call, CallStep::Ringing).await
}

/// Keeps that the parties are connected; `answered_at` is set.
pub async fn answered(ctx: &Ctx<'_>, tenant: &Tenant, call: &mut CallRecord) -> Result<Kept, StoreError> {
    step(ctx, tenant, call, CallStep::Answered).await
}

/// Keeps the end of a call ([`CallRecord::end`]); one that was refused is told as `call.refused`.
pub async fn closed(ctx: &Ctx<'_>, tenant: &Tenant, call: &mut CallRecord) -> Result<Kept, StoreError> {
    step(ctx, tenant, call, last_step(call)).await
}

/// Keeps a change of the record that is no event: its allocation has become known, another telephone is rung.
pub async fn noted(ctx: &Ctx<'_>, call: &mut CallRecord) -> Result<Kept, StoreError> {
    let mut next = call.clone();
    next.version += 1;
    let mut change = unhurried(ctx);
    change.calls.push(next.clone());
    keep(ctx, change, call, next).await
}

/// The step that tells the end of a call.
pub(crate) fn last_step(call: &CallRecord) -> CallStep {
    match &call.standing {
        CallStanding::Ended { how: CallEnd::Refused(_), .. } => CallStep::Refused,
        CallStanding::Open | CallStanding::Ended { .. } => CallStep::Completed,
    }
}

/// Owes the event of a call in which no right pin was keyed.
pub async fn rejected(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    call: &CallRecord,
    keyed: Keyed,
) -> Result<(), StoreError> {
    let rejected = Rejected {
        call: call.id,
        virtual_number: call.virtual_number,
        caller: call.caller,
        keyed,
        started_at: call.started_at,
        after: call.version,
    };
    let mut change = Change::at(ctx.now);
    event::owe(&mut change, tenant, Fact::Rejected(rejected));
    if change.events.is_empty() {
        return Ok(());
    }
    match ctx.commit(change).await? {
        Outcome::Applied => Ok(()),
        Outcome::Refused(_) => unreachable!("law: an event alone meets no conflict"),
    }
}

async fn step(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    call: &mut CallRecord,
    what: CallStep,
) -> Result<Kept, StoreError> {
    let mut next = call.clone();
    next.version += 1;
    let mut change = unhurried(ctx);
    change.calls.push(next.clone());
    event::owe(&mut change, tenant, Fact::Call { what, call: Box::new(next.clone()) });
    keep(ctx, change, call, next).await
}

/// A change for which no call waits.
fn unhurried(ctx: &Ctx<'_>) -> Change {
    Change { haste: Haste::CanWait, ..Change::at(ctx.now) }
}

async fn keep(
    ctx: &Ctx<'_>,
    change: Change,
    call: &mut CallRecord,
    next: CallRecord,
) -> Result<Kept, StoreError> {
    match ctx.commit(change).await? {
        Outcome::Applied => {
            *call = next;
            Ok(Kept::Kept)
        }
        Outcome::Refused(Conflict::CallMoved(_)) => {
            // Kept by a try whose answer was lost, or ended by another node: the next step tells which.
            call.version = next.version;
            Ok(Kept::Superseded)
        }
        Outcome::Refused(
            Conflict::Held(_)
            | Conflict::Moved(_)
            | Conflict::Guard(_)
            | Conflict::Answered
            | Conflict::Directory(_)
            | Conflict::Sealed,
        ) => unreachable!("law: a call's record meets only its own conflict"),
    }
}
