//! Links to recordings: whoever has one may hear the recording, for a while. They are signed, so that none can be made
//! up or made to last.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::calls::RecordingName;
use crate::time::Timestamp;

/// The length of the secret that signs links.
pub const SECRET: usize = 32;

/// Makes links, and knows its own again.
#[derive(Clone)]
pub struct Links {
    base: String,
    secret: [u8; SECRET],
    lifetime: Duration,
}

impl Links {
    /// Links below this address, such as `https://calls.example.com`, that are good for a lifetime.
    pub fn new(base: String, secret: [u8; SECRET], lifetime: Duration) -> Links {
        Links { base, secret, lifetime }
    }

    /// A link to a recording that is good from now on.
    pub fn link(&self, name: &RecordingName, now: Timestamp) -> String {
        self.link_until(name, now.plus(self.lifetime))
    }

    /// A link to a recording that is good until a moment, to the second.
    pub fn link_until(&self, name: &RecordingName, end: Timestamp) -> String {
        let expires = end.as_micros() / 1_000_000;
        let signature = self.over(name.as_str(), expires).finalize().into_bytes();
        let mut link = format!("{}/recordings/{name}?expires={expires}&signature=", self.base);
        signature.iter().for_each(|byte| link.push_str(&format!("{byte:02x}")));
        link
    }

    /// Whether what a link says was said by us, and holds still.
    pub fn allows(&self, name: &RecordingName, expires: i64, signature: &str, now: Timestamp) -> bool {
        let holds = now.as_micros() / 1_000_000 < expires;
        let signed =
            bytes(signature).is_some_and(|s| self.over(name.as_str(), expires).verify_slice(&s).is_ok());
        holds && signed
    }

    fn over(&self, name: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.secret).expect("law: HMAC takes keys of every length");
        mac.update(format!("{expires} {name}").as_bytes());
        mac
    }
}

/// The bytes of a text of hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()).collect()
}

/// The secret is not printed.
impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn links() -> Links {
        Links::new("https://calls.example.com".to_owned(), [7; SECRET], Duration::from_secs(3600))
    }

    fn name() -> RecordingName {
        RecordingName::parse("00112233445566778899aabbccddeeff.wav").unwrap()
    }

    /// What a link says: when it ends, and its signature.
    fn said(link: &str) -> (i64, &str) {
        let (_, query) = link.split_once("?expires=").unwrap();
        let (expires, signature) = query.split_once("&signature=").unwrap();
        (expires.parse().unwrap(), signature)
    }

    #[test]
    fn a_link_is_good_until_it_ends() {
        let link = links().link(&name(), NOW);
        let (expires, signature) = said(&link);

        assert!(
            link.starts_with("https://calls.example.com/recordings/00112233445566778899aabbccddeeff.wav?")
        );
        assert_eq!(expires, 1_003_600);
        assert!(links().allows(&name(), expires, signature, NOW.plus(Duration::from_secs(3599))));
        assert!(!links().allows(&name(), expires, signature, NOW.plus(Duration::from_secs(3600))));
    }

    #[test]
    fn a_link_cannot_be_bent() {
        let link = links().link(&name(), NOW);
        let (expires, signature) = said(&link);
        let other = RecordingName::parse("ffeeddccbbaa99887766554433221100.wav").unwrap();
        let another = Links::new(String::new(), [8; SECRET], Duration::from_secs(3600));

        assert!(!links().allows(&other, expires, signature, NOW));
        assert!(!links().allows(&name(), expires + 1, signature, NOW));
        assert!(!another.allows(&name(), expires, signature, NOW));
        for signature in ["", "00", "zz", &signature[2..], &signature[1..]] {
            assert!(!links().allows(&name(), expires, signature, NOW));
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", links()), r#"Links { base: "https://calls.example.com", .. }"#);
    }
}
