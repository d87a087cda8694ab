//! Packets of sound (RFC 3550 5.1): the fixed header read and written; what else a header carries is left behind.

/// The length of the header that we write.
pub const HEADER: usize = 12;

/// A packet as it came, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header, without contributing sources and extensions.
    pub header: Header,
    /// What it carries, without padding.
    pub payload: &'a [u8],
}

/// What a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether something begins here: talk after silence, or an event.
    pub marker: bool,
    /// What the payload is.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// The moment of the first sample.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

impl<'a> Packet<'a> {
    /// Takes a packet apart; `None` when it is none.
    pub fn parse(bytes: &'a [u8]) -> Option<Packet<'a>> {
        let fixed: &[u8; HEADER] = bytes.first_chunk()?;
        let begin = payload_at(bytes)?;
        let mut end = bytes.len();
        if fixed[0] & 0x20 != 0 {
            let padding = usize::from(bytes[end - 1]);
            end = end.checked_sub(padding).filter(|_| padding > 0)?;
        }
        Some(Packet { header: Header::read(fixed), payload: bytes.get(begin..end)? })
    }
}

impl Header {
    fn read(fixed: &[u8; HEADER]) -> Header {
        let [_, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
        Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
        }
    }

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = 0x80;
        bytes[1] = (u8::from(self.marker) << 7) | (self.payload_type & 0x7f);
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        bytes
    }
}

/// Where the payload of a packet begins; `None` when it is no packet.
pub fn payload_at(bytes: &[u8]) -> Option<usize> {
    let fixed: &[u8; HEADER] = bytes.first_chunk()?;
    if fixed[0] >> 6 != 2 {
        return None;
    }
    let mut begin = HEADER + 4 * usize::from(fixed[0] & 15);
    if fixed[0] & 0x10 != 0 {
        let words = bytes.get(begin + 2..begin + 4)?;
        begin += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    (begin <= bytes.len()).then_some(begin)
}

/// Whether a datagram on a port that carries both is RTCP (RFC 5761 4).
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, 192..=223, ..] if first >> 6 == 2)
}

/// How far one number of a wheel is ahead of another; behind is negative.
pub fn ahead(one: u16, other: u16) -> i16 {
    one.wrapping_sub(other).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER_OF_TEST: Header =
        Header { marker: true, payload_type: 96, sequence: 0xfffe, timestamp: 0x0102_0304, ssrc: 7 };

    /// A packet with these bits in its first byte, and what follows the header.
    fn packet(bits: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = HEADER_OF_TEST.to_bytes().to_vec();
        bytes[0] |= bits;
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes = packet(0, b"sound");

        assert_eq!(Packet::parse(&bytes), Some(Packet { header: HEADER_OF_TEST, payload: b"sound" }));
    }

    #[test]
    fn sources_extensions_and_padding_are_left_behind() {
        let sources = packet(2, b"1111222sound");
        let extended = packet(0x10, b"\xbe\xde\x00\x01abcdsound");
        let padded = packet(0x20, b"sound\x00\x00\x03");

        assert_eq!(Packet::parse(&sources).unwrap().payload, b"ound");
        assert_eq!(Packet::parse(&extended).unwrap().payload, b"sound");
        assert_eq!(Packet::parse(&padded).unwrap().payload, b"sound");
    }

    #[test]
    fn lengths_that_lie_make_no_packet() {
        assert_eq!(Packet::parse(&packet(15, b"short")), None);
        assert_eq!(Packet::parse(&packet(0x10, b"\xbe\xde\xff\xff")), None);
        assert_eq!(Packet::parse(&packet(0x20, b"\xff")), None);
        assert_eq!(Packet::parse(&packet(0x20, b"\x00")), None);
        assert_eq!(Packet::parse(b"\x80\x00"), None);
    }

    #[test]
    fn rtcp_is_known_by_its_second_byte() {
        assert!(is_rtcp(&[0x80, 200, 0, 0]));
        assert!(!is_rtcp(&[0x80, 0x80 | 96, 0, 0]));
    }

    proptest! {
        #[test]
        fn garbage_is_no_danger(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Packet::parse(&bytes);
        }
    }
}
