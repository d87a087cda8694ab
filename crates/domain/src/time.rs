//! Moments and lengths of time, as the rules of masking need them.
//!
//! There is no clock here: every rule is given `now`. A [`Timestamp`] is UTC and is put into a tenant's zone
//! only where it leaves the program.

use std::fmt;
use std::time::Duration;

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Later than any moment that is reckoned with: the expiry of what never expires.
    pub const NEVER: Timestamp = Timestamp(i64::MAX);
    /// The beginning of the count, 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);

    /// The moment that lies this many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    /// Microseconds since the epoch, as they are stored.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch; zero for moments before it. This is the time in a UUIDv7.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0 / 1_000).unwrap_or(0)
    }

    /// The moment `length` later. Stops at [`Timestamp::NEVER`].
    pub fn plus(self, length: Duration) -> Timestamp {
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(micros))
    }

    /// The moment `length` earlier.
    pub fn minus(self, length: Duration) -> Timestamp {
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Tells the time. Only the edge of the program holds one; rules are given the moment itself.
pub trait Clock: Send + Sync {
    /// The present moment. Never earlier than a moment it has told before.
    fn now(&self) -> Timestamp;
}

/// Reads a length written as the wire has it: a positive whole number and one of `d`, `h`, `m`, `s`
/// (LeadAssist `deallocation_policy.duration`).
pub fn parse_length(text: &str) -> Result<Duration, NotALength> {
    let text = text.trim();
    let Some(unit) = text.chars().last() else { return Err(NotALength) };
    let seconds_in_unit: u64 = match unit {
        'd' | 'D' => 86_400,
        'h' | 'H' => 3_600,
        'm' | 'M' => 60,
        's' | 'S' => 1,
        _ => return Err(NotALength),
    };
    let count = &text[..text.len() - unit.len_utf8()];
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotALength);
    }
    let count: u64 = count.parse().map_err(|_| NotALength)?;
    let seconds = count.checked_mul(seconds_in_unit).filter(|s| *s > 0).ok_or(NotALength)?;
    Ok(Duration::from_secs(seconds))
}

/// Writes a length in the largest unit that leaves no remainder, as [`parse_length`] reads it.
pub fn write_length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        s if s > 0 && s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s > 0 && s.is_multiple_of(3_600) => format!("{}h", s / 3_600),
        s if s > 0 && s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// The text is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotALength;

impl fmt::Display for NotALength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a positive whole number and a unit, d, h, m or s, such as 45m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(parse_length(text).ok().map(|d| d.as_secs()), seconds, "{text:?}");
    }

    #[test]
    fn lengths_are_a_number_and_a_unit() {
        check("1s", Some(1));
        check("45m", Some(45 * 60));
        check("5H", Some(5 * 3_600));
        check("170d", Some(170 * 86_400));
        check(" 10m ", Some(600));
        for wrong in
            ["", "s", "10", "-1", "0s", "1.5h", "1h30m", "10 m", "९m", "99999999999999999999d", "+5m"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn a_written_length_reads_back() {
        for seconds in [1, 59, 60, 61, 3_600, 5_400, 86_400, 170 * 86_400] {
            let length = Duration::from_secs(seconds);
            assert_eq!(parse_length(&write_length(length)), Ok(length));
        }
    }

    #[test]
    fn what_never_ends_stays_so() {
        assert_eq!(Timestamp::NEVER.plus(Duration::from_secs(5)), Timestamp::NEVER);
    }
}
