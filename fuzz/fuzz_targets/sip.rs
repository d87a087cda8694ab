//! What comes to the SIP port, before anything else reads it.

#![no_main]

use callveil_voice::sip::gate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    let judged = gate::judge(message);
    // What passes is text whose head is whole.
    assert!(judged.is_err() || message.windows(4).any(|window| window == b"\r\n\r\n"));
    // An answer repeats no more than the way back.
    if let Some(answer) = gate::answer(message, 400) {
        assert!(answer.len() <= message.len() + 256);
    }
});
