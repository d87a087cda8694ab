//! A trunk: the way by which calls come from, and go to, a carrier.

use std::fmt;

/// An operator's name for a trunk: 1 to 32 letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrunkName(String);

impl TrunkName {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<TrunkName> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        let named = (1..=32).contains(&text.len()) && text.bytes().all(fits);
        named.then(|| TrunkName(text.to_owned()))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
