//! Keeps the storage contract, [`callveil_domain::store::Store`], on a database.
//!
//! There is no decision here: a use case hands over one [`Change`](callveil_domain::store::Change), and a store
//! applies all of it or says which of its conditions did not hold. Every store passes the suite in `tests/it`: the one
//! of a single node on SQLite, and the one of many nodes on PostgreSQL.

pub mod copy;
mod document;
mod encoding;
mod owed;
pub mod postgres;
pub mod sqlite;
