//! A call to try callveil with: two telephones that this program plays itself, and the ladder of what they said.
//!
//! The telephones are as simple as can be: UDP, one call, G.711 and a few packets of sound. They are no part of the
//! server and know nothing of it but its address.

pub mod called;
pub mod caller;
pub mod ladder;
pub mod message;
pub mod telephone;
