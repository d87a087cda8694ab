//! A call: somebody dialled a virtual number.
//!
//! [`course::Call`] is the call as a value: what happens and the moment go in, what is to be done and one deadline
//! come out. [`limits`] says what a tenant's callers may have, [`pin_entry`] how keys become a pin.

pub mod course;
pub mod limits;
pub mod pin_entry;

use std::fmt;

use uuid::Uuid;

use crate::Chance;
use crate::time::Timestamp;

/// Names a call, on every leg, record, event and file of it (LeadAssist's `call_sid`). A UUIDv7: calls sort by the
/// moment of their beginning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(Uuid);

impl CallId {
    /// A new id for a call that begins at `now`.
    pub fn new(now: Timestamp, rng: &mut Chance) -> CallId {
        let mut random = [0; 10];
        rng.fill_bytes(&mut random);
        CallId(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid())
    }

    /// Reads an id as clients send it back. Anything else is no id of ours.
    pub fn parse(text: &str) -> Option<CallId> {
        Uuid::try_parse(text).ok().map(CallId)
    }

    /// The id of these 16 bytes, as the database keeps it.
    pub fn from_bytes(bytes: [u8; 16]) -> CallId {
        CallId(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes, which sort by the time of beginning.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One of a call's legs: 0 is the caller's, those that are rung are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegNumber(pub u8);

impl LegNumber {
    /// The caller's.
    pub const CALLER: LegNumber = LegNumber(0);
}
