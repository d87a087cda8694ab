//! Receipts: the answers that are kept so that a repeated request is answered again and not acted on twice.

use crate::allocation::Allocation;
use crate::tenant::Sid;
use crate::time::Timestamp;

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whose request it was.
    pub tenant: Sid,
    /// Which operation on which thing, so that one key may serve once for each.
    pub scope: String,
    /// The key that the client gave (its `Idempotency-Key`, at most 255 characters).
    pub key: String,
    /// SHA-256 of what was asked; a repeat that asks for something else is refused.
    pub fingerprint: [u8; 32],
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer, as it was sent. Holds numbers in clear.
    pub body: Vec<u8>,
    /// When it was made.
    pub made_at: Timestamp,
}

/// Makes status and body of the answer that tells of an allocation.
pub type Answer<'a> = dyn Fn(&Allocation, &[Warning]) -> (u16, Vec<u8>) + Sync + 'a;

/// A receipt to be made of an answer that is not known yet.
pub struct ReceiptWanted<'a> {
    /// See [`Receipt::scope`].
    pub scope: String,
    /// See [`Receipt::key`].
    pub key: String,
    /// See [`Receipt::fingerprint`].
    pub fingerprint: [u8; 32],
    /// Makes status and body of the answer that tells of this allocation.
    pub answer: &'a Answer<'a>,
}

/// What a client should know although it got what it asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// Pins so short that guessing one is likelier than the accepted chance.
    GuessablePins {
        /// The digits of the pins that are guessed most easily.
        digits: u32,
        /// The chance, per virtual number and day, that somebody who uses up all wrong tries hits one.
        chance: f64,
    },
}

impl ReceiptWanted<'_> {
    pub(crate) fn write(&self, allocation: &Allocation, warnings: &[Warning], now: Timestamp) -> Receipt {
        let (status, body) = (self.answer)(allocation, warnings);
        Receipt {
            tenant: allocation.tenant.clone(),
            scope: self.scope.clone(),
            key: self.key.clone(),
            fingerprint: self.fingerprint,
            status,
            body,
            made_at: now,
        }
    }
}
