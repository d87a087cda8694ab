//! What every store promises, and what the one on SQLite adds.
//!
//! A case of the contract is a function of a [`world::World`] and stands once in the list of `contract`; each store
//! is one line of that list.

mod backup;
mod contract;
mod crash;
mod disk;
mod files;
mod migrations;
mod races;
mod world;
