//! Writes down what becomes of one call: in order, and each step again and again until it is kept.
//!
//! No call waits for it. What asks the store with the call's record in its present form goes through it too: a pin is
//! tried after everything that came before it was kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use callveil_domain::calls::{self, CallRecord, Kept};
use callveil_domain::event::Keyed;
use callveil_domain::node::Node;
use callveil_domain::pin::Pin;
use callveil_domain::routing::{Connection, NotJoined, join_by_pin};
use callveil_domain::store::StoreError;
use callveil_domain::tenant::Tenant;
use callveil_domain::{Effect, Failure};

/// How long the first repetition of a step waits, and each further one twice as long as the one before.
const AGAIN: Duration = Duration::from_millis(100);

/// The longest that a repetition waits.
const AGAIN_AT_MOST: Duration = Duration::from_secs(5);

/// What a pin opened.
pub(super) type Opened = Result<Connection, Failure<NotJoined>>;

/// The ledger of one call.
pub(super) struct Ledger {
    steps: mpsc::UnboundedSender<Step>,
    writer: JoinHandle<()>,
}

/// What is written down, and told to the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It has begun.
    Opened,
    /// A telephone rings.
    Ringing,
    /// The parties are connected.
    Answered,
    /// It has ended.
    Closed,
    /// Something that is no news to the tenant.
    Noted,
}

enum Step {
    Keep(Entry, Box<CallRecord>),
    Join(Pin, oneshot::Sender<Opened>),
}

/// What is repeated until it is kept.
enum Entry {
    Record(What),
    Rejected(Keyed),
}

impl Ledger {
    /// Opens the ledger of a call.
    pub fn new(node: Arc<Node>, tenant: Arc<Tenant>, record: CallRecord) -> Ledger {
        let (steps, taken) = mpsc::unbounded_channel();
        let writer = tokio::spawn(keep(Keeper { node, tenant, record }, taken));
        Ledger { steps, writer }
    }

    /// Writes down the record as it is now. Its version is the ledger's to count.
    pub fn write(&self, what: What, record: &CallRecord) {
        self.send(Step::Keep(Entry::Record(what), Box::new(record.clone())));
    }

    /// Tells that no pin was right.
    pub fn reject(&self, keyed: Keyed, record: &CallRecord) {
        self.send(Step::Keep(Entry::Rejected(keyed), Box::new(record.clone())));
    }

    /// Tries a pin.
    pub fn join(&self, pin: Pin) -> oneshot::Receiver<Opened> {
        let (reply, opened) = oneshot::channel();
        self.send(Step::Join(pin, reply));
        opened
    }

    fn send(&self, step: Step) {
        if self.steps.send(step).is_err() {
            tracing::error!("a step of a call is not written down: its ledger ended by a defect");
        }
    }

    /// Waits until everything is kept.
    pub async fn close(self) {
        drop(self.steps);
        if self.writer.await.is_err() {
            tracing::error!("the ledger of a call ended by a defect");
        }
    }
}

struct Keeper {
    node: Arc<Node>,
    tenant: Arc<Tenant>,
    record: CallRecord,
}

async fn keep(mut keeper: Keeper, mut steps: mpsc::UnboundedReceiver<Step>) {
    while let Some(step) = steps.recv().await {
        match step {
            Step::Keep(entry, record) => {
                keeper.record = CallRecord { version: keeper.record.version, ..*record };
                keeper.until_kept(&entry).await;
            }
            // Whoever asked may be gone.
            Step::Join(pin, reply) => drop(reply.send(keeper.join(pin).await)),
        }
    }
}

impl Keeper {
    #[expect(clippy::disallowed_methods, reason = "nothing tells when a store can be written to again")]
    async fn until_kept(&mut self, entry: &Entry) {
        let mut wait = AGAIN;
        while let Err(error) = self.keep(entry).await {
            if wait == AGAIN {
                tracing::warn!(%error, call = %self.record.id, "a step of a call is not kept, and is tried again");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN_AT_MOST);
        }
    }

    async fn keep(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let mut rng = self.node.rng();
        let ctx = self.node.ctx(&mut *rng, Effect::Keep);
        let (tenant, record) = (&self.tenant, &mut self.record);
        let kept = match entry {
            Entry::Record(What::Opened) => calls::opened(&ctx, tenant, record).await?,
            Entry::Record(What::Ringing) => calls::ringing(&ctx, tenant, record).await?,
            Entry::Record(What::Answered) => calls::answered(&ctx, tenant, record).await?,
            Entry::Record(What::Closed) => calls::closed(&ctx, tenant, record).await?,
            Entry::Record(What::Noted) => calls::noted(&ctx, record).await?,
            Entry::Rejected(keyed) => return calls::rejected(&ctx, tenant, record, keyed.clone()).await,
        };
        if kept == Kept::Superseded {
            tracing::debug!(call = %self.record.id, "a step is known already, or another node ended the call");
        }
        Ok(())
    }

    async fn join(&mut self, pin: Pin) -> Opened {
        let mut rng = self.node.rng();
        let mut ctx = self.node.ctx(&mut *rng, Effect::Keep);
        join_by_pin(&mut ctx, &self.tenant, &self.record, pin).await
    }
}
