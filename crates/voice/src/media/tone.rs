//! Sounds that are made: the ring-back tone, and what is played in the place of an announcement that is missing.

use std::f32::consts::TAU;
use std::sync::{Arc, LazyLock};

use super::codec::Law;

/// Samples in a second, of all that is played.
pub const RATE: usize = 8000;

/// One period of the ring-back tone, as mu-law: 400 and 450 Hz, twice for 0.4 s within 3 s.
pub fn ringback() -> Arc<[u8]> {
    static TONE: LazyLock<Arc<[u8]>> = LazyLock::new(|| {
        let ring = || tone(&[400.0, 450.0], 400);
        [ring(), pause(200), ring(), pause(2000)].concat().into()
    });
    TONE.clone()
}

/// What is played in the place of an announcement that is missing: three rising tones and a pause.
pub fn missing() -> Arc<[u8]> {
    static TONE: LazyLock<Arc<[u8]>> = LazyLock::new(|| {
        [tone(&[950.0], 330), tone(&[1400.0], 330), tone(&[1800.0], 330), pause(500)].concat().into()
    });
    TONE.clone()
}

/// Frequencies together, as mu-law, at about a quarter of the loudest.
pub fn tone(frequencies: &[f32], ms: usize) -> Vec<u8> {
    let amplitude = 8000.0 / frequencies.len() as f32;
    let sample = |at: usize| {
        let time = at as f32 / RATE as f32;
        let sum: f32 = frequencies.iter().map(|frequency| (TAU * frequency * time).sin()).sum();
        Law::Mu.encode((amplitude * sum) as i16)
    };
    (0..ms * RATE / 1000).map(sample).collect()
}

/// Silence, as mu-law.
pub fn pause(ms: usize) -> Vec<u8> {
    vec![Law::Mu.silence(); ms * RATE / 1000]
}
