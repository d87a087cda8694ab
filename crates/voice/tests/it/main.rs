//! The telephone side as its peers see it.

#![expect(clippy::unwrap_used, reason = "what a helper of a test unwraps, the test asserts")]

mod driver;
mod forks;
mod script;
mod sip;
mod sipp;
mod torture;
