//! Webhooks: signs, guards, delivers and retries what the outbox holds.
//!
//! Look for [`courier::Courier`], which works through what is owed; [`client::Client`], which makes one attempt;
//! [`guard::Guard`], which says where it may go; and [`bodies::body`], what is sent. What an attempt comes to is decided
//! in [`retry`] and [`health`], without a clock or a socket.

#![warn(missing_docs)]

pub mod bodies;
pub mod client;
pub mod connect;
pub mod courier;
pub mod guard;
pub mod health;
pub mod resolve;
pub mod retry;
pub mod sample;
pub mod sign;
