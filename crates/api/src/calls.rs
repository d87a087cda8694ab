//! The operations on calls: our own records of them, and LeadAssist's document of one.

pub(crate) mod document;
pub(crate) mod list;
pub(crate) mod read;
