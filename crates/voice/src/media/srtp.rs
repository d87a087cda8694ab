//! Encrypted sound (RFC 3711) with keys from the description (RFC 4568): AES in counter mode with 128 bits, and tags of
//! 80 bits. The cipher and the tag are those of the RustCrypto crates; what is here is which bytes they are given.
//!
//! A packet that was not made with the peer's key is no packet: it settles no source and is counted nowhere.

use std::collections::VecDeque;

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr128BE;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::rtp;

/// The length of a master key and its salt.
pub const MATERIAL: usize = 30;
/// What a protected packet of sound is longer.
pub const TAG: usize = 10;

const KEY: usize = 16;
const SALT: usize = 14;
/// The head of an RTCP packet that stays readable.
const RTCP_HEAD: usize = 8;
/// The index behind an RTCP packet, whose highest bit says that it is encrypted.
const RTCP_INDEX: usize = 4;
const ENCRYPTED: u32 = 1 << 31;
/// Sources of one peer that are remembered.
const SOURCES: usize = 4;

/// Protects what is sent, of one source.
pub struct Sealer {
    rtp: Session,
    rtcp: Session,
    order: Order,
    reports: u32,
}

/// Opens what is received.
pub struct Opener {
    rtp: Session,
    rtcp: Session,
    /// Each source with the order of its packets, the latest last.
    sources: VecDeque<(u32, Order)>,
    reports: Window,
}

impl Sealer {
    /// Protects with this key and salt.
    pub fn new(material: &[u8; MATERIAL]) -> Sealer {
        Sealer {
            rtp: Session::derive(material, 0),
            rtcp: Session::derive(material, 3),
            order: Order::default(),
            reports: 0,
        }
    }

    /// Protects a packet of sound in the first `length` bytes of `buffer`. Returns its new length.
    pub fn seal_rtp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let (packet, rest) = buffer.split_at_mut_checked(length)?;
        let begin = rtp::payload_at(packet)?;
        let (ssrc, index) = (word(packet, 8), self.order.guess(half(packet, 2)));
        self.order.note(index);
        self.rtp.apply(ssrc, index, &mut packet[begin..]);
        let tag = self.rtp.tag(packet, (index >> 16) as u32);
        rest.get_mut(..TAG)?.copy_from_slice(&tag);
        Some(length + TAG)
    }

    /// Protects a compound packet of reports.
    pub fn seal_rtcp(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        self.reports = (self.reports + 1) & !ENCRYPTED;
        let ssrc = word(&packet, 4);
        self.rtcp.apply(ssrc, u64::from(self.reports), &mut packet[RTCP_HEAD..]);
        let index = self.reports | ENCRYPTED;
        let tag = self.rtcp.tag(&packet, index);
        packet.extend(index.to_be_bytes());
        packet.extend(tag);
        packet
    }
}

impl Opener {
    /// Opens with this key and salt.
    pub fn new(material: &[u8; MATERIAL]) -> Opener {
        Opener {
            rtp: Session::derive(material, 0),
            rtcp: Session::derive(material, 3),
            sources: VecDeque::new(),
            reports: Window::default(),
        }
    }

    /// Opens a packet of sound where it lies. `None` when it was not made with the key, or comes again.
    pub fn open_rtp<'a>(&mut self, packet: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG>()?;
        let begin = rtp::payload_at(packet)?;
        let ssrc = word(packet, 8);
        let known = self.sources.iter().position(|(source, _)| *source == ssrc);
        let mut order = known.map(|at| self.sources[at].1).unwrap_or_default();
        let index = order.guess(half(packet, 2));
        if !self.rtp.verify(packet, (index >> 16) as u32, tag) || !order.note(index) {
            return None;
        }
        match known {
            Some(at) => self.sources[at].1 = order,
            None => {
                self.sources.push_back((ssrc, order));
                self.sources.drain(..self.sources.len().saturating_sub(SOURCES));
            }
        }
        self.rtp.apply(ssrc, index, &mut packet[begin..]);
        Some(packet)
    }

    /// Opens a compound packet of reports where it lies.
    pub fn open_rtcp<'a>(&mut self, packet: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (packet, tag) = packet.split_last_chunk_mut::<TAG>()?;
        let (packet, index) = packet.split_last_chunk_mut::<RTCP_INDEX>()?;
        let index = u32::from_be_bytes(*index);
        if packet.len() < RTCP_HEAD || !self.rtcp.verify(packet, index, tag) {
            return None;
        }
        let number = index & !ENCRYPTED;
        if !self.reports.note(u64::from(number)) {
            return None;
        }
        if index & ENCRYPTED != 0 {
            let ssrc = word(packet, 4);
            self.rtcp.apply(ssrc, u64::from(number), &mut packet[RTCP_HEAD..]);
        }
        Some(packet)
    }
}

/// The keys of one kind of packet (RFC 3711 4.3).
struct Session {
    key: [u8; KEY],
    salt: [u8; SALT],
    mac: Hmac<Sha1>,
}

impl Session {
    /// The keys that follow from a master key; `label` is the first of the kind's three.
    fn derive(material: &[u8; MATERIAL], label: u8) -> Session {
        let mut session_key = [0; KEY];
        let mut authentication = [0; 20];
        let mut salt = [0; SALT];
        expand(material, label, &mut session_key);
        expand(material, label + 1, &mut authentication);
        expand(material, label + 2, &mut salt);
        let mac = Hmac::new_from_slice(&authentication).expect("law: HMAC takes keys of every length");
        Session { key: session_key, salt, mac }
    }

    /// Encrypts or decrypts, which is the same (RFC 3711 4.1.1).
    fn apply(&self, ssrc: u32, index: u64, bytes: &mut [u8]) {
        let mut counter = [0; 16];
        counter[..SALT].copy_from_slice(&self.salt);
        for (byte, other) in counter[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
            *byte ^= other;
        }
        for (byte, other) in counter[8..SALT].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *byte ^= other;
        }
        Ctr128BE::<Aes128>::new(&self.key.into(), &counter.into()).apply_keystream(bytes);
    }

    fn tag(&self, packet: &[u8], more: u32) -> [u8; TAG] {
        let whole = self.over(packet, more).finalize().into_bytes();
        *whole.first_chunk().expect("law: SHA-1 has 20 bytes")
    }

    fn verify(&self, packet: &[u8], more: u32, tag: &[u8; TAG]) -> bool {
        self.over(packet, more).verify_truncated_left(tag).is_ok()
    }

    fn over(&self, packet: &[u8], more: u32) -> Hmac<Sha1> {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(&more.to_be_bytes());
        mac
    }
}

/// One derived key (RFC 3711 4.3.1), for keys that are never derived anew.
fn expand(material: &[u8; MATERIAL], label: u8, derived: &mut [u8]) {
    let (key, salt) = material.split_first_chunk::<KEY>().expect("law: the material is key and salt");
    let mut counter = [0; 16];
    counter[..SALT].copy_from_slice(salt);
    counter[7] ^= label;
    derived.fill(0);
    Ctr128BE::<Aes128>::new(&(*key).into(), &counter.into()).apply_keystream(derived);
}

/// The order of a source's packets: 48 bits, of which a packet tells the last 16.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    begun: bool,
    window: Window,
}

impl Order {
    /// The most likely index of a packet (RFC 3711 3.3.1).
    fn guess(&self, sequence: u16) -> u64 {
        if !self.begun {
            return u64::from(sequence);
        }
        let highest = self.window.highest;
        let ahead = i64::from(rtp::ahead(sequence, highest as u16));
        highest.checked_add_signed(ahead).unwrap_or(u64::from(sequence))
    }

    fn note(&mut self, index: u64) -> bool {
        self.begun = true;
        self.window.note(index)
    }
}

/// The last 64 packets, none of which is taken twice (RFC 3711 3.3.2).
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u64,
    /// A bit for each packet, the highest's the lowest.
    seen: u64,
}

impl Window {
    /// Notes a packet; `false` when it came before, or so long ago that nobody knows.
    fn note(&mut self, index: u64) -> bool {
        if self.seen == 0 || index > self.highest {
            let ahead = index.saturating_sub(self.highest);
            self.seen = u32::try_from(ahead).ok().and_then(|by| self.seen.checked_shl(by)).unwrap_or(0) | 1;
            self.highest = index;
            return true;
        }
        let behind = self.highest - index;
        let bit = u32::try_from(behind).ok().and_then(|by| 1_u64.checked_shl(by)).unwrap_or(0);
        let fresh = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Keys are secrets and print nothing.
impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(***)")
    }
}

/// Keys are secrets and print nothing.
impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(***)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::rtp::Header;

    const MASTER: [u8; MATERIAL] = *b"\xe1\xf9\x7a\x0d\x3e\x01\x8b\xe0\xd6\x4f\xa3\x2c\x06\xde\x41\x39\
        \x0e\xc6\x75\xad\x49\x8a\xfe\xeb\xb6\x96\x0b\x3a\xab\xe6";

    #[test]
    fn keys_are_derived_as_the_standard_shows() {
        // RFC 3711 B.3.
        let session = Session::derive(&MASTER, 0);
        let mut authentication = [0; 20];
        expand(&MASTER, 1, &mut authentication);

        assert_eq!(session.key, *b"\xc6\x1e\x7a\x93\x74\x4f\x39\xee\x10\x73\x4a\xfe\x3f\xf7\xa0\x87");
        assert_eq!(session.salt, *b"\x30\xcb\xbc\x08\x86\x3d\x8c\x85\xd4\x9d\xb3\x4a\x9a\xe1");
        assert_eq!(
            authentication[..16],
            *b"\xce\xbe\x32\x1f\x6f\xf7\x71\x6b\x6f\xd4\xab\x49\xaf\x25\x6a\x15"
        );
        assert_eq!(authentication[16..], *b"\x6d\x38\xba\xa4");
    }

    #[test]
    fn the_key_stream_is_that_of_the_standard() {
        // RFC 3711 B.2.
        let session = Session {
            key: *b"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c",
            salt: *b"\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd",
            mac: Hmac::new_from_slice(&[]).unwrap(),
        };
        let mut stream = [0; 32];

        session.apply(0, 0, &mut stream);

        assert_eq!(stream[..16], *b"\xe0\x3e\xad\x09\x35\xc9\x5e\x80\xe1\x66\xb1\x6d\xd9\x2b\x4e\xb4");
        assert_eq!(stream[16..], *b"\xd2\x35\x13\x16\x2b\x02\xd0\xf7\x2a\x43\xa2\xfe\x4a\x5f\x97\xab");
    }

    fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
        let header = Header { marker: false, payload_type: 0, sequence, timestamp: 7, ssrc: 0xcafe };
        [&header.to_bytes()[..], payload].concat()
    }

    fn seal(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
        let mut buffer = [plain, &[0; TAG]].concat();
        assert_eq!(sealer.seal_rtp(&mut buffer, plain.len()), Some(plain.len() + TAG));
        buffer
    }

    #[test]
    fn what_is_sealed_is_opened_and_only_once() {
        let (mut sealer, mut opener) = (Sealer::new(&MASTER), Opener::new(&MASTER));
        let plain = packet(1, b"sound");
        let sealed = seal(&mut sealer, &plain);

        assert_ne!(sealed[12..17], *b"sound");
        assert_eq!(opener.open_rtp(&mut sealed.clone()).as_deref(), Some(&plain[..]));
        assert_eq!(opener.open_rtp(&mut sealed.clone()), None);
    }

    #[test]
    fn packets_out_of_order_and_around_the_turn_of_their_numbers_are_opened() {
        let (mut sealer, mut opener) = (Sealer::new(&MASTER), Opener::new(&MASTER));
        let numbers = (65_000..=u16::MAX).chain(0..1000);
        let mut sealed: Vec<Vec<u8>> =
            numbers.map(|n| seal(&mut sealer, &packet(n, &n.to_be_bytes()))).collect();
        for pair in sealed.chunks_mut(2) {
            pair.swap(0, 1);
        }

        for mut packet in sealed {
            let opened = opener.open_rtp(&mut packet).unwrap();
            assert_eq!(opened[12..14], opened[2..4]);
        }
    }

    #[test]
    fn reports_are_sealed_and_opened() {
        let (mut sealer, mut opener) = (Sealer::new(&MASTER), Opener::new(&MASTER));
        let plain = b"\x81\xc8\x00\x02\x00\x00\xca\xfesome reports".to_vec();
        let mut sealed = sealer.seal_rtcp(plain.clone());

        assert!(!sealed.windows(7).any(|window| window == b"reports"));
        assert_eq!(opener.open_rtcp(&mut sealed.clone()).as_deref(), Some(&plain[..]));
        assert_eq!(opener.open_rtcp(&mut sealed), None);
    }

    #[test]
    fn another_key_opens_nothing() {
        let mut sealed = seal(&mut Sealer::new(&MASTER), &packet(1, b"sound"));

        assert_eq!(Opener::new(&[9; MATERIAL]).open_rtp(&mut sealed), None);
    }

    proptest! {
        #[test]
        fn a_packet_with_any_bit_turned_is_refused(at in any::<proptest::sample::Index>(), bit in 0_u8..8) {
            let mut sealed = seal(&mut Sealer::new(&MASTER), &packet(1, b"sound"));
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(Opener::new(&MASTER).open_rtp(&mut sealed), None);
        }

        #[test]
        fn garbage_is_refused_in_peace(mut bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut opener = Opener::new(&MASTER);
            let _ = opener.open_rtp(&mut bytes.clone());
            let _ = opener.open_rtcp(&mut bytes);
        }
    }
}
