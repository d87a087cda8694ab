//! Packets of sound and reports.

#![no_main]

use callveil_voice::media::{rtcp, rtp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let _ = (rtp::is_rtcp(packet), rtcp::sender_report(packet));
    if let Some(read) = rtp::Packet::parse(packet) {
        assert!(read.payload.len() + rtp::HEADER <= packet.len());
    }
});
