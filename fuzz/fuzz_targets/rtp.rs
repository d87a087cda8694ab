#![no_main]

libfuzzer_sys::fuzz_target!(|packet: &[u8]| callveil_fuzz::rtp(packet));
