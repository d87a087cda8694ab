//! What happened: calls, events with what is owed of them, and the audit; their changes and reads.

use std::time::Duration;

use callveil_domain::audit::{AuditEntry, AuditHead, AuditId, Seal, SealedEntry};
use callveil_domain::call::CallId;
use callveil_domain::calls::{CallRecord, CallStanding};
use callveil_domain::delivery::{Delivery, DeliveryKey, DeliveryState, Due, Lease, Settled, Settlement};
use callveil_domain::endpoint::{EndpointId, EndpointKey};
use callveil_domain::event::{Event, EventId, EventKind, Line};
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{
    CallQuery, Conflict, DeliveryQuery, EventQuery, Mentions, MentionsAfter, Order, Redaction,
};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use tokio_postgres::Row;

use super::batch::{Columns, allocation_columns};
use super::directory::Stop;
use super::fault::Fault;
use super::reader::Reader;
use super::rows::{self, Cells};
use super::session::{Session, Value};
use super::statements as sql;
use crate::document::{self, Unreadable};
use crate::encoding::{Garbled, count, delivery_code, delivery_state, digits};

impl From<Unreadable> for Fault {
    fn from(_: Unreadable) -> Fault {
        Garbled("a document that cannot be read").into()
    }
}

/// The columns of calls' next forms.
pub(super) fn call_columns<'b>(calls: &[&'b CallRecord]) -> Columns<'b> {
    let ended = |call: &'b CallRecord| match &call.standing {
        CallStanding::Open => (None, None),
        CallStanding::Ended { at, how, by: _ } => (Some(at.as_micros()), Some(how.word())),
    };
    let (ended_at, endings): (Vec<Option<i64>>, Vec<Option<&str>>) =
        calls.iter().map(|call| ended(call)).unzip();
    values![
        calls.iter().map(|c| c.tenant.as_str()).collect::<Vec<_>>(),
        calls.iter().map(|c| c.id.as_bytes().as_slice()).collect::<Vec<_>>(),
        calls.iter().map(|c| c.node.as_bytes().as_slice()).collect::<Vec<_>>(),
        calls
            .iter()
            .map(|c| c.link.as_ref().map(|link| link.allocation.as_bytes().as_slice()))
            .collect::<Vec<_>>(),
        calls.iter().map(|c| digits(c.virtual_number)).collect::<Vec<_>>(),
        calls.iter().map(|c| c.started_at.as_micros()).collect::<Vec<_>>(),
        ended_at,
        endings,
        calls.iter().map(|c| c.version.cast_signed()).collect::<Vec<_>>(),
        calls.iter().map(|c| document::write_call(c)).collect::<Vec<_>>(),
    ]
}

/// The columns of calls that are to be hung up.
pub(super) fn hangup_columns<'b>(hangups: &[&'b (Sid, CallId)]) -> Columns<'b> {
    values![
        hangups.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>(),
        hangups.iter().map(|(_, call)| call.as_bytes().as_slice()).collect::<Vec<_>>(),
    ]
}

/// The columns of events.
pub(super) fn event_columns<'b>(events: &[&'b Event]) -> Columns<'b> {
    values![
        events.iter().map(|e| e.tenant.as_str()).collect::<Vec<_>>(),
        events.iter().map(|e| e.id.as_bytes().as_slice()).collect::<Vec<_>>(),
        events.iter().map(|e| e.kind().name()).collect::<Vec<_>>(),
        events.iter().map(|e| e.at.as_micros()).collect::<Vec<_>>(),
        events.iter().map(|e| e.line.0.as_slice()).collect::<Vec<_>>(),
        events.iter().map(|e| e.sequence.cast_signed()).collect::<Vec<_>>(),
        events.iter().map(|e| e.fact.allocation().map(|id| id.as_bytes().to_vec())).collect::<Vec<_>>(),
        events.iter().map(|e| e.fact.call().map(|id| id.as_bytes().to_vec())).collect::<Vec<_>>(),
        events.iter().map(|e| document::write_fact(&e.fact)).collect::<Vec<_>>(),
    ]
}

/// The columns of deliveries.
pub(super) fn delivery_columns<'b>(deliveries: &[&'b Delivery]) -> Columns<'b> {
    values![
        deliveries.iter().map(|d| d.key.tenant.as_str()).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.key.event.as_bytes().as_slice()).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.key.endpoint.as_str()).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.line.0.as_slice()).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.sequence.cast_signed()).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.kind.name()).collect::<Vec<_>>(),
        deliveries.iter().map(|d| delivery_code(d.state)).collect::<Vec<_>>(),
        deliveries.iter().map(|d| i64::from(d.attempts)).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.due_at.as_micros()).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.status.map(u16::cast_signed)).collect::<Vec<_>>(),
        deliveries.iter().map(|d| d.why.as_deref()).collect::<Vec<_>>(),
    ]
}

/// The columns of the audit's entries.
pub(super) fn audit_columns<'b>(entries: &[&'b AuditEntry]) -> Columns<'b> {
    values![
        entries.iter().map(|e| e.id.as_bytes().as_slice()).collect::<Vec<_>>(),
        entries.iter().map(|e| e.at.as_micros()).collect::<Vec<_>>(),
        entries.iter().map(|e| e.tenant.as_ref().map(Sid::as_str)).collect::<Vec<_>>(),
        entries.iter().map(|e| e.actor.as_str()).collect::<Vec<_>>(),
        entries.iter().map(|e| e.request.as_deref()).collect::<Vec<_>>(),
        entries.iter().map(|e| e.what.as_str()).collect::<Vec<_>>(),
        entries.iter().map(|e| e.subject.as_str()).collect::<Vec<_>>(),
    ]
}

/// Puts entries into the chain.
pub(super) async fn seal(session: &Session, seal: &Seal) -> Result<(), Stop> {
    let Seal { after, entries } = seal;
    let Some((_, last)) = entries.last() else { return Ok(()) };
    let moved: [Value<'_>; 4] = [
        &last.place.cast_signed(),
        &last.hash.as_slice(),
        &after.place.cast_signed(),
        &after.hash.as_slice(),
    ];
    if session.query(&sql::MOVE_AUDIT_HEAD, &moved).await?.is_empty() {
        return Err(Stop::Refused(Conflict::Sealed));
    }
    let ids: Vec<&[u8]> = entries.iter().map(|(id, _)| id.as_bytes().as_slice()).collect();
    let places: Vec<i64> = entries.iter().map(|(_, head)| head.place.cast_signed()).collect();
    let hashes: Vec<&[u8]> = entries.iter().map(|(_, head)| head.hash.as_slice()).collect();
    match session.query(&sql::SEAL_AUDIT, &[&ids, &places, &hashes]).await?.len() {
        sealed if sealed == entries.len() => Ok(()),
        _ => Err(Stop::Refused(Conflict::Sealed)),
    }
}

/// Replaces the content of rows, unless they have moved on.
pub(super) async fn redact(session: &Session, redactions: &[Redaction]) -> Result<(), Fault> {
    for redaction in redactions {
        match redaction {
            Redaction::Allocation(allocation) => {
                let columns = allocation_columns(&[allocation]);
                let values: Vec<Value<'_>> = columns.iter().map(|column| &**column as Value<'_>).collect();
                session.query(&sql::REDACT_ALLOCATIONS, &values).await?;
            }
            Redaction::Call(call) => {
                let row: [Value<'_>; 4] = [
                    &call.tenant.as_str(),
                    &call.id.as_bytes().as_slice(),
                    &call.version.cast_signed(),
                    &document::write_call(call),
                ];
                session.query(&sql::REDACT_CALL, &row).await?;
            }
            Redaction::Event(event) => {
                let row: [Value<'_>; 3] = [
                    &event.tenant.as_str(),
                    &event.id.as_bytes().as_slice(),
                    &document::write_fact(&event.fact),
                ];
                session.query(&sql::REDACT_EVENT, &row).await?;
            }
        }
    }
    Ok(())
}

/// Throws away the claims of a number and the answers in which it stands.
pub(super) async fn forget(session: &Session, number: PhoneNumber) -> Result<(), Fault> {
    let in_lists = format!(",{},", number.expose_digits());
    session.query(&sql::FORGET_CLAIMS, &[&digits(number), &in_lists]).await?;
    session.query(&sql::FORGET_RECEIPTS, &[&number.expose_digits().to_string().as_bytes()]).await?;
    Ok(())
}

/// See [`Store::beat`](callveil_domain::store::Store::beat).
pub(super) async fn beat(db: &Reader, node: NodeId, lease: Duration) -> Result<(), Fault> {
    db.rows(&sql::BEAT, &[&node.as_bytes().as_slice(), &micros(lease)]).await?;
    Ok(())
}

/// See [`Store::nodes`](callveil_domain::store::Store::nodes).
pub(super) async fn nodes(db: &Reader, lease: Duration) -> Result<usize, Fault> {
    let rows = db.rows(&sql::NODES, &[&micros(lease)]).await?;
    Ok(rows.len())
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// See [`Store::orphaned_calls`](callveil_domain::store::Store::orphaned_calls).
pub(super) async fn orphaned_calls(
    db: &Reader,
    judge: NodeId,
    lease: Duration,
    limit: usize,
) -> Result<Vec<CallRecord>, Fault> {
    let which: [Value<'_>; 3] = [&judge.as_bytes().as_slice(), &micros(lease), &count(limit)];
    db.rows(&sql::ORPHANED_CALLS, &which).await?.iter().map(call).collect()
}

/// See [`Store::hangups`](callveil_domain::store::Store::hangups).
pub(super) async fn hangups(db: &Reader, node: NodeId) -> Result<Vec<CallId>, Fault> {
    let rows = db.rows(&sql::HANGUPS, &[&node.as_bytes().as_slice()]).await?;
    rows.iter().map(|row| Cells::from(row, 0).bytes().map(CallId::from_bytes)).collect()
}

/// See [`Store::endpoints_due`](callveil_domain::store::Store::endpoints_due).
pub(super) async fn endpoints_due(
    db: &Reader,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<EndpointKey>, Fault> {
    let rows = db.rows(&sql::ENDPOINTS_DUE, &[&now.as_micros(), &count(limit)]).await?;
    let key = |row: &Row| {
        let mut cells = Cells::from(row, 0);
        Ok(EndpointKey { tenant: cells.sid()?, id: endpoint_id(&mut cells)? })
    };
    rows.iter().map(key).collect()
}

/// The next cell, which is the id of an endpoint.
pub(super) fn endpoint_id(cells: &mut Cells<'_>) -> Result<EndpointId, Fault> {
    Ok(EndpointId::parse(cells.take()?).ok_or(Garbled("a text that is no endpoint's id"))?)
}

/// See [`Store::lease`](callveil_domain::store::Store::lease).
pub(super) async fn lease(db: &Reader, lease: &Lease) -> Result<Vec<Due>, Fault> {
    let Lease { now, until, wanted } = lease;
    let tenants: Vec<&str> = wanted.iter().map(|(key, _)| key.tenant.as_str()).collect();
    let endpoints: Vec<&str> = wanted.iter().map(|(key, _)| key.id.as_str()).collect();
    let rooms: Vec<i64> = wanted.iter().map(|(_, room)| count(*room)).collect();
    let which: [Value<'_>; 5] = [&tenants, &endpoints, &rooms, &now.as_micros(), &until.as_micros()];
    let rows = db.rows(&sql::LEASE_DELIVERIES, &which).await?;
    let due = |row: &Row| {
        let mut cells = Cells::from(row, 0);
        let endpoint = endpoint_id(&mut cells)?;
        let attempts = attempts(&mut cells)?;
        Ok(Due { event: event(&mut cells)?, endpoint, attempts, leased_until: *until })
    };
    rows.iter().map(due).collect()
}

fn attempts(cells: &mut Cells<'_>) -> Result<u32, Fault> {
    Ok(u32::try_from(cells.take::<i64>()?).map_err(|_| Garbled("a count of tries that is none"))?)
}

/// See [`Store::settle`](callveil_domain::store::Store::settle).
pub(super) async fn settle(db: &Reader, now: Timestamp, settled: &[Settled]) -> Result<(), Fault> {
    let told = |result: &Settlement| match result {
        Settlement::Delivered { status } => (DeliveryState::Delivered, 1_i64, now, Some(*status), None),
        Settlement::Again { at, status, why } => (DeliveryState::Pending, 1, *at, *status, Some(why.clone())),
        Settlement::Dead { status, why } => (DeliveryState::Dead, 1, now, *status, Some(why.clone())),
        Settlement::GivenBack => (DeliveryState::Pending, 0, now, None, None),
    };
    let tenants: Vec<&str> = settled.iter().map(|s| s.key.tenant.as_str()).collect();
    let events: Vec<&[u8]> = settled.iter().map(|s| s.key.event.as_bytes().as_slice()).collect();
    let endpoints: Vec<&str> = settled.iter().map(|s| s.key.endpoint.as_str()).collect();
    let leases: Vec<i64> = settled.iter().map(|s| s.leased_until.as_micros()).collect();
    let results: Vec<_> = settled.iter().map(|s| told(&s.result)).collect();
    let states: Vec<i16> = results.iter().map(|r| delivery_code(r.0)).collect();
    let tried: Vec<i64> = results.iter().map(|r| r.1).collect();
    let due: Vec<i64> = results.iter().map(|r| r.2.as_micros()).collect();
    let status: Vec<Option<i16>> = results.iter().map(|r| r.3.map(u16::cast_signed)).collect();
    let why: Vec<Option<&str>> = results.iter().map(|r| r.4.as_deref()).collect();
    let columns: [Value<'_>; 9] =
        [&tenants, &events, &endpoints, &leases, &states, &tried, &due, &status, &why];
    db.rows(&sql::SETTLE_DELIVERIES, &columns).await?;
    Ok(())
}

fn call(row: &Row) -> Result<CallRecord, Fault> {
    Ok(document::read_call(Cells::from(row, 0).take()?)?)
}

/// See [`Store::call`](callveil_domain::store::Store::call).
pub(super) async fn read_call(db: &Reader, tenant: &Sid, id: CallId) -> Result<Option<CallRecord>, Fault> {
    let rows = db.of(tenant).rows(&sql::CALL, &[&tenant.as_str(), &id.as_bytes().as_slice()]).await?;
    rows.first().map(call).transpose()
}

/// Greater than all ids.
const AFTER_ALL: [u8; 16] = [0xff; 16];

/// See [`Store::calls`](callveil_domain::store::Store::calls).
pub(super) async fn calls(db: &Reader, tenant: &Sid, wanted: &CallQuery) -> Result<Vec<CallRecord>, Fault> {
    let CallQuery { from, to, allocation, number, virtual_number, state, before, limit } = wanted;
    let least = EventId::least_at(*from);
    let before = before.map_or(AFTER_ALL, |id| *id.as_bytes());
    let which: [Value<'_>; 10] = [
        &tenant.as_str(),
        &least.as_bytes().as_slice(),
        &before.as_slice(),
        &from.as_micros(),
        &to.as_micros(),
        &allocation.map(|id| id.as_bytes().to_vec()),
        &number.map(document::mention),
        &virtual_number.map(digits),
        state,
        &count(*limit),
    ];
    db.of(tenant).long_rows(&sql::CALLS, &which).await?.iter().map(call).collect()
}

/// The event whose columns come next, in the order of `event_columns!`.
fn event(cells: &mut Cells<'_>) -> Result<Event, Fault> {
    Ok(Event {
        tenant: cells.sid()?,
        id: EventId::from_bytes(cells.bytes()?),
        at: cells.moment()?,
        line: Line(cells.bytes()?),
        sequence: cells.take::<i64>()?.cast_unsigned(),
        fact: document::read_fact(cells.take()?, cells.take()?)?,
    })
}

fn only_event(row: &Row) -> Result<Event, Fault> {
    event(&mut Cells::from(row, 0))
}

/// See [`Store::event`](callveil_domain::store::Store::event).
pub(super) async fn read_event(db: &Reader, tenant: &Sid, id: EventId) -> Result<Option<Event>, Fault> {
    let rows = db.of(tenant).rows(&sql::EVENT, &[&tenant.as_str(), &id.as_bytes().as_slice()]).await?;
    rows.first().map(only_event).transpose()
}

/// See [`Store::events`](callveil_domain::store::Store::events).
pub(super) async fn events(db: &Reader, tenant: &Sid, wanted: &EventQuery) -> Result<Vec<Event>, Fault> {
    let EventQuery { from, to, kind, allocation, call, order, past, limit } = wanted;
    let past = past.map(|id| *id.as_bytes());
    let least = *EventId::least_at(*from).as_bytes();
    let (sql, lower, upper) = match order {
        Order::Oldest => (&sql::EVENTS_OLDEST, past.unwrap_or_default().max(one_less(least)), AFTER_ALL),
        Order::Newest => (&sql::EVENTS_NEWEST, one_less(least), past.unwrap_or(AFTER_ALL)),
    };
    let which: [Value<'_>; 9] = [
        &tenant.as_str(),
        &lower.as_slice(),
        &upper.as_slice(),
        &from.as_micros(),
        &to.as_micros(),
        &kind.map(EventKind::name),
        &allocation.map(|id| id.as_bytes().to_vec()),
        &call.map(|id| id.as_bytes().to_vec()),
        &count(*limit),
    ];
    db.of(tenant).long_rows(sql, &which).await?.iter().map(only_event).collect()
}

/// The id before this one.
fn one_less(id: [u8; 16]) -> [u8; 16] {
    u128::from_be_bytes(id).saturating_sub(1).to_be_bytes()
}

fn delivery(tenant: &Sid, row: &Row) -> Result<Delivery, Fault> {
    let mut cells = Cells::from(row, 0);
    let event = EventId::from_bytes(cells.bytes()?);
    Ok(Delivery {
        key: DeliveryKey { tenant: tenant.clone(), event, endpoint: endpoint_id(&mut cells)? },
        line: Line(cells.bytes()?),
        sequence: cells.take::<i64>()?.cast_unsigned(),
        kind: EventKind::parse(cells.take()?).ok_or(Garbled("an unknown kind of event"))?,
        state: delivery_state(cells.take()?)?,
        attempts: attempts(&mut cells)?,
        due_at: cells.moment()?,
        status: cells.take::<Option<i16>>()?.map(i16::cast_unsigned),
        why: cells.take()?,
    })
}

/// See [`Store::deliveries`](callveil_domain::store::Store::deliveries).
pub(super) async fn deliveries(
    db: &Reader,
    tenant: &Sid,
    wanted: &DeliveryQuery,
) -> Result<Vec<Delivery>, Fault> {
    let DeliveryQuery { from, to, kind, endpoint, event, state, before, limit } = wanted;
    let (from, to) = (EventId::least_at(*from), EventId::least_at(*to));
    let (before_event, before_endpoint) = match before {
        Some((event, endpoint)) => (*event.as_bytes(), endpoint.as_str()),
        None => (AFTER_ALL, ""),
    };
    let which: [Value<'_>; 10] = [
        &tenant.as_str(),
        &before_event.as_slice(),
        &before_endpoint,
        &endpoint.as_ref().map(EndpointId::as_str),
        &event.map(|id| id.as_bytes().to_vec()),
        &state.map(delivery_code),
        &from.as_bytes().as_slice(),
        &to.as_bytes().as_slice(),
        &kind.map(EventKind::name),
        &count(*limit),
    ];
    let rows = db.of(tenant).long_rows(&sql::DELIVERIES, &which).await?;
    rows.iter().map(|row| delivery(tenant, row)).collect()
}

fn audit_entry(cells: &mut Cells<'_>) -> Result<AuditEntry, Fault> {
    Ok(AuditEntry {
        id: AuditId::from_bytes(cells.bytes()?),
        at: cells.moment()?,
        tenant: match cells.take::<Option<&str>>()? {
            Some(text) => Some(Sid::parse(text).map_err(|_| Garbled("a text that is no tenant's SID"))?),
            None => None,
        },
        actor: cells.take()?,
        request: cells.take()?,
        what: cells.take()?,
        subject: cells.take()?,
    })
}

/// See [`Store::unsealed_audit`](callveil_domain::store::Store::unsealed_audit).
pub(super) async fn unsealed_audit(db: &Reader, limit: usize) -> Result<Vec<AuditEntry>, Fault> {
    let rows = db.rows(&sql::UNSEALED_AUDIT, &[&count(limit)]).await?;
    rows.iter().map(|row| audit_entry(&mut Cells::from(row, 0))).collect()
}

fn head(cells: &mut Cells<'_>) -> Result<AuditHead, Fault> {
    Ok(AuditHead { place: cells.take::<i64>()?.cast_unsigned(), hash: cells.bytes()? })
}

/// See [`Store::audit_head`](callveil_domain::store::Store::audit_head).
pub(super) async fn audit_head(db: &Reader) -> Result<AuditHead, Fault> {
    let rows = db.rows(&sql::AUDIT_HEAD, &[]).await?;
    let row = rows.first().ok_or(Garbled("no end of the audit's chain"))?;
    head(&mut Cells::from(row, 0))
}

/// See [`Store::audit_after`](callveil_domain::store::Store::audit_after).
pub(super) async fn audit_after(db: &Reader, place: u64, limit: usize) -> Result<Vec<SealedEntry>, Fault> {
    let rows = db.long_rows(&sql::AUDIT_AFTER, &[&place.cast_signed(), &count(limit)]).await?;
    let sealed = |row: &Row| {
        let mut cells = Cells::from(row, 0);
        Ok(SealedEntry { head: head(&mut cells)?, entry: audit_entry(&mut cells)? })
    };
    rows.iter().map(sealed).collect()
}

/// See [`Store::mentions`](callveil_domain::store::Store::mentions).
pub(super) async fn mentions(
    db: &Reader,
    number: PhoneNumber,
    after: &MentionsAfter,
    limit: usize,
) -> Result<Mentions, Fault> {
    let MentionsAfter { allocation, call: of_call, event: of_event } = after;
    let from = |after: Option<(&Sid, &[u8; 16])>| {
        after.map_or((String::new(), Vec::new()), |(tenant, id)| (tenant.to_string(), id.to_vec()))
    };
    let in_lists = format!(",{},", number.expose_digits());
    let mention = document::mention(number);

    let (tenant, id) = from(allocation.as_ref().map(|(tenant, id)| (tenant, id.as_bytes())));
    let rows = db.long_rows(&sql::ALLOCATIONS_WITH, &[&tenant, &id, &in_lists, &count(limit)]).await?;
    let allocations = rows.iter().map(|row| rows::allocation(row, 0)).collect::<Result<_, _>>()?;
    let (tenant, id) = from(of_call.as_ref().map(|(tenant, id)| (tenant, id.as_bytes())));
    let rows = db.long_rows(&sql::CALLS_WITH, &[&tenant, &id, &mention, &count(limit)]).await?;
    let calls = rows.iter().map(call).collect::<Result<_, _>>()?;
    let (tenant, id) = from(of_event.as_ref().map(|(tenant, id)| (tenant, id.as_bytes())));
    let rows = db.long_rows(&sql::EVENTS_WITH, &[&tenant, &id, &mention, &count(limit)]).await?;
    let events = rows.iter().map(only_event).collect::<Result<_, _>>()?;
    Ok(Mentions { allocations, calls, events })
}
