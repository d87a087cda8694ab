//! Keys heard as tones in sound: of each block of samples the energy at the eight frequencies of ITU-T Q.23.

use std::f32::consts::TAU;

use super::KEYS;
use crate::media::tone::RATE;

const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// Samples of a block: 12.75 ms, so that the shortest press (40 ms, Q.24) fills two whatever its beginning.
const BLOCK: usize = 102;
/// Blocks in a row that make a press, and that end it.
const ENOUGH: u8 = 2;

/// The mean square of the quietest tone that is heard, about -40 dBm0.
const QUIETEST: f32 = 20_000.0;
/// The share of all energy that the two tones have; speech has more elsewhere.
const SHARE: f32 = 0.6;
/// How much a tone stands out of the others of its group: 8 dB.
const PEAK: f32 = 6.3;
/// How much louder the row may be than the column (8 dB), and the column than the row (6 dB).
const TWIST: (f32, f32) = (6.3, 4.0);

/// Hears keys in a stream of samples. Reads what is fed to it and nothing else: feed it only while keys are asked for.
#[derive(Clone, Debug, Default)]
pub struct Tones {
    block: Vec<f32>,
    candidate: Option<char>,
    /// Blocks in a row with the candidate.
    streak: u8,
    pressed: Option<char>,
}

impl Tones {
    /// Hears a sample, and tells the key when a press has become certain with it.
    pub fn hear(&mut self, sample: i16) -> Option<char> {
        self.block.push(f32::from(sample));
        if self.block.len() < BLOCK {
            return None;
        }
        let heard = key(&self.block);
        self.block.clear();
        self.judge(heard)
    }

    fn judge(&mut self, heard: Option<char>) -> Option<char> {
        self.streak = if heard == self.candidate { self.streak.saturating_add(1) } else { 1 };
        self.candidate = heard;
        if self.streak < ENOUGH || heard == self.pressed {
            return None;
        }
        self.pressed = heard;
        heard
    }
}

/// The key whose two tones are most of a block.
fn key(block: &[f32]) -> Option<char> {
    let total: f32 = block.iter().map(|sample| sample * sample).sum();
    if total < QUIETEST * BLOCK as f32 {
        return None;
    }
    let (row, row_energy) = loudest(block, ROWS)?;
    let (column, column_energy) = loudest(block, COLUMNS)?;
    let balanced = row_energy <= column_energy * TWIST.0 && column_energy <= row_energy * TWIST.1;
    if !balanced || row_energy + column_energy < total * SHARE {
        return None;
    }
    Some(KEYS[row][column])
}

/// The frequency that stands out of its group, and its energy.
fn loudest(block: &[f32], frequencies: [f32; 4]) -> Option<(usize, f32)> {
    let energies = frequencies.map(|frequency| energy(block, frequency));
    let (at, most) =
        energies.iter().copied().enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    let stands_out = |(other, energy): (usize, &f32)| other == at || energy * PEAK < most;
    energies.iter().enumerate().all(stands_out).then_some((at, most))
}

/// The energy of a block at one frequency, by Goertzel's recurrence.
fn energy(block: &[f32], frequency: f32) -> f32 {
    let step = 2.0 * (TAU * frequency / RATE as f32).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in block {
        (last, before) = (sample + step * last - before, last);
    }
    (last * last + before * before - step * last * before) * 2.0 / block.len() as f32
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::media::codec::Law;

    /// How a press sounds on its way.
    #[derive(Clone, Copy)]
    struct Sounding {
        ms: usize,
        amplitude: f32,
        /// The column's amplitude, in parts of the row's.
        twist: f32,
        /// How far the frequencies are off, as a factor.
        off: f32,
        noise: f32,
    }

    const CLEAR: Sounding = Sounding { ms: 80, amplitude: 6000.0, twist: 1.0, off: 1.0, noise: 0.0 };

    fn press(row: usize, column: usize, how: Sounding, rng: &mut StdRng) -> Vec<i16> {
        let phase: f32 = rng.random_range(0.0..TAU);
        let sample = |at: usize, noise: f32| {
            let time = TAU * how.off * at as f32 / RATE as f32;
            let row = (ROWS[row] * time + phase).sin();
            let column = (COLUMNS[column] * time).sin() * how.twist;
            (how.amplitude * (row + column) + how.noise * noise) as i16
        };
        (0..how.ms * 8).map(|at| sample(at, rng.random_range(-1.0..1.0))).collect()
    }

    fn keys(samples: impl IntoIterator<Item = i16>) -> String {
        let mut tones = Tones::default();
        samples.into_iter().filter_map(|sample| tones.hear(Law::Mu.decode(Law::Mu.encode(sample)))).collect()
    }

    #[track_caller]
    fn all_are_heard(how: Sounding) {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut samples, mut expected) = (Vec::new(), String::new());
        for round in 0..10 {
            for (row, keys) in KEYS.iter().enumerate() {
                for (column, key) in keys.iter().enumerate() {
                    samples.extend(press(row, column, how, &mut rng));
                    samples.extend(vec![0; 8 * 50 + round]);
                    expected.push(*key);
                }
            }
        }
        assert_eq!(keys(samples), expected);
    }

    #[test]
    fn every_key_is_heard_once() {
        all_are_heard(CLEAR);
        all_are_heard(Sounding { ms: 400, ..CLEAR });
        all_are_heard(Sounding { ms: 50, ..CLEAR });
    }

    #[test]
    fn keys_are_heard_quiet_noisy_twisted_and_off_their_frequency() {
        all_are_heard(Sounding { amplitude: 300.0, ..CLEAR });
        all_are_heard(Sounding { noise: 2500.0, ..CLEAR });
        all_are_heard(Sounding { twist: 0.5, ..CLEAR });
        all_are_heard(Sounding { twist: 1.4, ..CLEAR });
        all_are_heard(Sounding { off: 1.015, ms: 60, ..CLEAR });
        all_are_heard(Sounding { off: 0.985, ms: 60, ..CLEAR });
    }

    #[test]
    fn one_tone_alone_is_no_key() {
        let alone = |frequency: f32| {
            let sample = move |at: usize| (6000.0 * (TAU * frequency * at as f32 / RATE as f32).sin()) as i16;
            keys((0..8000).map(sample))
        };

        for frequency in [400.0, 697.0, 941.0, 1209.0, 1633.0, 2000.0] {
            assert_eq!(alone(frequency), "");
        }
    }

    #[test]
    fn silence_and_noise_are_no_keys() {
        let mut rng = StdRng::seed_from_u64(2);

        assert_eq!(keys(vec![0; 8000]), "");
        assert_eq!(keys((0..400_000).map(|_| rng.random_range(-8000..8000))), "");
    }

    #[tokio::test]
    async fn speech_is_no_keys() {
        let prompts = crate::media::prompt::Prompts::default();
        for language in ["en", "hi"] {
            for name in ["enter-pin", "wrong-pin", "not-available", "unknown-number", "one-way", "recorded"] {
                let speech = prompts.find(name, language, "acme").await;
                // The same voice at other heights, as others have them.
                for skip in [0, 5, 7, 9] {
                    let heard = speech.iter().enumerate().filter(|(at, _)| skip == 0 || at % skip != 0);
                    let samples = heard.map(|(_, byte)| Law::Mu.decode(*byte));
                    assert_eq!(keys(samples), "", "{language}/{name} without each {skip}th sample");
                }
            }
        }
    }
}
