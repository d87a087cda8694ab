//! The telephone side: SIP and media in and out, driving the calls that the domain decides.
//!
//! [`leg`] is the seam to SIP and [`media`] the seam to sound: both in our own words, so that the driver of a call
//! knows neither a SIP library nor a socket.

#![warn(missing_docs)]

pub mod driver;
pub mod figures;
pub mod leg;
pub mod media;
pub mod sip;
