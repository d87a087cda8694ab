//! WAV files with 8000 samples a second: announcements are read, recordings written.

use super::codec::Law;
use super::tone::RATE;

/// The length of the header that we write.
pub const HEADER: usize = 58;

const FORMAT_PCM: u16 = 1;
const FORMAT_A: u16 = 6;
const FORMAT_MU: u16 = 7;

/// The header of a file with so many frames of one byte a channel. It holds nothing but what is needed to play it.
pub fn header(law: Law, channels: u16, frames: u32) -> [u8; HEADER] {
    let format = match law {
        Law::Mu => FORMAT_MU,
        Law::A => FORMAT_A,
    };
    let data = frames.saturating_mul(u32::from(channels));
    let rate = RATE as u32;
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend(b"RIFF");
    bytes.extend(data.saturating_add(HEADER as u32 - 8).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(18_u32.to_le_bytes());
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(channels)).to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(8_u16.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend(b"fact");
    bytes.extend(4_u32.to_le_bytes());
    bytes.extend(frames.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data.to_le_bytes());
    bytes.try_into().expect("law: the header has its length")
}

/// Why a file cannot be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplayable {
    /// It is no WAV file, or a damaged one.
    #[error("it is no whole WAV file")]
    Damaged,
    /// It is one that a telephone would need to have converted.
    #[error("it is not mono with 8000 samples a second, as mu-law, A-law or 16 bit PCM")]
    Foreign,
}

/// The sound of a file, as mu-law.
pub fn read(bytes: &[u8]) -> Result<Vec<u8>, Unplayable> {
    let (riff, chunks) = bytes.split_at_checked(12).ok_or(Unplayable::Damaged)?;
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
        return Err(Unplayable::Damaged);
    }
    let format = chunk(chunks, b"fmt ").and_then(Format::read).ok_or(Unplayable::Damaged)?;
    let data = chunk(chunks, b"data").ok_or(Unplayable::Damaged)?;
    if format.channels != 1 || format.rate != RATE as u32 {
        return Err(Unplayable::Foreign);
    }
    match (format.tag, format.bits) {
        (FORMAT_MU, 8) => Ok(data.to_vec()),
        (FORMAT_A, 8) => {
            let mut sound = data.to_vec();
            Law::A.convert(Law::Mu, &mut sound);
            Ok(sound)
        }
        (FORMAT_PCM, 16) => {
            let (samples, _) = data.as_chunks::<2>();
            Ok(samples.iter().map(|sample| Law::Mu.encode(i16::from_le_bytes(*sample))).collect())
        }
        _ => Err(Unplayable::Foreign),
    }
}

struct Format {
    tag: u16,
    channels: u16,
    rate: u32,
    bits: u16,
}

impl Format {
    fn read(chunk: &[u8]) -> Option<Format> {
        let fields: &[u8; 16] = chunk.first_chunk()?;
        let half = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
        let rate = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
        Some(Format { tag: half(0), channels: half(2), rate, bits: half(14) })
    }
}

/// The body of the first chunk of this name. One that claims to be longer than the file ends with it, as in a file
/// whose writer died.
fn chunk<'a>(mut chunks: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    loop {
        let (head, rest) = chunks.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head.starts_with(name) {
            return Some(&rest[..length.min(rest.len())]);
        }
        // Chunks begin at even places.
        chunks = rest.get(length.checked_add(length % 2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(law: Law, sound: &[u8]) -> Vec<u8> {
        [&header(law, 1, sound.len() as u32)[..], sound].concat()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let sound: Vec<u8> = (0..=255).collect();

        assert_eq!(read(&file(Law::Mu, &sound)), Ok(sound.clone()));
        let converted: Vec<u8> = sound.iter().map(|byte| Law::Mu.encode(Law::A.decode(*byte))).collect();
        assert_eq!(read(&file(Law::A, &sound)), Ok(converted));
    }

    #[test]
    fn a_file_that_is_cut_off_is_played_as_far_as_it_goes() {
        let whole = file(Law::Mu, &[1; 100]);

        assert_eq!(read(&whole[..HEADER + 40]), Ok(vec![1; 40]));
    }

    #[test]
    fn what_a_telephone_cannot_play_is_refused() {
        let mut fast = file(Law::Mu, &[1; 100]);
        fast[24..28].copy_from_slice(&44_100_u32.to_le_bytes());

        assert_eq!(read(&fast), Err(Unplayable::Foreign));
        assert_eq!(read(&[&header(Law::Mu, 2, 1)[..], &[1, 2]].concat()), Err(Unplayable::Foreign));
        assert_eq!(read(b"ID3"), Err(Unplayable::Damaged));
        assert_eq!(read(&fast[..30]), Err(Unplayable::Damaged));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&[b"RIFF\x10\0\0\0WAVE", &bytes[..]].concat());
        }
    }
}
