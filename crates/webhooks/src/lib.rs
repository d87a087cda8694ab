//! Webhooks: signs, guards, delivers and retries what the outbox holds.

#![warn(missing_docs)]

pub mod client;
pub mod connect;
pub mod guard;
pub mod resolve;
pub mod sign;
