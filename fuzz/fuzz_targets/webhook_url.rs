//! URLs of endpoints: what may be tried names no address that is not public.

#![no_main]

use std::net::IpAddr;

use callveil_webhooks::guard::{Guard, is_public};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|url: &str| {
    let guard = Guard { allow_http: true, ..Guard::default() };
    if let Ok(target) = guard.target(url) {
        let authority = target.uri().authority().expect("what may be tried has a host");
        assert!(!authority.as_str().contains('@'));
        // As the connector reads it.
        if let Ok(address) = authority.host().trim_matches(['[', ']']).parse::<IpAddr>() {
            assert!(is_public(address), "{address} may be tried");
        }
    }
});
