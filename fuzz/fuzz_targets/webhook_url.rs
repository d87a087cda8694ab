#![no_main]

libfuzzer_sys::fuzz_target!(|url: &str| callveil_fuzz::webhook_url(url));
