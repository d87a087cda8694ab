//! Keys that are pressed: told as events (RFC 4733), or heard as tones.

mod tones;

pub use tones::Tones;

use super::rtp::Header;

/// The keys as they lie on a telephone.
pub const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// The key of an event's number (RFC 4733 3.2).
pub fn key(event: u8) -> Option<char> {
    const NUMBERED: &[u8; 16] = b"0123456789*#ABCD";
    NUMBERED.get(usize::from(event)).map(|key| char::from(*key))
}

/// Reads keys from events: one for each press, however often its packets are repeated, lost or late.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// The timestamp of the last press: all packets of one press have the same (RFC 4733 2.2).
    last: Option<u32>,
}

impl Events {
    /// The key, when a packet is the first that tells of its press.
    pub fn read(&mut self, header: Header, payload: &[u8]) -> Option<char> {
        let [event, _, _, _] = *payload.first_chunk()?;
        let fresh = self.last.is_none_or(|last| header.timestamp.wrapping_sub(last).cast_signed() > 0);
        if !fresh {
            return None;
        }
        let key = key(event)?;
        self.last = Some(header.timestamp);
        Some(key)
    }
}
