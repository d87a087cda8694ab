//! Descriptions: what was read can be written, and is read again as the same.

#![no_main]

use callveil_voice::media::sdp::Sdp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|description: &[u8]| {
    if let Ok(read) = Sdp::parse(description) {
        let written = read.to_string();
        let again = Sdp::parse(written.as_bytes()).expect("what we write can be read");
        assert_eq!(again.to_string(), written);
    }
});
