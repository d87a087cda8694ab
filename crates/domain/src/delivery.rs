//! Deliveries: which event is owed to which endpoint, and how far that has come.
//!
//! A delivery is leased for a while to whoever tries it, so that several nodes may work on what is owed, and a node
//! that dies leaves it to the others. Of a line ([`Line`]) only the first that is not settled is leased: that keeps
//! the order.

use crate::endpoint::{EndpointId, EndpointKey};
use crate::event::{Event, EventId, EventKind, Line};
use crate::store::{Change, Outcome, StoreError};
use crate::tenant::{Sid, Tenant};
use crate::time::Timestamp;
use crate::{Ctx, Failure, refuse};

/// An event that is owed to an endpoint, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which.
    pub key: DeliveryKey,
    /// The line of its event.
    pub line: Line,
    /// The event's place in it.
    pub sequence: u64,
    /// The kind of the event.
    pub kind: EventKind,
    /// How far it has come.
    pub state: DeliveryState,
    /// The tries that were made.
    pub attempts: u32,
    /// When it is to be tried, or was settled.
    pub due_at: Timestamp,
    /// The status that the last try was answered with.
    pub status: Option<u16>,
    /// What was wrong with the last try, in a few words that quote nobody.
    pub why: Option<String>,
}

/// Names a delivery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryKey {
    /// Whose.
    pub tenant: Sid,
    /// What.
    pub event: EventId,
    /// Where.
    pub endpoint: EndpointId,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is owed.
    Pending,
    /// It was taken.
    Delivered,
    /// It was given up, and can be replayed.
    Dead,
}

impl DeliveryState {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<DeliveryState> {
        [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Dead]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// What is done to deliveries by a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryWrite {
    /// A new one. One that is there already stays as it is.
    Owe(Delivery),
    /// One that was settled is owed again, as if it never had been tried; or a new one.
    Again(Delivery),
}

impl Delivery {
    /// An event that is owed to an endpoint from now on.
    pub fn of(event: &Event, endpoint: EndpointId, now: Timestamp) -> Delivery {
        Delivery {
            key: DeliveryKey { tenant: event.tenant.clone(), event: event.id, endpoint },
            line: event.line,
            sequence: event.sequence,
            kind: event.kind(),
            state: DeliveryState::Pending,
            attempts: 0,
            due_at: now,
            status: None,
            why: None,
        }
    }
}

/// What is wanted of what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The moment.
    pub now: Timestamp,
    /// Until when the deliveries are left to whoever leases them.
    pub until: Timestamp,
    /// From which endpoints, and at most how many of each.
    pub wanted: Vec<(EndpointKey, usize)>,
}

/// A delivery that was leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What is to be sent.
    pub event: Event,
    /// Where.
    pub endpoint: EndpointId,
    /// The tries that were made before.
    pub attempts: u32,
    /// Until when it is leased; shows in [`Settled`] that the lease still stands.
    pub leased_until: Timestamp,
}

/// What became of a leased delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub key: DeliveryKey,
    /// Its lease. If another has leased it meanwhile, nothing is settled.
    pub leased_until: Timestamp,
    /// What became of it.
    pub result: Settlement,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was taken.
    Delivered {
        /// The status.
        status: u16,
    },
    /// It is to be tried again.
    Again {
        /// When.
        at: Timestamp,
        /// The status, if there was an answer.
        status: Option<u16>,
        /// What was wrong.
        why: String,
    },
    /// It is given up.
    Dead {
        /// The status, if there was an answer.
        status: Option<u16>,
        /// What was wrong.
        why: String,
    },
    /// It was not tried.
    GivenBack,
}

/// Why an event is not replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayRefused {
    /// The tenant has no such event.
    NotFound,
    /// No endpoint that is enabled wants it.
    NobodyWants,
}

/// Owes an event again, to one endpoint or to all that want it; answers to how many. It keeps its id.
pub async fn replay(
    ctx: &Ctx<'_>,
    tenant: &Tenant,
    id: EventId,
    only: Option<&EndpointId>,
) -> Result<usize, Failure<ReplayRefused>> {
    let Some(event) = ctx.store.event(&tenant.sid, id).await? else {
        return refuse(ReplayRefused::NotFound);
    };
    let wanting = tenant.endpoints.iter().filter(|endpoint| endpoint.wants(&event.fact));
    let wanting = wanting.filter(|endpoint| only.is_none_or(|only| *only == endpoint.id));
    let mut change = Change::at(ctx.now);
    change.deliveries = wanting
        .map(|endpoint| DeliveryWrite::Again(Delivery::of(&event, endpoint.id.clone(), ctx.now)))
        .collect();
    let owed = change.deliveries.len();
    if owed == 0 {
        return refuse(ReplayRefused::NobodyWants);
    }
    match ctx.commit(change).await? {
        Outcome::Applied => Ok(owed),
        Outcome::Refused(_) => Err(Failure::Store(StoreError::Busy)),
    }
}
