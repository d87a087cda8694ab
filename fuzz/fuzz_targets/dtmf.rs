#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| callveil_fuzz::dtmf(bytes));
