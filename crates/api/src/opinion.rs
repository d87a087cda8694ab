//! What libphonenumber thinks of a number: advice, since new series reach its tables years late.
//!
//! It is told as a warning; only a tenant who set `strict_numbers` has such numbers refused.

use callveil_domain::number::PhoneNumber;
use rlibphonenumber::{PHONE_NUMBER_UTIL, ValidationError};

/// What is odd about a number, if anything.
pub(crate) fn of(number: PhoneNumber) -> Option<&'static str> {
    let Ok(parsed) = PHONE_NUMBER_UTIL.parse(number.expose().to_string(), None) else {
        return Some("begins with no country code that is known");
    };
    match parsed.is_possible_with_reason() {
        Err(ValidationError::InvalidCountryCode) => Some("begins with no country code that is known"),
        Err(ValidationError::TooShort) => Some("looks too short for its country"),
        Err(ValidationError::TooLong) => Some("looks too long for its country"),
        Err(ValidationError::InvalidLength) => Some("has another length than the numbers of its country"),
        Ok(_) if !parsed.is_valid() => Some("is of no series that is known in its country; is it mistyped?"),
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_numbers_are_told_apart() {
        check(919_900_000_001, None);
        check(1_202_555_010, Some("looks too short for its country"));
        check(120_255_501_011, Some("looks too long for its country"));
        check(910_000_000_001, Some("is of no series that is known in its country; is it mistyped?"));
        check(999_000_000_001, Some("begins with no country code that is known"));

        fn check(digits: u64, expected: Option<&str>) {
            assert_eq!(of(PhoneNumber::from_digits(digits).unwrap()), expected, "{digits}");
        }
    }
}
