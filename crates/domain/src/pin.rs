//! Pins: digits that let a caller whose number is not listed join a side, and how easily they are guessed.

use std::fmt;

/// How many wrong tries a virtual number bears in a day before it stops listening.
///
/// Raising it makes guessing easier in proportion; lowering it makes it easier for an attacker to keep real
/// newcomers out.
pub const WRONG_TRIES_A_DAY: u32 = 100;

/// The chance, per virtual number and day, that a guesser hits a live pin, which the defaults stay under.
pub const ACCEPTED_CHANCE: f64 = 0.001;

/// The pins that one virtual number carries at most, unless a tenant says otherwise: with six digits each, this
/// many stay at [`ACCEPTED_CHANCE`].
pub const DEFAULT_LIVE_PINS: u32 = 9;

/// A pin: 1 to 15 digits, the first of them not 0. Prints itself masked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(u64);

impl Pin {
    /// Reads a pin from what was keyed or sent.
    pub fn parse(text: &str) -> Result<Pin, NotAPin> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAPin::NotDigits);
        }
        if text.starts_with('0') {
            return Err(NotAPin::LeadingZero);
        }
        if text.len() > 15 {
            return Err(NotAPin::TooLong);
        }
        text.parse().map(Pin).map_err(|_| NotAPin::NotDigits)
    }

    /// The pin with this value, as the database and the wire (an integer, there) hold it.
    pub fn from_value(value: u64) -> Result<Pin, NotAPin> {
        match value {
            0 => Err(NotAPin::LeadingZero),
            1..=999_999_999_999_999 => Ok(Pin(value)),
            _ => Err(NotAPin::TooLong),
        }
    }

    /// The clear value, for the wire and the database.
    pub fn expose_value(self) -> u64 {
        self.0
    }

    /// How many digits it has.
    pub fn length(self) -> u32 {
        self.0.ilog10() + 1
    }
}

/// The chance, per virtual number and day, that someone who uses up every wrong try hits one of `live` pins of
/// this many digits: tries x live / how many pins of that length there are.
pub fn chance_of_a_hit(digits: u32, live: usize) -> f64 {
    let space = 9.0 * 10f64.powi(i32::try_from(digits).unwrap_or(i32::MAX) - 1);
    // Divided last: 9 live pins of six digits are to be exactly one in a thousand.
    (f64::from(WRONG_TRIES_A_DAY) * live as f64 / space).min(1.0)
}

/// Whether a virtual number that carries `others` pins may take `added` more under the cap. An allocation that
/// has the number to itself is never refused: how many pins it brings is its owner's choice.
pub fn has_room(others: usize, added: usize, cap: u32) -> bool {
    others == 0 || added == 0 || others + added <= cap as usize
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(***)")
    }
}

/// Why a text is not a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPin {
    /// Something else than the digits 0 to 9, or nothing at all.
    #[error("a pin is a positive whole number of 1 to 15 digits")]
    NotDigits,
    /// Integers do not keep a leading zero, so none may have one.
    #[error("a pin must not begin with 0")]
    LeadingZero,
    /// More than 15 digits.
    #[error("a pin has at most 15 digits")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_one_to_fifteen_digits_without_a_leading_zero() {
        assert_eq!(Pin::parse("1").map(Pin::expose_value), Ok(1));
        assert_eq!(Pin::parse("999999999999999").map(Pin::length), Ok(15));
        assert_eq!(Pin::parse("0123"), Err(NotAPin::LeadingZero));
        assert_eq!(Pin::parse("1000000000000000"), Err(NotAPin::TooLong));
        for wrong in ["", "12a4", "-5", "+5", "1 2", "١٢٣"] {
            assert_eq!(Pin::parse(wrong), Err(NotAPin::NotDigits), "{wrong:?}");
        }
    }

    #[test]
    fn a_pin_never_prints_itself() {
        let pin = Pin::parse("483920").unwrap();
        assert!(!format!("{pin} {pin:?}").contains("483920"));
    }

    #[test]
    fn nine_six_digit_pins_are_what_the_accepted_chance_allows() {
        assert!(chance_of_a_hit(6, DEFAULT_LIVE_PINS as usize) <= ACCEPTED_CHANCE);
        assert!(chance_of_a_hit(6, DEFAULT_LIVE_PINS as usize + 1) > ACCEPTED_CHANCE);
        assert!(chance_of_a_hit(4, 1) > ACCEPTED_CHANCE);
        assert_eq!(chance_of_a_hit(1, 9), 1.0);
    }

    #[test]
    fn a_cap_binds_only_where_others_have_pins_too() {
        assert!(has_room(0, 20, 9));
        assert!(has_room(7, 2, 9));
        assert!(!has_room(8, 2, 9));
        assert!(has_room(50, 0, 9));
    }
}
