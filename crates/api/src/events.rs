//! The operations on events: what happened, as it is told to endpoints too.

pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod replay;
