//! The signature of a webhook, by the Standard Webhooks specification 1.0.
//!
//! What is signed is `id.timestamp.body`. The id stays the same over all attempts, so that a receiver can tell a
//! repeat; the timestamp is the attempt's, so that it can refuse what somebody kept and sent again. While a secret
//! is being replaced, each message carries one signature by each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callveil_domain::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header with the id of the message.
pub const ID: &str = "webhook-id";
/// The header with the moment of the attempt, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// Signs a body: the value of the header [`SIGNATURE`], with one signature for each secret.
pub fn signatures<'s>(
    id: &str,
    now: Timestamp,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'s [u8]>,
) -> String {
    let seconds = seconds(now).to_string();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    let mut header = String::new();
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("law: a key may have any length");
        for part in parts {
            mac.update(part);
        }
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut header);
    }
    header
}

/// The value of the header [`TIMESTAMP`].
pub fn seconds(now: Timestamp) -> i64 {
    now.as_micros().div_euclid(1_000_000)
}

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";

/// A secret as it is given to a receiver.
pub fn write_secret(key: &[u8; 32]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// Reads a secret as it is given to a receiver.
pub fn read_secret(text: &str) -> Result<[u8; 32], NotASecret> {
    let key = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| NotASecret)?;
    key.try_into().map_err(|_| NotASecret)
}

/// The text is no secret of ours. Does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and 32 bytes in base64")]
pub struct NotASecret;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference library.
    #[test]
    fn the_reference_example_is_signed_alike() {
        let secret = STANDARD.decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let signed = signatures(
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            Timestamp::from_micros(1_649_367_553_000_000),
            br#"{"email":"test@example.com","username":"test_user"}"#,
            [secret.as_slice()],
        );
        assert_eq!(signed, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn a_secret_reads_back_as_it_was_written() {
        let key = [7; 32];
        let text = write_secret(&key);
        assert_eq!(text, "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(read_secret(&text), Ok(key));
        assert_eq!(read_secret("whsec_BwcHBwc="), Err(NotASecret));
        assert_eq!(read_secret("whsec_?"), Err(NotASecret));
    }
}
