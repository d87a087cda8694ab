#![no_main]

libfuzzer_sys::fuzz_target!(|description: &[u8]| callveil_fuzz::sdp(description));
