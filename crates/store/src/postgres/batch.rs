//! Many changes as one: the columns of what they write, the statements that write them, and what the answers mean for
//! each change.
//!
//! The changes of a batch have nothing to do with each other: no two touch the same key, allocation or receipt. So each
//! statement does its part for all of them at once, and what it did not do for one says nothing of another.

use std::collections::{HashMap, HashSet};

use callveil_domain::allocation::{Allocation, AllocationId, Side};
use callveil_domain::audit::AuditEntry;
use callveil_domain::call::CallId;
use callveil_domain::calls::CallRecord;
use callveil_domain::delivery::{Delivery, DeliveryKey, DeliveryWrite};
use callveil_domain::event::Event;
use callveil_domain::number::PhoneNumber;
use callveil_domain::receipt::Receipt;
use callveil_domain::store::{AllocationWrite, Change, Claim, ClaimKey, Conflict, Guard};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::{FlowId, Lending};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::facts;
use super::fault::Fault;
use super::rows::{self, Cells};
use super::session::{Asked, Session, Value, pipelined};
use super::statements::{self as sql, Sql};
use crate::encoding::{self, Ends, Place, digits, write_numbers, write_pins};

/// What a change reads or writes, of which no other change of its batch may write it too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Touched {
    Key(ClaimKey),
    PinsOn(PhoneNumber),
    Allocation(AllocationId),
    Receipt(Sid, String, String),
    Call(CallId),
    Delivery(DeliveryKey),
}

/// What the changes of a batch touch.
#[derive(Debug, Default)]
pub(super) struct Touches {
    read: HashSet<Touched>,
    written: HashSet<Touched>,
}

impl Touches {
    /// Adds what a change touches, if it has nothing to do with what was added before.
    pub(super) fn admit(&mut self, change: &Change) -> bool {
        let (read, written) = touched(change);
        let apart = read.iter().all(|t| !self.written.contains(t))
            && written.iter().all(|t| !self.written.contains(t) && !self.read.contains(t));
        if apart {
            self.read.extend(read);
            self.written.extend(written);
        }
        apart
    }
}

fn touched(change: &Change) -> (Vec<Touched>, Vec<Touched>) {
    let Change { guards, allocations, take, cool, receipt, calls, hangups, deliveries, .. } = change;
    let (mut read, mut written) = (Vec::new(), Vec::new());
    for guard in guards {
        match guard {
            Guard::Lendable { .. } => {}
            Guard::Shared { virtual_number } => {
                read.push(Touched::Key(ClaimKey::Whole { virtual_number: *virtual_number }));
            }
            Guard::PinRoom { virtual_number, .. } => read.push(Touched::PinsOn(*virtual_number)),
        }
    }
    written.extend(allocations.iter().map(|write| Touched::Allocation(written_of(write).id)));
    for claim in take.iter().chain(cool) {
        if let ClaimKey::Pin { virtual_number, .. } = claim.key {
            written.push(Touched::PinsOn(virtual_number));
        }
        written.push(Touched::Key(claim.key.clone()));
    }
    written
        .extend(receipt.iter().map(|r| Touched::Receipt(r.tenant.clone(), r.scope.clone(), r.key.clone())));
    written.extend(calls.iter().map(|call| Touched::Call(call.id)));
    written.extend(hangups.iter().map(|(_, call)| Touched::Call(*call)));
    written.extend(deliveries.iter().map(|write| Touched::Delivery(owed_of(write).key.clone())));
    // A change may well read what it writes, and write in two ways what it writes.
    (read, written)
}

fn written_of(write: &AllocationWrite) -> &Allocation {
    match write {
        AllocationWrite::Insert(allocation) | AllocationWrite::Update(allocation) => allocation,
    }
}

fn owed_of(write: &DeliveryWrite) -> &Delivery {
    match write {
        DeliveryWrite::Owe(delivery) | DeliveryWrite::Again(delivery) => delivery,
    }
}

/// Whether a change can be written beside others. Those that cannot are few: of the directory, of the audit's chain,
/// and of what is to be forgotten.
pub(super) fn is_ordinary(change: &Change) -> bool {
    let Change { directory, seal, redact, forget, .. } = change;
    directory.is_empty() && seal.is_none() && redact.is_empty() && forget.is_none()
}

/// Whether all of them can.
pub(super) fn are_ordinary(changes: &[&Change]) -> bool {
    changes.iter().all(|change| is_ordinary(change))
}

/// A statement and the values of its parameters.
struct Step<'b> {
    part: Part,
    sql: &'static Sql,
    values: Vec<Box<dyn ToSql + Sync + Send + 'b>>,
}

/// What a statement's rows tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Numbers,
    Receipts,
    Written,
    Wholes,
    Taken,
    TakenConnections,
    PinsHeld,
    Calls,
    Nothing,
}

/// Does everything that these changes want, in a transaction that has begun, and tells of each whether it fits. When
/// one does not, all must be undone.
pub(super) async fn write(
    session: &Session,
    changes: &[&Change],
    note: &Note<'_>,
) -> Result<Vec<Option<Conflict>>, Fault> {
    let steps = steps(changes, note);
    for step in &steps {
        session.prepare(step.sql).await?;
    }
    let values: Vec<Vec<Value<'_>>> =
        steps.iter().map(|step| step.values.iter().map(|value| &**value as Value<'_>).collect()).collect();
    let asked = steps
        .iter()
        .zip(&values)
        .map(|(step, values)| -> Asked<'_> { Box::pin(session.query(step.sql, values)) });
    let begin = match are_ordinary(changes) {
        true => sql::BEGIN,
        false => sql::BEGIN_LONG,
    };
    let mut begun: Vec<Asked<'_>> = vec![Box::pin(async {
        session.run(begin).await?;
        Ok(Vec::new())
    })];
    begun.extend(asked);
    let mut answers = pipelined(begun).await.into_iter();
    // The first failure is the reason of all that follow it.
    answers.next().transpose()?;
    let mut found = Found::default();
    for (step, rows) in steps.iter().zip(answers) {
        found.note(step.part, &rows?)?;
    }
    Ok(changes.iter().map(|change| found.judge(change).err()).collect())
}

/// By which a batch is found again.
pub(super) struct Note<'w> {
    pub(super) writer: &'w [u8],
    pub(super) batch: i64,
}

/// The statements of a batch, without those that would do nothing.
fn steps<'b>(changes: &'b [&'b Change], note: &'b Note<'b>) -> Vec<Step<'b>> {
    let mut steps = Vec::new();
    let mut step = |part, sql, values| steps.push(Step { part, sql, values });
    let now = changes.iter().map(|c| c.now).min().unwrap_or(Timestamp::EPOCH).as_micros();
    let latest = changes.iter().map(|c| c.now).max().unwrap_or(Timestamp::EPOCH).as_micros();

    let Locks { whole, shared, counted } = Locks::of(changes);
    if !whole.is_empty() {
        step(Part::Numbers, &sql::LOCK_NUMBERS, values![whole]);
    }
    if !shared.is_empty() {
        step(Part::Numbers, &sql::HOLD_NUMBERS, values![shared.clone()]);
    }
    let receipts: Vec<&Receipt> = changes.iter().filter_map(|c| c.receipt.as_ref()).collect();
    if !receipts.is_empty() {
        step(Part::Receipts, &sql::KEEP_RECEIPTS, receipt_columns(&receipts));
    }
    let writes = || changes.iter().flat_map(|c| &c.allocations);
    let inserted = writes().filter_map(|write| match write {
        AllocationWrite::Insert(allocation) => Some(allocation),
        AllocationWrite::Update(_) => None,
    });
    let updated = writes().filter_map(|write| match write {
        AllocationWrite::Update(allocation) => Some(allocation),
        AllocationWrite::Insert(_) => None,
    });
    for (allocations, sql) in [
        (inserted.collect::<Vec<_>>(), &sql::INSERT_ALLOCATIONS),
        (updated.collect::<Vec<_>>(), &sql::UPDATE_ALLOCATIONS),
    ] {
        if !allocations.is_empty() {
            step(Part::Written, sql, allocation_columns(&allocations));
        }
    }
    let asked_whole: Vec<i64> = shared_guards(changes).collect();
    if !asked_whole.is_empty() {
        step(Part::Wholes, &sql::WHOLE_CLAIMS, values![asked_whole, now]);
    }
    if !counted.is_empty() {
        step(Part::Nothing, &sql::ENTER_PIN_ROOMS, values![counted]);
    }
    let take = ClaimColumns::of(changes.iter().flat_map(|c| &c.take));
    let cool = ClaimColumns::of(changes.iter().flat_map(|c| &c.cool));
    if !take.kinds.is_empty() && !cool.kinds.is_empty() {
        let both = ClaimColumns::of(changes.iter().flat_map(|c| c.take.iter().chain(&c.cool)));
        step(Part::Nothing, &sql::LOCK_CLAIMS, values![both.kinds, both.keys, both.numbers]);
        if !both.tenants.is_empty() {
            step(Part::Nothing, &sql::LOCK_CONNECTIONS, values![both.tenants, both.connections]);
        }
    }
    if !take.kinds.is_empty() {
        step(Part::Taken, &sql::TAKE, take.on_numbers(now));
    }
    if !take.tenants.is_empty() {
        step(Part::TakenConnections, &sql::TAKE_CONNECTIONS, take.of_connections(now));
    }
    if !cool.kinds.is_empty() {
        step(Part::Nothing, &sql::COOL, cool.on_numbers(None));
    }
    if !cool.tenants.is_empty() {
        step(Part::Nothing, &sql::COOL_CONNECTIONS, cool.of_connections(None));
    }
    let rooms: Vec<(i64, &[u8], i64)> = changes
        .iter()
        .flat_map(|c| c.guards.iter().map(move |guard| (guard, c.now.as_micros())))
        .filter_map(|(guard, now)| match guard {
            Guard::PinRoom { virtual_number, allocation, others: _ } => {
                Some((digits(*virtual_number), allocation.as_bytes().as_slice(), now))
            }
            Guard::Lendable { .. } | Guard::Shared { .. } => None,
        })
        .collect();
    if !rooms.is_empty() {
        let numbers: Vec<i64> = rooms.iter().map(|room| room.0).collect();
        let own: Vec<&[u8]> = rooms.iter().map(|room| room.1).collect();
        let nows: Vec<i64> = rooms.iter().map(|room| room.2).collect();
        step(Part::PinsHeld, &sql::COUNT_OTHERS_PINS, values![numbers, own, nows]);
    }
    happened(changes, &mut step);
    step(Part::Nothing, &sql::NOTE_BATCH, values![note.writer, note.batch, latest]);
    steps
}

/// The statements for what happened.
fn happened<'b>(changes: &'b [&'b Change], step: &mut impl FnMut(Part, &'static Sql, Columns<'b>)) {
    let calls: Vec<&CallRecord> = changes.iter().flat_map(|c| &c.calls).collect();
    if !calls.is_empty() {
        step(Part::Calls, &sql::PUT_CALLS, facts::call_columns(&calls));
    }
    let hangups: Vec<&(Sid, CallId)> = changes.iter().flat_map(|c| &c.hangups).collect();
    if !hangups.is_empty() {
        step(Part::Nothing, &sql::REQUEST_HANGUPS, facts::hangup_columns(&hangups));
    }
    let events: Vec<&Event> = changes.iter().flat_map(|c| &c.events).collect();
    if !events.is_empty() {
        step(Part::Nothing, &sql::PUT_EVENTS, facts::event_columns(&events));
    }
    let (mut owed, mut again) = (Vec::new(), Vec::new());
    for write in changes.iter().flat_map(|c| &c.deliveries) {
        match write {
            DeliveryWrite::Owe(delivery) => owed.push(delivery),
            DeliveryWrite::Again(delivery) => again.push(delivery),
        }
    }
    for (deliveries, sql) in [(owed, &sql::OWE_DELIVERIES), (again, &sql::OWE_DELIVERIES_AGAIN)] {
        if !deliveries.is_empty() {
            step(Part::Nothing, sql, facts::delivery_columns(&deliveries));
        }
    }
    let audit: Vec<&AuditEntry> = changes.iter().flat_map(|c| &c.audit).collect();
    if !audit.is_empty() {
        step(Part::Nothing, &sql::PUT_AUDIT, facts::audit_columns(&audit));
    }
}

fn shared_guards<'b>(changes: &'b [&'b Change]) -> impl Iterator<Item = i64> + 'b {
    changes.iter().flat_map(|c| &c.guards).filter_map(|guard| match guard {
        Guard::Shared { virtual_number } => Some(digits(*virtual_number)),
        Guard::Lendable { .. } | Guard::PinRoom { .. } => None,
    })
}

/// Which virtual numbers a batch locks, and how.
struct Locks {
    /// Nobody else lends them meanwhile.
    whole: Vec<i64>,
    /// They stay what they are meanwhile.
    shared: Vec<i64>,
    /// Nobody else counts their pins meanwhile.
    counted: Vec<i64>,
}

impl Locks {
    fn of(changes: &[&Change]) -> Locks {
        let (mut whole, mut shared, mut counted) = (HashSet::new(), HashSet::new(), HashSet::new());
        for change in changes {
            whole.extend(change.take.iter().filter_map(|claim| match claim.key {
                ClaimKey::Whole { virtual_number } => Some(digits(virtual_number)),
                ClaimKey::Number { .. } | ClaimKey::Pin { .. } | ClaimKey::Connection { .. } => None,
            }));
            for guard in &change.guards {
                match guard {
                    Guard::Lendable { virtual_number, .. } | Guard::Shared { virtual_number } => {
                        shared.insert(digits(*virtual_number));
                    }
                    Guard::PinRoom { virtual_number, .. } => {
                        counted.insert(digits(*virtual_number));
                    }
                }
            }
        }
        shared.retain(|number| !whole.contains(number));
        let listed = |set: HashSet<i64>| set.into_iter().collect();
        Locks { whole: listed(whole), shared: listed(shared), counted: listed(counted) }
    }
}

/// The values of a statement's parameters, each a column of a batch.
pub(super) type Columns<'b> = Vec<Box<dyn ToSql + Sync + Send + 'b>>;

fn receipt_columns<'b>(receipts: &[&'b Receipt]) -> Columns<'b> {
    let of = |text: fn(&Receipt) -> &str| receipts.iter().map(|r| text(r)).collect::<Vec<&str>>();
    values![
        of(|r| r.tenant.as_str()),
        of(|r| &r.scope),
        of(|r| &r.key),
        receipts.iter().map(|r| r.fingerprint.as_slice()).collect::<Vec<_>>(),
        receipts.iter().map(|r| r.status.cast_signed()).collect::<Vec<_>>(),
        receipts.iter().map(|r| r.body.as_slice()).collect::<Vec<_>>(),
        receipts.iter().map(|r| r.made_at.as_micros()).collect::<Vec<_>>(),
    ]
}

/// The columns of allocations, in the order of `allocation_columns!`.
pub(super) fn allocation_columns<'b>(allocations: &[&'b Allocation]) -> Columns<'b> {
    fn each<'b, T>(allocations: &[&'b Allocation], cell: impl Fn(&'b Allocation) -> T) -> Vec<T> {
        allocations.iter().map(|allocation| cell(allocation)).collect()
    }
    let ends = each(allocations, |a| Ends::of(a.standing));
    let mut columns = values![
        each(allocations, |a| a.tenant.as_str()),
        each(allocations, |a| a.id.as_bytes().as_slice()),
        each(allocations, |a| a.connection.as_str()),
        each(allocations, |a| digits(a.virtual_number)),
    ];
    for side in Side::BOTH {
        columns.extend(values![
            each(allocations, |a| write_numbers(&a.party(side).numbers)),
            each(allocations, |a| write_pins(&a.party(side).pins)),
            each(allocations, |a| write_numbers(&a.party(side).learned)),
            each(allocations, |a| a.party(side).tag.as_deref()),
        ]);
    }
    columns.extend(values![
        each(allocations, |a| encoding::usage_code(a.usage)),
        each(allocations, |a| a.flow.as_ref().map(FlowId::as_str)),
        each(allocations, |a| a.exclusive),
        each(allocations, |a| a.created_at.as_micros()),
        ends.iter().map(|e| e.expires_at).collect::<Vec<_>>(),
        ends.iter().map(|e| e.cooling).collect::<Vec<_>>(),
        ends.iter().map(|e| e.ended_at).collect::<Vec<_>>(),
        ends.iter().map(|e| e.cooling_until).collect::<Vec<_>>(),
        ends.iter().map(|e| e.ending).collect::<Vec<_>>(),
        each(allocations, |a| a.version.cast_signed()),
    ]);
    columns
}

/// The columns of claims: on numbers, and of connections.
#[derive(Default)]
struct ClaimColumns<'b> {
    kinds: Vec<i16>,
    keys: Vec<i64>,
    numbers: Vec<i64>,
    holders: Vec<&'b [u8]>,
    until: Vec<i64>,
    tenants: Vec<&'b str>,
    connections: Vec<&'b str>,
    connection_holders: Vec<&'b [u8]>,
    connections_until: Vec<i64>,
}

impl<'b> ClaimColumns<'b> {
    fn of(claims: impl Iterator<Item = &'b Claim>) -> ClaimColumns<'b> {
        let mut columns = ClaimColumns::default();
        for Claim { key, allocation, held_until } in claims {
            match Place::of(key) {
                Place::OnNumber { kind, key, virtual_number } => {
                    columns.kinds.push(kind);
                    columns.keys.push(key);
                    columns.numbers.push(virtual_number);
                    columns.holders.push(allocation.as_bytes());
                    columns.until.push(held_until.as_micros());
                }
                Place::Connection { tenant, connection } => {
                    columns.tenants.push(tenant);
                    columns.connections.push(connection);
                    columns.connection_holders.push(allocation.as_bytes());
                    columns.connections_until.push(held_until.as_micros());
                }
            }
        }
        columns
    }

    fn on_numbers(&self, now: impl Into<Option<i64>>) -> Columns<'b> {
        let mut columns = values![
            self.kinds.clone(),
            self.keys.clone(),
            self.numbers.clone(),
            self.holders.clone(),
            self.until.clone(),
        ];
        columns.extend(now.into().into_iter().flat_map(|now: i64| values![now]));
        columns
    }

    fn of_connections(&self, now: impl Into<Option<i64>>) -> Columns<'b> {
        let mut columns = values![
            self.tenants.clone(),
            self.connections.clone(),
            self.connection_holders.clone(),
            self.connections_until.clone(),
        ];
        columns.extend(now.into().into_iter().flat_map(|now: i64| values![now]));
        columns
    }
}

/// What the statements found and did.
#[derive(Default)]
struct Found {
    numbers: HashMap<PhoneNumber, (Sid, Lending)>,
    receipts: HashSet<(String, String, String)>,
    written: HashSet<AllocationId>,
    wholes: HashMap<PhoneNumber, AllocationId>,
    taken: HashSet<ClaimKey>,
    /// How many pins others than this allocation hold on a number; nothing for none.
    pins_held: HashMap<(PhoneNumber, AllocationId), i64>,
    calls: HashSet<CallId>,
}

impl Found {
    fn note(&mut self, part: Part, rows: &[Row]) -> Result<(), Fault> {
        for row in rows {
            let mut cells = Cells::from(row, 0);
            match part {
                Part::Numbers => {
                    let number = cells.number()?;
                    let standing = (cells.sid()?, encoding::lending(cells.take()?)?);
                    self.numbers.insert(number, standing);
                }
                Part::Receipts => {
                    self.receipts.insert((cells.take()?, cells.take()?, cells.take()?));
                }
                Part::Written => {
                    self.written.insert(cells.allocation_id()?);
                }
                Part::Wholes => {
                    self.wholes.insert(cells.number()?, cells.allocation_id()?);
                }
                Part::Taken => {
                    self.taken.insert(rows::key(&mut cells)?);
                }
                Part::TakenConnections => {
                    self.taken.insert(rows::connection_key(&mut cells)?);
                }
                Part::PinsHeld => {
                    self.pins_held.insert((cells.number()?, cells.allocation_id()?), cells.take()?);
                }
                Part::Calls => {
                    self.calls.insert(CallId::from_bytes(cells.bytes()?));
                }
                Part::Nothing => {}
            }
        }
        Ok(())
    }

    /// Whether a change fits, asked in the order that the contract gives to its reasons.
    fn judge(&self, change: &Change) -> Result<(), Conflict> {
        let Change { guards, allocations, take, receipt, calls, .. } = change;
        if let Some(Receipt { tenant, scope, key, .. }) = receipt
            && !self.receipts.contains(&(tenant.as_str().to_owned(), scope.clone(), key.clone()))
        {
            return Err(Conflict::Answered);
        }
        let moved =
            allocations.iter().map(|write| written_of(write).id).find(|id| !self.written.contains(id));
        if let Some(id) = moved {
            return Err(Conflict::Moved(id));
        }
        for guard in guards {
            if !self.holds_before_claims(guard, change) {
                return Err(Conflict::Guard(guard.clone()));
            }
        }
        if let Some(claim) = take.iter().find(|claim| !self.taken.contains(&claim.key)) {
            return Err(Conflict::Held(claim.key.clone()));
        }
        for guard in guards {
            if !self.holds_after_claims(guard) {
                return Err(Conflict::Guard(guard.clone()));
            }
        }
        match calls.iter().find(|call| !self.calls.contains(&call.id)) {
            Some(call) => Err(Conflict::CallMoved(call.id)),
            None => Ok(()),
        }
    }

    fn holds_before_claims(&self, guard: &Guard, change: &Change) -> bool {
        match guard {
            Guard::Lendable { tenant, virtual_number } => self
                .numbers
                .get(virtual_number)
                .is_some_and(|(owner, lending)| owner == tenant && *lending == Lending::Open),
            Guard::Shared { virtual_number } => self
                .wholes
                .get(virtual_number)
                .is_none_or(|holder| change.allocations.iter().any(|write| written_of(write).id == *holder)),
            Guard::PinRoom { .. } => true,
        }
    }

    fn holds_after_claims(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Lendable { .. } | Guard::Shared { .. } => true,
            Guard::PinRoom { virtual_number, allocation, others } => self
                .pins_held
                .get(&(*virtual_number, *allocation))
                .is_none_or(|held| *held <= i64::from(*others)),
        }
    }
}
