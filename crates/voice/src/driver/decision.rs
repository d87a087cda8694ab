//! Asks the rules about a call: whom to ring, whether they may be reached, and what a pin opens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use callveil_domain::allocation::{Allocation, Side};
use callveil_domain::call::course::{Way, Why};
use callveil_domain::call::limits::{Vouched, reachable};
use callveil_domain::number::PhoneNumber;
use callveil_domain::routing::{Connection, Decision, NotJoined, RefuseReason, route};
use callveil_domain::store::StoreError;
use callveil_domain::tenant::{Sid, Tenant};
use callveil_domain::{Ctx, Effect, Failure};

use super::ledger::Opened;
use super::{Switchboard, lock};
use crate::leg::Attestation;

/// What the rules say of a call.
pub(super) struct Answer {
    /// Whom to ring.
    pub way: Way,
    /// By which allocation, and the side of the caller, once they are known.
    pub allocation: Option<Box<(Allocation, Side)>>,
    /// The place of the call among the tenant's.
    pub counted: Option<Counted>,
}

impl Answer {
    fn of(way: Way) -> Answer {
        Answer { way, allocation: None, counted: None }
    }

    /// What was dialled is no number.
    pub fn not_a_number() -> Answer {
        Answer::of(Way::Refuse(Why::Route(RefuseReason::NotAVirtualNumber)))
    }

    fn failed(error: &StoreError) -> Answer {
        match error {
            StoreError::Busy => Answer::of(Way::Refuse(Why::NoRoom)),
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => {
                tracing::error!(%error, "a call cannot be decided");
                Answer::of(Way::Refuse(Why::Failed))
            }
        }
    }
}

/// Who calls whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub caller: Option<PhoneNumber>,
    pub dialled: PhoneNumber,
    pub attestation: Option<Attestation>,
}

/// Decides a call that has come in.
pub(super) async fn decide(board: Arc<Switchboard>, tenant: Option<Arc<Tenant>>, asked: Asked) -> Answer {
    let mut rng = board.node.rng();
    let ctx = board.node.ctx(&mut *rng, Effect::Keep);
    match route(&ctx, asked.caller, asked.dialled).await {
        Err(error) => Answer::failed(&error),
        Ok(Decision::AskForPin) => Answer::of(Way::AskForPin),
        Ok(Decision::Connect(connection)) => admit(&board, tenant.as_deref(), *connection),
        Ok(Decision::Refuse(RefuseReason::OneWay)) => one_way(&ctx, asked).await,
        Ok(Decision::Refuse(reason)) => Answer::of(Way::Refuse(Why::Route(reason))),
    }
}

/// A call that its allocation refuses is told to the tenant, with the allocation.
async fn one_way(ctx: &Ctx<'_>, asked: Asked) -> Answer {
    let facts = match ctx.store.call_facts(asked.dialled, asked.caller, ctx.now).await {
        Ok(facts) => facts,
        Err(error) => return Answer::failed(&error),
    };
    let sided = facts.holder.zip(asked.caller);
    let allocation = sided.and_then(|(allocation, caller)| {
        let side = allocation.side_of(caller)?;
        Some(Box::new((allocation, side)))
    });
    Answer { allocation, ..Answer::of(Way::Refuse(Why::Route(RefuseReason::OneWay))) }
}

/// What a pin opens, once the ledger has found it out; `None` is a pin that is not listened to.
pub(super) async fn of_pin(
    board: &Arc<Switchboard>,
    tenant: &Tenant,
    asked: Asked,
    opened: Option<oneshot::Receiver<Opened>>,
) -> Answer {
    let wrong = Answer::of(Way::Refuse(Why::Route(RefuseReason::WrongPin)));
    let Some(opened) = opened else { return wrong };
    match opened.await {
        Ok(Ok(connection)) => admit(board, Some(tenant), connection),
        Ok(Err(Failure::Store(error))) => Answer::failed(&error),
        Ok(Err(Failure::Refused(NotJoined(RefuseReason::WrongPin)))) => {
            lock(&board.pins).was_wrong(asked.dialled, asked.caller, board.node.now());
            wrong
        }
        Ok(Err(Failure::Refused(NotJoined(reason)))) => Answer::of(Way::Refuse(Why::Route(reason))),
        Err(_) => Answer::of(Way::Refuse(Why::Failed)),
    }
}

/// Whether this caller's pins are listened to.
pub(super) fn may_try_pin(board: &Switchboard, asked: Asked) -> bool {
    let vouched = match asked.attestation {
        Some(Attestation::Passed) => Vouched::Yes,
        Some(Attestation::Failed | Attestation::NotValidated) | None => Vouched::No,
    };
    let nodes = board.node.nodes();
    lock(&board.pins).lets_try(asked.dialled, asked.caller, vouched, nodes, board.node.now())
}

/// Lets a connection in, if its tenant may have another call and one of the telephones may be reached.
fn admit(board: &Arc<Switchboard>, tenant: Option<&Tenant>, connection: Connection) -> Answer {
    let Connection { allocation, from, ring, show: _ } = connection;
    let sid = allocation.tenant.clone();
    // Without its tenant the node's picture is older than the number, by a moment.
    let Some(tenant) = tenant else { return Answer::of(Way::Refuse(Why::Failed)) };
    let let_in = || {
        let ring = reachable(&tenant.settings, ring)?;
        let caps = tenant.settings.caps.of_each(board.node.nodes());
        lock(&board.traffic).begin(&sid, &caps, &ring, board.node.now())?;
        Ok(ring)
    };
    let (way, counted) = match let_in() {
        Ok(ring) => {
            let counted = Counted { board: Arc::clone(board), tenant: sid.clone(), talked: Duration::ZERO };
            (Way::Ring(ring), Some(counted))
        }
        Err(over) => (Way::Refuse(Why::Limit(over)), None),
    };
    Answer { way, allocation: Some(Box::new((allocation, from))), counted }
}

/// A call's place among those of its tenant, until it is dropped.
pub(super) struct Counted {
    board: Arc<Switchboard>,
    tenant: Sid,
    /// How long its parties talked.
    pub talked: Duration,
}

impl Drop for Counted {
    fn drop(&mut self) {
        lock(&self.board.traffic).ended(&self.tenant, self.talked, self.board.node.now());
    }
}
