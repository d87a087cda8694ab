//! What masking telephone numbers means: types, rules, use cases, and the contract of storage.
//!
//! Everything that *decides* is here and is pure: there is no clock, no socket, no SQL and no JSON. The moment,
//! the randomness and the store come in as arguments ([`Ctx`]).
//!
//! The law of the product: *a call from number n to virtual number V has at most one answer.* It is kept by
//! exclusive claims ([`store::ClaimKey`]), which the database has the last word on.

#![warn(missing_docs)]

pub mod admin;
pub mod allocation;
pub mod audit;
pub mod call;
pub mod calls;
pub mod choice;
pub mod country;
pub mod delivery;
pub mod endpoint;
pub mod erasure;
pub mod event;
pub mod live;
pub mod node;
pub mod number;
pub mod parties;
pub mod pin;
pub mod placing;
pub mod postal;
pub mod receipt;
pub mod recording;
pub mod routing;
pub mod settings;
pub mod store;
pub mod tenant;
pub mod time;
pub mod trunk;
pub mod verify;
pub mod virtual_number;

use rand_core::Rng;

use audit::Origin;
use store::{Change, Outcome, Store, StoreError};
use time::Timestamp;

/// What makes ids and breaks ties.
pub type Chance = dyn Rng + Send + Sync;

/// What a use case acts in: the store, the moment, the randomness, and whether it is meant.
pub struct Ctx<'a> {
    /// Where the truth is kept.
    pub store: &'a dyn Store,
    /// The moment of the decision.
    pub now: Timestamp,
    /// What makes ids and breaks ties.
    pub rng: &'a mut Chance,
    /// Whether changes are kept, or only tried.
    pub effect: Effect,
    /// Who acts, for the audit.
    pub by: Origin,
}

/// Whether a use case means what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes are applied.
    Keep,
    /// Changes are tried and thrown away: the answer is what it would be.
    Try,
}

impl Ctx<'_> {
    pub(crate) async fn commit(&self, mut change: Change) -> Result<Outcome, StoreError> {
        change.audit.extend(audit::entries(&change, &self.by));
        match self.effect {
            Effect::Keep => self.store.apply(change).await,
            Effect::Try => self.store.rehearse(change).await,
        }
    }
}

/// A number from 0 up to, and without, `limit`, each about equally likely.
pub(crate) fn below(rng: &mut Chance, limit: usize) -> usize {
    // The high word of a 64 x 64 bit product; the bias is under limit / 2^64.
    let product = u128::from(rng.next_u64()) * limit as u128;
    usize::try_from(product >> 64).expect("law: the high word is below the limit")
}

/// Why a use case did not do what it was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure<R> {
    /// The rules say no: an outcome that the contract foresees.
    Refused(R),
    /// The store could not answer.
    Store(StoreError),
}

impl<R> From<StoreError> for Failure<R> {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

pub(crate) fn refuse<T, R>(refusal: R) -> Result<T, Failure<R>> {
    Err(Failure::Refused(refusal))
}

/// How often a decision is made anew because what it was made on has moved, before the caller is told to come
/// again. Each time somebody else has got on, so that reaching it takes a storm on one single thing.
pub(crate) const ATTEMPTS: usize = 16;
