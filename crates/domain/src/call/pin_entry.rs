//! How keys become a pin: what was keyed, how long the next key is waited for, and how many tries are left.

use std::fmt;
use std::time::Duration;

use crate::pin::Pin;

/// How often a caller may try in one call.
pub const TRIES: u8 = 3;

/// How long the first key is waited for when the announcement has ended.
pub const FIRST_KEY: Duration = Duration::from_secs(7);

/// How long each further key is waited for. A pin may end so, without `#`.
pub const NEXT_KEY: Duration = Duration::from_secs(6);

/// More keys than any pin has digits are not kept.
const MOST_KEYS: usize = 16;

/// The entry of a pin in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinEntry {
    keys: Keyed,
    tries_left: u8,
    last: Keyed,
}

/// What a key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// It was kept, or it cleared what was there: the next is waited for.
    Taken,
    /// It ended the entry.
    Ended,
    /// It says nothing here.
    Ignored,
}

impl PinEntry {
    /// An entry with all its tries.
    pub fn new() -> PinEntry {
        PinEntry { keys: Keyed::default(), tries_left: TRIES, last: Keyed::default() }
    }

    /// Takes a key. `#` ends an entry that is begun, `*` begins it anew.
    pub fn press(&mut self, key: char) -> Key {
        match key {
            '0'..='9' => {
                if self.keys.0.len() < MOST_KEYS {
                    self.keys.0.push(key);
                }
                Key::Taken
            }
            '*' => {
                self.keys.0.clear();
                Key::Taken
            }
            '#' if !self.keys.0.is_empty() => Key::Ended,
            _ => Key::Ignored,
        }
    }

    /// Whether anything was keyed since the last try.
    pub fn is_begun(&self) -> bool {
        !self.keys.0.is_empty()
    }

    /// Takes what was keyed as a try.
    pub fn finish(&mut self) -> Keyed {
        self.tries_left = self.tries_left.saturating_sub(1);
        self.last = std::mem::take(&mut self.keys);
        self.last.clone()
    }

    /// Whether another try is left.
    pub fn may_try(&self) -> bool {
        self.tries_left > 0
    }

    /// Whether a try was made.
    pub fn was_tried(&self) -> bool {
        self.tries_left < TRIES
    }

    /// What was keyed at the last try.
    pub fn last(&self) -> &Keyed {
        &self.last
    }
}

impl Default for PinEntry {
    fn default() -> Self {
        PinEntry::new()
    }
}

/// The keys of one try. Prints itself masked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyed(String);

impl Keyed {
    /// The pin that they are, if they are one.
    pub fn pin(&self) -> Option<Pin> {
        Pin::parse(&self.0).ok()
    }

    /// The keys themselves, for the tenant's event alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &str, pin: Option<u64>) {
        let mut entry = PinEntry::new();
        let _ = keys.chars().map(|key| entry.press(key)).filter(|done| *done == Key::Ended).count();
        assert_eq!(entry.finish().pin().map(Pin::expose_value), pin, "{keys:?}");
    }

    #[test]
    fn digits_are_a_pin_and_a_star_begins_anew() {
        check("483920#", Some(483_920));
        check("48*3920", Some(3_920));
        check("4A8B", Some(48));
        check("0123#", None);
        check("", None);
        check("12345678901234567890#", None);
        check("123456789012345#", Some(123_456_789_012_345));
    }

    #[test]
    fn a_hash_ends_only_what_is_begun() {
        let mut entry = PinEntry::new();
        assert_eq!(entry.press('#'), Key::Ignored);
        assert_eq!(entry.press('1'), Key::Taken);
        assert_eq!(entry.press('#'), Key::Ended);
    }

    #[test]
    fn there_are_three_tries() {
        let mut entry = PinEntry::new();
        let tries = std::iter::from_fn(|| entry.may_try().then(|| entry.finish())).count();
        assert_eq!(tries, usize::from(TRIES));
    }

    #[test]
    fn what_was_keyed_never_prints_itself() {
        let mut entry = PinEntry::new();
        for key in "483920".chars() {
            assert_eq!(entry.press(key), Key::Taken);
        }
        let keyed = entry.finish();
        assert!(!format!("{keyed:?}").contains("483920"));
        assert_eq!(keyed.expose(), "483920");
    }
}
