//! Who is asking: HTTP Basic with an API key's id or a tenant's SID as the user and the token as the password.
//!
//! A token has 256 random bits, so that one round of SHA-256 keeps it; it is compared in constant time, and an
//! unknown user costs as many comparisons as a known one.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use callveil_domain::tenant::{ApiKey, Directory, LIVE_KEYS};
use rand_core::Rng;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The live key that the `Authorization` header proves.
pub(crate) fn prove<'d>(headers: &HeaderMap, directory: &'d Directory) -> Option<&'d ApiKey> {
    let basic = decode(headers.get(AUTHORIZATION)?.to_str().ok()?)?;
    let (user, token) = basic.split_once(':')?;
    the_one_opened_by(token, &directory.keys_for(user))
}

/// The key among these whose token this is.
fn the_one_opened_by<'d>(token: &str, keys: &[&'d ApiKey]) -> Option<&'d ApiKey> {
    /// The hash of no token that was ever handed out.
    const NOBODYS: [u8; 32] = [0; 32];
    let hash = hash_token(token);
    let mut opened = LIVE_KEYS as u8;
    for place in 0..LIVE_KEYS {
        let expected = keys.get(place).map_or(&NOBODYS, |key| &key.token_hash);
        let fits: Choice = expected.ct_eq(&hash);
        opened.conditional_assign(&(place as u8), fits);
    }
    keys.get(usize::from(opened)).copied()
}

/// User and password as they stand in a header, `Basic a2V5OnRva2Vu`. Between the scheme, in any case, and the
/// rest there may be nothing at all, as one of LeadAssist's samples sends it; padding may be missing.
fn decode(header: &str) -> Option<String> {
    const SCHEME: &str = "basic";
    const TOLERANT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let (scheme, rest) = header.trim().split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    String::from_utf8(TOLERANT.decode(rest.trim()).ok()?).ok()
}

/// What is kept of a token.
pub fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A key's public name, and its token, which is shown once.
pub struct Credentials {
    /// What is sent as the user: `cvk_` and 16 letters and digits.
    pub key_id: String,
    /// What is sent as the password: `cvt_` and 43 letters and digits, 256 random bits.
    pub token: String,
}

/// New credentials. `rng` must be one that nobody can foresee.
pub fn new_credentials(rng: &mut dyn Rng) -> Credentials {
    Credentials { key_id: format!("cvk_{}", base62(rng, 16)), token: format!("cvt_{}", base62(rng, 43)) }
}

fn base62(rng: &mut dyn Rng, length: usize) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // Of the 64 values of six bits the last two are drawn again, so that all digits are equally likely.
        let six_bits = (rng.next_u32() >> 26) as usize;
        text.extend(DIGITS.get(six_bits).map(|digit| char::from(*digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_scheme_may_be_glued_to_the_rest() {
        for header in ["Basic azp0", "Basicazp0", "basic  azp0", "BASIC azp0", " Basic azp0 "] {
            assert_eq!(decode(header).as_deref(), Some("k:t"), "{header}");
        }
        assert_eq!(decode("bAsIc YWI6Y2Q=").as_deref(), Some("ab:cd"));
        assert_eq!(decode("BasicYWI6Y2Q").as_deref(), Some("ab:cd"));
        for wrong in ["", "Basi", "Bearer azp0", "Basic a", "Basic ===", "Basic \u{fc}"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn new_credentials_have_the_form_that_scanners_look_for() {
        let mut rng = StdRng::seed_from_u64(1);
        let Credentials { key_id, token } = new_credentials(&mut rng);
        assert!(key_id.starts_with("cvk_") && key_id.len() == 20, "{key_id}");
        assert!(token.starts_with("cvt_") && token.len() == 47);
        assert_ne!(new_credentials(&mut rng).token, token);
    }
}
