#![no_main]

libfuzzer_sys::fuzz_target!(|message: &[u8]| callveil_fuzz::sip(message));
