//! What must hold of anything that comes from outside: each function is a target for a fuzzer, and panics when it does
//! not. The suite of the server runs them too, over the seeds that are kept here.

use std::net::IpAddr;

use callveil_voice::media::dtmf::{Events, Tones};
use callveil_voice::media::sdp::Sdp;
use callveil_voice::media::{rtcp, rtp};
use callveil_voice::sip::{self, gate, trace};
use callveil_webhooks::guard::{Guard, is_public};

/// Keys, as events and as tones.
pub fn dtmf(bytes: &[u8]) {
    let mut events = Events::default();
    // A press is told once: never more keys than packets.
    let packets = bytes.chunks(20).filter_map(rtp::Packet::parse);
    let told = packets.filter_map(|packet| events.read(packet.header, packet.payload)).count();
    assert!(told <= bytes.len() / 16, "{told} keys in {} bytes of events", bytes.len());
    let mut tones = Tones::default();
    let samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    let told = samples.filter_map(|sample| tones.hear(sample)).count();
    assert!(told <= bytes.len() / 100, "{told} keys in {} bytes of tones", bytes.len());
}

/// Packets of sound and reports.
pub fn rtp(packet: &[u8]) {
    let _ = (rtp::is_rtcp(packet), rtcp::sender_report(packet));
    if let Some(read) = rtp::Packet::parse(packet) {
        assert!(read.payload.len() + rtp::HEADER <= packet.len());
    }
}

/// Descriptions: what was read can be written, and is read again as the same.
pub fn sdp(description: &[u8]) {
    if let Ok(read) = Sdp::parse(description) {
        let written = read.to_string();
        let again = Sdp::parse(written.as_bytes()).expect("what we write can be read");
        assert_eq!(again.to_string(), written);
    }
}

/// What comes to the SIP port: the gate before the library, the library behind it, and the trace beside both.
pub fn sip(message: &[u8]) {
    let judged = gate::judge(message);
    // What passes is text whose head is whole.
    assert!(judged.is_err() || message.windows(4).any(|window| window == b"\r\n\r\n"));
    if judged.is_ok() {
        sip::read_through(message);
    }
    // An answer repeats no more than the way back.
    if let Some(answer) = gate::answer(message, 400) {
        assert!(answer.len() <= message.len() + 256);
    }
    let _ = trace::masked(message);
}

/// URLs of endpoints: what may be tried names no address that is not public.
pub fn webhook_url(url: &str) {
    let guard = Guard { allow_http: true, ..Guard::default() };
    if let Ok(target) = guard.target(url) {
        let authority = target.uri().authority().expect("what may be tried has a host");
        assert!(!authority.as_str().contains('@'));
        // As the connector reads it.
        if let Ok(address) = authority.host().trim_matches(['[', ']']).parse::<IpAddr>() {
            assert!(is_public(address), "{address} may be tried");
        }
    }
}
