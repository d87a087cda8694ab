//! The driver of calls: turns what happens on legs and in sound into the domain's events, and its actions into orders.
//!
//! Each call is a task of its own ([`conversation`]) that owns one [`Call`](callveil_domain::call::course::Call), its
//! legs and its sound. Nothing is decided here.

mod conversation;
mod decision;
mod ledger;
mod outcome;
mod tables;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use callveil_domain::call::CallId;
use callveil_domain::call::limits::{PinBudget, Traffic};
use callveil_domain::live::NodeId;
use callveil_domain::node::Node;

use crate::figures::{Calls, Held};
use crate::leg::{Invitation, Port};
use crate::media::Engine;

use conversation::Conversation;

/// Where calls come in and are conducted: one for each running node.
pub struct Switchboard {
    node: Arc<Node>,
    id: NodeId,
    port: Arc<dyn Port>,
    engine: Arc<dyn Engine>,
    traffic: Mutex<Traffic>,
    pins: Mutex<PinBudget>,
    calls: Mutex<BTreeMap<CallId, watch::Sender<bool>>>,
    count: watch::Sender<usize>,
    figures: Calls,
}

impl Switchboard {
    /// A switchboard for this node, which reaches telephones by `port` and carries sound by `engine`.
    pub fn new(
        node: Arc<Node>,
        id: NodeId,
        port: Arc<dyn Port>,
        engine: Arc<dyn Engine>,
    ) -> Arc<Switchboard> {
        Arc::new(Switchboard {
            node,
            id,
            port,
            engine,
            traffic: Mutex::default(),
            pins: Mutex::default(),
            calls: Mutex::default(),
            count: watch::Sender::new(0),
            figures: Calls::default(),
        })
    }

    /// What is counted of the calls.
    pub fn figures(&self) -> &Calls {
        &self.figures
    }

    /// Takes every invitation until there are no more. The calls go on by themselves.
    pub async fn serve(self: Arc<Self>, mut invitations: mpsc::Receiver<Invitation>) {
        while let Some(invitation) = invitations.recv().await {
            self.take(invitation);
        }
    }

    /// Begins a call.
    pub fn take(self: &Arc<Self>, invitation: Invitation) -> CallId {
        let id = CallId::new(self.node.now(), &mut *self.node.rng());
        let listed = Listed::new(Arc::clone(self), id);
        tokio::spawn(Conversation::begin(listed, invitation).run());
        id
    }

    /// Ends a call, if this node has it.
    pub fn hang_up(&self, call: CallId) -> bool {
        lock(&self.calls).get(&call).map(|ordered| ordered.send_replace(true)).is_some()
    }

    /// Ends all calls.
    pub fn hang_up_all(&self) {
        for ordered in lock(&self.calls).values() {
            ordered.send_replace(true);
        }
    }

    /// How many calls go on.
    pub fn calls(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until no call goes on and everything about them is written down.
    pub async fn idle(&self) {
        let mut count = self.count.subscribe();
        // The sender is ours, so that this cannot fail.
        let _ = count.wait_for(|calls| *calls == 0).await;
    }
}

/// A call on the list of those that go on, until it is dropped.
struct Listed {
    board: Arc<Switchboard>,
    id: CallId,
    ordered_to_end: watch::Receiver<bool>,
    _counted: Held,
}

impl Listed {
    fn new(board: Arc<Switchboard>, id: CallId) -> Listed {
        let (order, ordered_to_end) = watch::channel(false);
        lock(&board.calls).insert(id, order);
        board.count.send_modify(|calls| *calls += 1);
        let counted = board.figures.begun();
        Listed { board, id, ordered_to_end, _counted: counted }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.board.calls).remove(&self.id);
        self.board.count.send_modify(|calls| *calls -= 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
