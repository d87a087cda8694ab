//! What sound is carried: the codecs that pass through, and the one conversion there is.

/// A codec that passes from one leg to another as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// G.711, mu-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// G.722, 64 kbit/s.
    G722,
    /// Opus (RFC 7587).
    Opus,
}

impl Codec {
    /// All of them, in the order in which we offer them.
    pub const ALL: [Codec; 4] = [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::Opus];

    /// The codec of an rtpmap: its name, clock rate and channels.
    pub fn named(name: &str, clock: u32, channels: u32) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| {
            codec.name().eq_ignore_ascii_case(name) && codec.clock() == clock && codec.channels() == channels
        })
    }

    /// The codec that has this payload type without an rtpmap (RFC 3551).
    pub fn of_static_type(payload_type: u8) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.static_type() == Some(payload_type))
    }

    /// Its payload type, if it has one of its own (RFC 3551).
    pub fn static_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }

    /// Its name in an rtpmap.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// Steps of its RTP timestamp in a second. G.722's is 8000, though it samples twice as often (RFC 3551 4.5.2).
    pub fn clock(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8000,
            Codec::Opus => 48_000,
        }
    }

    /// Its channels in an rtpmap. Opus always says two (RFC 7587 7).
    pub fn channels(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 1,
            Codec::Opus => 2,
        }
    }

    /// Its law, if it is G.711: such sound can be read, made and converted by us.
    pub fn law(self) -> Option<Law> {
        match self {
            Codec::Pcmu => Some(Law::Mu),
            Codec::Pcma => Some(Law::A),
            Codec::G722 | Codec::Opus => None,
        }
    }
}

/// The two laws of G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// mu-law.
    Mu,
    /// A-law.
    A,
}

impl Law {
    /// The byte for silence.
    pub fn silence(self) -> u8 {
        match self {
            Law::Mu => 0xff,
            Law::A => 0xd5,
        }
    }

    /// The sample of a byte.
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Law::Mu => MU_TO_LINEAR[usize::from(byte)],
            Law::A => A_TO_LINEAR[usize::from(byte)],
        }
    }

    /// The byte of a sample.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => linear_to_mu(sample),
            Law::A => linear_to_a(sample),
        }
    }

    /// Puts bytes of this law into another, in place.
    pub fn convert(self, to: Law, bytes: &mut [u8]) {
        let table = match (self, to) {
            (Law::Mu, Law::A) => &MU_TO_A,
            (Law::A, Law::Mu) => &A_TO_MU,
            (Law::Mu, Law::Mu) | (Law::A, Law::A) => return,
        };
        for byte in bytes {
            *byte = table[usize::from(*byte)];
        }
    }
}

static MU_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = mu_to_linear(byte as u8);
        byte += 1;
    }
    table
};

static A_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = a_to_linear(byte as u8);
        byte += 1;
    }
    table
};

static MU_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = linear_to_a(mu_to_linear(byte as u8));
        byte += 1;
    }
    table
};

static A_TO_MU: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = linear_to_mu(a_to_linear(byte as u8));
        byte += 1;
    }
    table
};

/// What is added to a magnitude in mu-law, so that every segment begins at a power of two.
const BIAS: i16 = 0x84;

const fn mu_to_linear(byte: u8) -> i16 {
    let inverted = !byte;
    let (exponent, mantissa) = ((inverted >> 4) & 7, (inverted & 15) as i16);
    let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    if inverted & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn linear_to_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let clipped = if sample.unsigned_abs() > 32_635 { 32_635 } else { sample.unsigned_abs() };
    let biased = clipped + BIAS as u16;
    let exponent = biased.ilog2() - 7;
    let mantissa = (biased >> (exponent + 3)) & 15;
    !(sign | ((exponent as u8) << 4) | mantissa as u8)
}

const fn a_to_linear(byte: u8) -> i16 {
    let plain = byte ^ 0x55;
    let (exponent, mantissa) = ((plain >> 4) & 7, ((plain & 15) as i16) << 4);
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    if plain & 0x80 == 0 { -magnitude } else { magnitude }
}

const fn linear_to_a(sample: i16) -> u8 {
    let (mask, magnitude) = if sample < 0 { (0x55, !sample as u16) } else { (0xd5, sample as u16) };
    let exponent = if magnitude < 256 { 0 } else { magnitude.ilog2() - 7 };
    let shift = if exponent == 0 { 4 } else { exponent + 3 };
    let mantissa = (magnitude >> shift) & 15;
    (((exponent as u8) << 4) | mantissa as u8) ^ mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_law_survives_its_sample() {
        for byte in 0..=u8::MAX {
            assert_eq!(Law::A.encode(Law::A.decode(byte)), byte);
            // Mu-law has two zeros, which are the same silence.
            let again = Law::Mu.encode(Law::Mu.decode(byte));
            assert!(again == byte || (byte == 0x7f && again == 0xff), "{byte:#x} became {again:#x}");
        }
    }

    #[test]
    fn samples_come_back_within_a_sixteenth() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let error = i32::from(law.decode(law.encode(sample))) - i32::from(sample);
                let allowed = i32::from(sample.unsigned_abs()) / 16 + 16;
                assert!(error.abs() <= allowed.max(700), "{sample} in {law:?} is off by {error}");
            }
        }
    }

    #[test]
    fn the_laws_say_the_known_values() {
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x2a), -32_256);
        assert_eq!(Law::A.decode(0xaa), 32_256);
    }

    #[test]
    fn conversion_is_decoding_and_encoding() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let mut converted = all.clone();

        Law::Mu.convert(Law::A, &mut converted);

        let expected: Vec<u8> = all.iter().map(|byte| Law::A.encode(Law::Mu.decode(*byte))).collect();
        assert_eq!(converted, expected);
    }

    #[test]
    fn silence_is_silent() {
        for law in [Law::Mu, Law::A] {
            assert!(law.decode(law.silence()).abs() <= 8);
        }
    }
}
