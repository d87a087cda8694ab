//! Keys that are pressed: told as events (RFC 4733), or heard as tones.

use super::rtp::Header;

/// The key of an event's number.
fn key(event: u8) -> Option<char> {
    const KEYS: &[u8; 16] = b"0123456789*#ABCD";
    KEYS.get(usize::from(event)).map(|key| char::from(*key))
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
