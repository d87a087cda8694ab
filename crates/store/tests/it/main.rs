//! What every store promises, and what each adds.
//!
//! A case of the contract is a function of a [`world::World`] and stands once in the list of `contract`; each store
//! is one line of that list.

#![expect(clippy::unwrap_used, reason = "what a helper of a test unwraps, the test asserts")]

mod altered;
mod backup;
mod cluster;
mod contract;
mod copy;
mod crash;
mod disk;
mod encrypted;
mod failover;
mod files;
mod law;
mod migrations;
mod months;
mod pooler;
mod queue;
mod races;
mod world;
