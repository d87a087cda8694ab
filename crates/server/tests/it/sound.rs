//! Sound that is known again: noise that one telephone plays, and how much of it another has heard.

use std::fs;
use std::path::Path;

/// Samples in a second.
const RATE: u32 = 8_000;

/// What is compared at a time: a tenth of a second.
const PIECE: usize = 800;

/// How much of a piece is enough to find its place.
const PROBE: usize = 64;

/// How far the next piece may lie from where it is expected: what a telephone that was late has left out or put in.
const SLIP: usize = 800;

/// The normalised cross-correlation from which on a piece is the same. That of two laws of G.711 in a row is 0.999.
const SAME: f64 = 0.9;

/// Noise that is like no other of another seed.
pub fn noise(seed: u32, seconds: u32) -> Vec<i16> {
    let mut state = seed | 1;
    let next = || {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        i16::try_from(state % 16_000).unwrap() - 8_000
    };
    std::iter::repeat_with(next).take((RATE * seconds) as usize).collect()
}

/// How much of what was played was heard.
#[derive(Debug)]
pub struct Heard {
    /// Pieces that were found, in their order.
    pub found: usize,
    /// Pieces between those that were not.
    pub missing: usize,
}

impl Heard {
    /// Seconds of it, with hardly a gap: a telephone on a busy machine may drop what came too late.
    pub fn well(&self) -> bool {
        self.found >= 15 && self.missing * 5 <= self.found
    }
}

/// Looks for what was played in what was heard.
pub fn compare(played: &[i16], heard: &[i16]) -> Heard {
    let mut result = Heard { found: 0, missing: 0 };
    let mut skipped = 0;
    let mut expected = None;
    for piece in played.chunks_exact(PIECE) {
        let place = match expected {
            None => find(piece, heard, 0, heard.len()),
            Some(at) => find(piece, heard, at - SLIP.min(at), at + SLIP),
        };
        match (place, &mut expected) {
            (Some(place), _) => {
                result.found += 1;
                result.missing += std::mem::take(&mut skipped);
                expected = Some(place + PIECE);
            }
            (None, Some(at)) => {
                skipped += 1;
                *at += PIECE;
            }
            (None, None) => {}
        }
    }
    result
}

/// Where a piece begins, if it is there.
fn find(piece: &[i16], heard: &[i16], from: usize, to: usize) -> Option<usize> {
    let last = heard.len().checked_sub(PIECE)?;
    (from..to.min(last + 1)).find(|at| {
        correlation(&piece[..PROBE], &heard[*at..at + PROBE]) > SAME
            && correlation(piece, &heard[*at..at + PIECE]) > SAME
    })
}

/// The normalised cross-correlation of two stretches of the same length.
fn correlation(one: &[i16], other: &[i16]) -> f64 {
    let (mut product, mut square, mut other_square) = (0_i64, 0_i64, 0_i64);
    for (a, b) in one.iter().zip(other) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        product += a * b;
        square += a * a;
        other_square += b * b;
    }
    product as f64 / ((square as f64 * other_square as f64).sqrt() + 1.0)
}

/// Writes a file of 16 bit PCM, one channel.
pub fn write(path: &Path, samples: &[i16]) {
    let data = u32::try_from(samples.len() * 2).unwrap();
    let mut file = Vec::from(*b"RIFF");
    file.extend((data + 36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    fs::write(path, file).unwrap();
}

/// Reads the samples of such a file. Its writer may have died: it is read to its end.
pub fn read(path: &Path) -> Vec<i16> {
    let file = fs::read(path).unwrap();
    let begin = file.windows(4).position(|four| four == b"data").map_or(file.len(), |at| at + 8);
    let (samples, _) = file.get(begin..).unwrap_or_default().as_chunks::<2>();
    samples.iter().map(|sample| i16::from_le_bytes(*sample)).collect()
}

#[test]
fn noise_is_known_again_through_gaps_and_not_taken_for_another() {
    let (mine, another) = (noise(1, 3), noise(2, 3));
    let late = [&[0; 5_000][..], &mine].concat();
    let with_a_gap = [&mine[..8_000], &mine[8_400..]].concat();

    assert_eq!(format!("{:?}", compare(&mine, &late)), "Heard { found: 30, missing: 0 }");
    assert_eq!(format!("{:?}", compare(&mine, &with_a_gap)), "Heard { found: 29, missing: 1 }");
    assert_eq!(compare(&mine, &another).found, 0);
    assert!(!compare(&mine, &[]).well());
}
