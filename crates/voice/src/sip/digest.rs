//! Digest authentication of a trunk's calls (RFC 8760): a challenge for each, and each good once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use callveil_domain::trunk::Login;
use rsipstack::dialog::authenticate::verify_digest;
use rsipstack::sip::typed::Authorization;
use rsipstack::sip::{Header, HeadersExt, Request};
use tokio::time::Instant;

/// What we are called in challenges.
const REALM: &str = "callveil";

/// How long a challenge may be answered.
const VALID: Duration = Duration::from_secs(60);

/// Challenges that are open at once. More make the oldest void.
const OPEN: usize = 8_192;

/// The challenges that are open.
#[derive(Default)]
pub(super) struct Challenges(Mutex<HashMap<String, Instant>>);

impl Challenges {
    /// Does the request prove that it knows this login?
    pub(super) fn are_met(&self, request: &Request, login: &Login, now: Instant) -> bool {
        let Some(header) = request.authorization_header() else { return false };
        // The library has a name of its own for the algorithm.
        let value = header.value().replace("SHA-256", "SHA256");
        let Ok(proof) = Authorization::parse(&value) else { return false };
        if proof.realm != REALM || proof.username != login.user || !self.close(&proof.nonce, now) {
            return false;
        }
        verify_digest(&proof, login.password.expose(), &request.method, header.value())
    }

    /// A new challenge, in the algorithms that we take, the better first.
    pub(super) fn open(&self, nonce: String, now: Instant) -> Vec<Header> {
        let challenge = |algorithm: &str| {
            let text =
                format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}");
            Header::WwwAuthenticate(text.into())
        };
        let challenges = ["SHA-256", "MD5"].map(challenge).to_vec();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN {
            open.retain(|_, opened| now.duration_since(*opened) < VALID);
        }
        if open.len() >= OPEN {
            open.clear();
        }
        open.insert(nonce, now);
        challenges
    }

    /// A challenge is answered once: whoever saw the answer cannot use it again.
    fn close(&self, nonce: &str, now: Instant) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(nonce).is_some_and(|opened| now.duration_since(opened) < VALID)
    }
}

#[cfg(test)]
mod tests {
    use callveil_domain::trunk::Secret;
    use rsipstack::dialog::authenticate::compute_digest;
    use rsipstack::sip::Method;
    use rsipstack::sip::headers::auth::Algorithm;

    use super::*;

    fn login() -> Login {
        Login { user: "carrier".to_owned(), password: Secret::new("hunter2") }
    }

    fn invite(nonce: &str, password: &str) -> Request {
        let response = compute_digest(
            "carrier",
            password,
            REALM,
            nonce,
            &Method::Invite,
            "sip:b@192.0.2.1",
            Algorithm::Sha256,
            None,
        );
        let text = format!(
            "INVITE sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nTo: <sip:x@y>\r\n\
             From: <sip:a@b>;tag=1\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
             Authorization: Digest username=\"carrier\", realm=\"{REALM}\", nonce=\"{nonce}\", \
             uri=\"sip:b@192.0.2.1\", algorithm=SHA-256, response=\"{response}\"\r\nContent-Length: 0\r\n\r\n"
        );
        Request::try_from(text.as_str()).unwrap()
    }

    #[test]
    fn a_challenge_is_met_once_by_who_knows_the_password() {
        let challenges = Challenges::default();
        let now = Instant::now();
        let met =
            |nonce: &str, password: &str, now| challenges.are_met(&invite(nonce, password), &login(), now);
        let opened = |nonce: &str| challenges.open(nonce.to_owned(), now).len();

        assert!(!met("never-given", "hunter2", now));
        assert_eq!(opened("one"), 2);
        assert!(met("one", "hunter2", now));
        assert!(!met("one", "hunter2", now), "not again");
        opened("two");
        assert!(!met("two", "hunter3", now), "not with another password");
        opened("three");
        assert!(!met("three", "hunter2", now + VALID), "not too late");
    }
}
