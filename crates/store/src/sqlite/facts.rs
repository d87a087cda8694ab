//! What happened: calls, events with what is owed of them, and the audit; their changes and reads.

use std::time::Duration;

use callveil_domain::audit::{AuditEntry, AuditHead, AuditId, Seal, SealedEntry};
use callveil_domain::call::CallId;
use callveil_domain::calls::{CallRecord, CallStanding};
use callveil_domain::delivery::{
    Delivery, DeliveryKey, DeliveryState, DeliveryWrite, Lease, Settled, Settlement,
};
use callveil_domain::endpoint::{EndpointId, EndpointKey};
use callveil_domain::event::{Event, EventId, EventKind, Line};
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{
    CallQuery, Conflict, DeliveryQuery, EventQuery, Mentions, MentionsAfter, Order, Redaction,
};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::apply::Stop;
use super::fault::Fault;
use super::rows::{self, Cells, all, count, digits, first};
use super::statements as sql;
use crate::document::{self, Unreadable};
use crate::encoding::{delivery_code, delivery_state};

impl From<Unreadable> for Fault {
    fn from(_: Unreadable) -> Fault {
        Fault::Row("a document that cannot be read")
    }
}

/// Writes the next form of a call.
pub(super) fn put_call(tx: &Connection, call: &CallRecord) -> Result<(), Stop> {
    let (ended_at, ending) = match &call.standing {
        CallStanding::Open => (None, None),
        CallStanding::Ended { at, how, by: _ } => (Some(at.as_micros()), Some(how.word())),
    };
    let written = tx.prepare_cached(sql::PUT_CALL)?.execute(params![
        call.tenant.as_str(),
        call.id.as_bytes(),
        call.node.as_bytes(),
        call.link.as_ref().map(|link| *link.allocation.as_bytes()),
        digits(call.virtual_number),
        call.started_at.as_micros(),
        ended_at,
        ending,
        call.version.cast_signed(),
        document::write_call(call),
    ])?;
    match written {
        1 => Ok(()),
        _ => Err(Stop::Refused(Conflict::CallMoved(call.id))),
    }
}

/// Asks for a call to be hung up. One that has ended is left.
pub(super) fn request_hangup(tx: &Connection, tenant: &Sid, call: CallId) -> Result<(), Stop> {
    tx.prepare_cached(sql::REQUEST_HANGUP)?.execute(params![tenant.as_str(), call.as_bytes()])?;
    Ok(())
}

/// Owes an event.
pub(super) fn put_event(tx: &Connection, event: &Event) -> Result<(), Stop> {
    let Event { id, tenant, at, line, sequence, fact } = event;
    tx.prepare_cached(sql::PUT_EVENT)?.execute(params![
        tenant.as_str(),
        id.as_bytes(),
        event.kind().name(),
        at.as_micros(),
        line.0,
        sequence.cast_signed(),
        fact.allocation().map(|id| *id.as_bytes()),
        fact.call().map(|id| *id.as_bytes()),
        document::write_fact(fact),
    ])?;
    Ok(())
}

/// Owes an event to an endpoint, or once more.
pub(super) fn write_delivery(tx: &Connection, write: &DeliveryWrite) -> Result<(), Stop> {
    let (sql, delivery) = match write {
        DeliveryWrite::Owe(delivery) => (sql::OWE_DELIVERY, delivery),
        DeliveryWrite::Again(delivery) => (sql::OWE_DELIVERY_AGAIN, delivery),
    };
    let Delivery { key, line, sequence, kind, state, attempts, due_at, status, why } = delivery;
    tx.prepare_cached(sql)?.execute(params![
        key.tenant.as_str(),
        key.event.as_bytes(),
        key.endpoint.as_str(),
        line.0,
        sequence.cast_signed(),
        kind.name(),
        delivery_code(*state),
        attempts,
        due_at.as_micros(),
        status,
        why,
    ])?;
    Ok(())
}

/// Keeps an entry of the audit.
pub(super) fn put_audit(tx: &Connection, entry: &AuditEntry) -> Result<(), Stop> {
    let AuditEntry { id, at, tenant, actor, request, what, subject } = entry;
    let tenant = tenant.as_ref().map(Sid::as_str);
    let row = params![id.as_bytes(), at.as_micros(), tenant, actor, request, what, subject];
    tx.prepare_cached(sql::PUT_AUDIT)?.execute(row)?;
    Ok(())
}

/// Puts entries into the chain.
pub(super) fn seal(tx: &Connection, seal: &Seal) -> Result<(), Stop> {
    let Seal { after, entries } = seal;
    if audit_head(tx)? != *after {
        return Err(Stop::Refused(Conflict::Sealed));
    }
    let mut statement = tx.prepare_cached(sql::SEAL_AUDIT)?;
    for (id, head) in entries {
        if statement.execute(params![id.as_bytes(), head.place.cast_signed(), head.hash])? != 1 {
            return Err(Stop::Refused(Conflict::Sealed));
        }
    }
    if let Some((_, head)) = entries.last() {
        tx.prepare_cached(sql::MOVE_AUDIT_HEAD)?.execute(params![head.place.cast_signed(), head.hash])?;
    }
    Ok(())
}

/// Replaces the content of a row, unless the row has moved on.
pub(super) fn redact(tx: &Connection, redaction: &Redaction) -> Result<(), Stop> {
    match redaction {
        Redaction::Allocation(allocation) => {
            rows::write_allocation(&mut tx.prepare_cached(sql::REDACT_ALLOCATION)?, allocation)?;
        }
        Redaction::Call(call) => {
            let version = call.version.cast_signed();
            let row = params![call.tenant.as_str(), call.id.as_bytes(), version, document::write_call(call)];
            tx.prepare_cached(sql::REDACT_CALL)?.execute(row)?;
        }
        Redaction::Event(event) => {
            let text = document::write_fact(&event.fact);
            let row = params![event.tenant.as_str(), event.id.as_bytes(), text];
            tx.prepare_cached(sql::REDACT_EVENT)?.execute(row)?;
        }
    }
    Ok(())
}

/// Throws away the claims of a number and the answers in which it stands.
pub(super) fn forget(tx: &Connection, number: PhoneNumber) -> Result<(), Stop> {
    let in_lists = format!(",{},", number.expose_digits());
    tx.prepare_cached(sql::FORGET_CLAIMS)?.execute(params![digits(number), in_lists])?;
    tx.prepare_cached(sql::FORGET_RECEIPTS)?.execute([number.expose_digits().to_string()])?;
    Ok(())
}

/// Keeps that a node lives.
pub(super) fn beat(tx: &Connection, node: NodeId, now: Timestamp, lease: Duration) -> Result<(), Fault> {
    let row = params![node.as_bytes(), now.as_micros(), now.minus(lease).as_micros()];
    tx.prepare_cached(sql::BEAT)?.execute(row)?;
    Ok(())
}

/// A delivery that was leased, still without its event.
pub(super) struct Leased {
    pub(super) key: DeliveryKey,
    pub(super) attempts: u32,
}

/// How many rows are looked at for one that may be leased, beyond the room that there is. More would hold up clients'
/// changes, which wait behind; the next lease goes on where this one stopped.
const LOOKED_AT: usize = 200;

/// Leases what is due.
///
/// What is due but waits for another of its line is put off until that one is due, and so is not looked at again and
/// again; when that one is settled, it is called back ([`settle`]).
pub(super) fn lease(tx: &Connection, lease: &Lease) -> Result<Vec<Leased>, Fault> {
    let Lease { now, until, wanted } = lease;
    let mut leased = Vec::new();
    for (endpoint, room) in wanted {
        let most = leased.len() + room;
        let mut looked_at = 0;
        while leased.len() < most && looked_at < room + LOOKED_AT {
            let wanted = most - leased.len();
            let due = due_at(tx, endpoint, *now, wanted)?;
            looked_at += due.len();
            for Waiting { line, first } in &due {
                if first.due_at > *now {
                    put_off(tx, endpoint, *line, *now, first.due_at)?;
                } else if take(tx, endpoint, first.event, *now, *until)? {
                    let EndpointKey { tenant, id } = endpoint.clone();
                    let key = DeliveryKey { tenant, event: first.event, endpoint: id };
                    leased.push(Leased { key, attempts: first.attempts });
                } else {
                    put_off(tx, endpoint, *line, *now, *until)?;
                }
            }
            if due.len() < wanted {
                break;
            }
        }
    }
    Ok(leased)
}

/// A line of which something is due.
struct Waiting {
    line: [u8; 16],
    first: First,
}

/// The first of a line that is owed still.
struct First {
    event: EventId,
    attempts: u32,
    due_at: Timestamp,
}

/// What is due to an endpoint, longest first; some lines several times.
fn due_at(
    tx: &Connection,
    endpoint: &EndpointKey,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Waiting>, Fault> {
    let which = params![endpoint.tenant.as_str(), endpoint.id.as_str(), now.as_micros(), count(limit)];
    all(tx, sql::DUE_LINES, which, |row| {
        let mut cells = Cells::from(row, 0);
        let line = cells.take()?;
        let event = EventId::from_bytes(cells.take()?);
        Ok(Waiting { line, first: First { event, attempts: cells.take()?, due_at: cells.moment()? } })
    })
}

/// Takes the first of a line, unless it has been taken already.
fn take(
    tx: &Connection,
    endpoint: &EndpointKey,
    event: EventId,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, Fault> {
    let which = params![
        endpoint.tenant.as_str(),
        event.as_bytes(),
        endpoint.id.as_str(),
        until.as_micros(),
        now.as_micros(),
    ];
    Ok(tx.prepare_cached(sql::LEASE_DELIVERY)?.execute(which)? == 1)
}

/// Has what is due of a line wait for its first.
fn put_off(
    tx: &Connection,
    endpoint: &EndpointKey,
    line: [u8; 16],
    now: Timestamp,
    until: Timestamp,
) -> Result<(), Fault> {
    let which =
        params![endpoint.tenant.as_str(), endpoint.id.as_str(), line, now.as_micros(), until.as_micros(),];
    tx.prepare_cached(sql::PUT_OFF_LINE)?.execute(which)?;
    Ok(())
}

/// Keeps what became of leased deliveries.
pub(super) fn settle(tx: &Connection, now: Timestamp, settled: &[Settled]) -> Result<(), Fault> {
    for Settled { key, leased_until, result } in settled {
        let (state, tried, due_at, status, why) = match result {
            Settlement::Delivered { status } => (DeliveryState::Delivered, 1, now, Some(*status), None),
            Settlement::Again { at, status, why } => (DeliveryState::Pending, 1, *at, *status, Some(why)),
            Settlement::Dead { status, why } => (DeliveryState::Dead, 1, now, *status, Some(why)),
            Settlement::GivenBack => (DeliveryState::Pending, 0, now, None, None),
        };
        let settle = params![
            key.tenant.as_str(),
            key.event.as_bytes(),
            key.endpoint.as_str(),
            leased_until.as_micros(),
            delivery_code(state),
            tried,
            due_at.as_micros(),
            status,
            why,
        ];
        let line: Option<[u8; 16]> =
            first(tx, sql::SETTLE_DELIVERY, settle, |row| Cells::from(row, 0).take())?;
        if let Some(line) = line.filter(|_| state != DeliveryState::Pending) {
            let of = params![key.tenant.as_str(), key.endpoint.as_str(), line, now.as_micros()];
            tx.prepare_cached(sql::CALL_NEXT_OF_LINE)?.execute(of)?;
        }
    }
    Ok(())
}

/// See [`Store::endpoints_due`](callveil_domain::store::Store::endpoints_due).
pub(super) fn endpoints_due(
    db: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<EndpointKey>, Fault> {
    let mut due = Vec::new();
    let mut after = (String::new(), String::new());
    while due.len() < limit {
        let (tenant, id) = &after;
        let next = match first(db, sql::NEXT_ENDPOINT, params![tenant, id, now.as_micros()], owed_endpoint)? {
            Some(next) => Some(next),
            None => first(db, sql::NEXT_TENANTS_ENDPOINT, params![tenant, now.as_micros()], owed_endpoint)?,
        };
        let Some((tenant, id, is_due)) = next else { break };
        if is_due {
            due.push(EndpointKey { tenant: sid(&tenant)?, id: endpoint_id(&id)? });
        }
        after = (tenant, id);
    }
    Ok(due)
}

/// An endpoint that something is owed to, and whether that is due.
fn owed_endpoint(row: &Row<'_>) -> Result<(String, String, bool), Fault> {
    let mut cells = Cells::from(row, 0);
    Ok((cells.take()?, cells.take()?, cells.take()?))
}

fn sid(text: &str) -> Result<Sid, Fault> {
    Sid::parse(text).map_err(|_| Fault::Row("a text that is no tenant's SID"))
}

/// The id of an endpoint from its text.
pub(super) fn endpoint_id(text: &str) -> Result<EndpointId, Fault> {
    EndpointId::parse(text).ok_or(Fault::Row("a text that is no endpoint's id"))
}

fn call(row: &Row<'_>) -> Result<CallRecord, Fault> {
    Ok(document::read_call(Cells::from(row, 0).text()?)?)
}

/// See [`Store::call`](callveil_domain::store::Store::call).
pub(super) fn read_call(db: &Connection, tenant: &Sid, id: CallId) -> Result<Option<CallRecord>, Fault> {
    first(db, sql::CALL, params![tenant.as_str(), id.as_bytes()], call)
}

/// See [`Store::calls`](callveil_domain::store::Store::calls).
pub(super) fn calls(db: &Connection, tenant: &Sid, wanted: &CallQuery) -> Result<Vec<CallRecord>, Fault> {
    let CallQuery { from, to, allocation, number, virtual_number, state, before, limit } = wanted;
    let before = before.map_or(AFTER_ALL, |id| *id.as_bytes());
    let least = EventId::least_at(*from);
    let which = params![
        tenant.as_str(),
        least.as_bytes(),
        before,
        from.as_micros(),
        to.as_micros(),
        allocation.map(|id| *id.as_bytes()),
        number.map(document::mention),
        virtual_number.map(digits),
        state,
        count(*limit),
    ];
    all(db, sql::CALLS, which, call)
}

/// Greater than all ids.
const AFTER_ALL: [u8; 16] = [0xff; 16];

/// See [`Store::orphaned_calls`](callveil_domain::store::Store::orphaned_calls). No other node can have the file open.
pub(super) fn orphaned_calls(db: &Connection, judge: NodeId, limit: usize) -> Result<Vec<CallRecord>, Fault> {
    all(db, sql::ORPHANED_CALLS, params![judge.as_bytes(), count(limit)], call)
}

/// See [`Store::hangups`](callveil_domain::store::Store::hangups).
pub(super) fn hangups(db: &Connection, node: NodeId) -> Result<Vec<CallId>, Fault> {
    all(db, sql::HANGUPS, params![node.as_bytes()], |row| Cells::from(row, 0).take().map(CallId::from_bytes))
}

fn event(row: &Row<'_>) -> Result<Event, Fault> {
    let mut cells = Cells::from(row, 0);
    Ok(Event {
        tenant: cells.sid()?,
        id: EventId::from_bytes(cells.take()?),
        at: cells.moment()?,
        line: Line(cells.take()?),
        sequence: cells.take::<i64>()?.cast_unsigned(),
        fact: document::read_fact(cells.text()?, cells.text()?)?,
    })
}

/// See [`Store::event`](callveil_domain::store::Store::event).
pub(super) fn read_event(db: &Connection, tenant: &Sid, id: EventId) -> Result<Option<Event>, Fault> {
    first(db, sql::EVENT, params![tenant.as_str(), id.as_bytes()], event)
}

/// See [`Store::events`](callveil_domain::store::Store::events).
pub(super) fn events(db: &Connection, tenant: &Sid, wanted: &EventQuery) -> Result<Vec<Event>, Fault> {
    let EventQuery { from, to, kind, allocation, call, order, past, limit } = wanted;
    let past = past.map(|id| *id.as_bytes());
    let least = *EventId::least_at(*from).as_bytes();
    let (sql, lower, upper) = match order {
        Order::Oldest => (sql::EVENTS_OLDEST, past.unwrap_or_default().max(one_less(least)), AFTER_ALL),
        Order::Newest => (sql::EVENTS_NEWEST, one_less(least), past.unwrap_or(AFTER_ALL)),
    };
    let which = params![
        tenant.as_str(),
        lower,
        upper,
        from.as_micros(),
        to.as_micros(),
        kind.map(EventKind::name),
        allocation.map(|id| *id.as_bytes()),
        call.map(|id| *id.as_bytes()),
        count(*limit),
    ];
    all(db, sql, which, event)
}

/// The id before this one.
fn one_less(id: [u8; 16]) -> [u8; 16] {
    u128::from_be_bytes(id).saturating_sub(1).to_be_bytes()
}

fn delivery(tenant: &Sid, row: &Row<'_>) -> Result<Delivery, Fault> {
    let mut cells = Cells::from(row, 0);
    let event = EventId::from_bytes(cells.take()?);
    Ok(Delivery {
        key: DeliveryKey { tenant: tenant.clone(), event, endpoint: endpoint_id(cells.text()?)? },
        line: Line(cells.take()?),
        sequence: cells.take::<i64>()?.cast_unsigned(),
        kind: EventKind::parse(cells.text()?).ok_or(Fault::Row("an unknown kind of event"))?,
        state: delivery_state(cells.take()?)?,
        attempts: cells.take()?,
        due_at: cells.moment()?,
        status: cells.take()?,
        why: cells.take()?,
    })
}

/// See [`Store::deliveries`](callveil_domain::store::Store::deliveries).
pub(super) fn deliveries(
    db: &Connection,
    tenant: &Sid,
    wanted: &DeliveryQuery,
) -> Result<Vec<Delivery>, Fault> {
    let DeliveryQuery { from, to, kind, endpoint, event, state, before, limit } = wanted;
    let (before_event, before_endpoint) = match before {
        Some((event, endpoint)) => (*event.as_bytes(), endpoint.as_str()),
        None => (AFTER_ALL, ""),
    };
    let (from, to) = (EventId::least_at(*from), EventId::least_at(*to));
    let which = params![
        tenant.as_str(),
        before_event,
        before_endpoint,
        endpoint.as_ref().map(EndpointId::as_str),
        event.map(|id| *id.as_bytes()),
        state.map(delivery_code),
        from.as_bytes(),
        to.as_bytes(),
        kind.map(EventKind::name),
        count(*limit),
    ];
    all(db, sql::DELIVERIES, which, |row| delivery(tenant, row))
}

fn audit_entry(cells: &mut Cells<'_>) -> Result<AuditEntry, Fault> {
    Ok(AuditEntry {
        id: AuditId::from_bytes(cells.take()?),
        at: cells.moment()?,
        tenant: cells.take::<Option<String>>()?.map(|text| sid(&text)).transpose()?,
        actor: cells.take()?,
        request: cells.take()?,
        what: cells.take()?,
        subject: cells.take()?,
    })
}

/// See [`Store::unsealed_audit`](callveil_domain::store::Store::unsealed_audit).
pub(super) fn unsealed_audit(db: &Connection, limit: usize) -> Result<Vec<AuditEntry>, Fault> {
    all(db, sql::UNSEALED_AUDIT, [count(limit)], |row| audit_entry(&mut Cells::from(row, 0)))
}

fn head(cells: &mut Cells<'_>) -> Result<AuditHead, Fault> {
    Ok(AuditHead { place: cells.take::<i64>()?.cast_unsigned(), hash: cells.take()? })
}

/// See [`Store::audit_head`](callveil_domain::store::Store::audit_head).
pub(super) fn audit_head(db: &Connection) -> Result<AuditHead, Fault> {
    let found = first(db, sql::AUDIT_HEAD, [], |row| head(&mut Cells::from(row, 0)))?;
    found.ok_or(Fault::Row("no end of the audit's chain"))
}

/// See [`Store::audit_after`](callveil_domain::store::Store::audit_after).
pub(super) fn audit_after(db: &Connection, place: u64, limit: usize) -> Result<Vec<SealedEntry>, Fault> {
    all(db, sql::AUDIT_AFTER, [place.cast_signed(), count(limit)], |row| {
        let mut cells = Cells::from(row, 0);
        Ok(SealedEntry { head: head(&mut cells)?, entry: audit_entry(&mut cells)? })
    })
}

/// See [`Store::mentions`](callveil_domain::store::Store::mentions).
pub(super) fn mentions(
    db: &Connection,
    number: PhoneNumber,
    after: &MentionsAfter,
    limit: usize,
) -> Result<Mentions, Fault> {
    let MentionsAfter { allocation, call: of_call, event: of_event } = after;
    let from = |after: Option<(&Sid, &[u8; 16])>| {
        after.map_or((String::new(), Vec::new()), |(tenant, id)| (tenant.to_string(), id.to_vec()))
    };
    let (tenant, id) = from(allocation.as_ref().map(|(tenant, id)| (tenant, id.as_bytes())));
    let in_lists = format!(",{},", number.expose_digits());
    let allocations = all(db, sql::ALLOCATIONS_WITH, params![tenant, id, in_lists, count(limit)], |row| {
        rows::allocation(row, 0)
    })?;
    let mention = document::mention(number);
    let (tenant, id) = from(of_call.as_ref().map(|(tenant, id)| (tenant, id.as_bytes())));
    let calls = all(db, sql::CALLS_WITH, params![tenant, id, mention, count(limit)], call)?;
    let (tenant, id) = from(of_event.as_ref().map(|(tenant, id)| (tenant, id.as_bytes())));
    let events = all(db, sql::EVENTS_WITH, params![tenant, id, mention, count(limit)], event)?;
    Ok(Mentions { allocations, calls, events })
}
