//! Keys, as events and as tones.

#![no_main]

use callveil_voice::media::dtmf::{Events, Tones};
use callveil_voice::media::rtp::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut events = Events::default();
    // A press is told once: never more keys than packets.
    let packets = bytes.chunks(20).filter_map(Packet::parse);
    let told = packets.filter_map(|packet| events.read(packet.header, packet.payload)).count();
    assert!(told <= bytes.len() / 16);
    let mut tones = Tones::default();
    let samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    let told = samples.filter_map(|sample| tones.hear(sample)).count();
    assert!(told <= bytes.len() / 100);
});
