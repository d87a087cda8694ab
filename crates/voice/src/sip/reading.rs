//! What we take from a peer's message: numbers, an offer, a few words. Everything else stays where it came.

use std::net::SocketAddr;

use bytes::Bytes;
use callveil_domain::number::PhoneNumber;
use callveil_domain::trunk::{Identity, Trunk, TrunkName};
use rsipstack::dialog::DialogId;
use rsipstack::sip::{HasHeaders, Header, HeadersExt, Request, SipMessage, Transport as Carried};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transport::SipConnection;

use super::session::Said;
use crate::leg::{Attestation, Description};

/// Reads a message as the library does, and all that is ever taken of it, to see that no harm comes of any.
pub fn read_through(message: &[u8]) {
    let Ok(message) = SipMessage::try_from(message) else { return };
    let peer = SocketAddr::from(([192, 0, 2, 2], 5060));
    let Ok(message) = SipConnection::update_msg_received(message, peer, Carried::Udp) else { return };
    let trunk = Trunk::new(TrunkName::parse("one").expect("law: a short word is a name"));
    match &message {
        SipMessage::Request(request) => {
            let _ = TransactionKey::from_request(request, TransactionRole::Server);
            let _ = DialogId::try_from((request, TransactionRole::Server));
            let _ = (dialled(request, &trunk), caller(request, &trunk), attestation(request));
            let _ = (description(request, &request.body), max_forwards(request), digit(request));
            let _ = Said::by(request).is_too_short();
        }
        SipMessage::Response(response) => {
            let _ = TransactionKey::from_response(response, TransactionRole::Client);
            let _ = DialogId::try_from((response, TransactionRole::Client));
            let _ = (description(response, &response.body), Said::by(response).shortest());
        }
    }
}

/// The number that was dialled.
pub(super) fn dialled(request: &Request, trunk: &Trunk) -> Option<PhoneNumber> {
    trunk.read(user(&request.uri.to_string())?)
}

/// The caller's number by the trunk's policy; `None` when it is withheld or is none.
pub(super) fn caller(request: &Request, trunk: &Trunk) -> Option<PhoneNumber> {
    if is_withheld(request) {
        return None;
    }
    let from = || request.from_header().ok().and_then(|from| number_in(from.value(), trunk));
    match trunk.identity {
        Identity::From => from(),
        Identity::Asserted => asserted(request).find_map(|value| number_in(value, trunk)).or_else(from),
    }
}

/// What the network says of the caller's number (3GPP TS 24.229, `verstat`).
pub(super) fn attestation(request: &Request) -> Option<Attestation> {
    let from = request.from_header().ok().map(|from| from.value());
    asserted(request).chain(from).find_map(|value| {
        let value = value.to_ascii_lowercase();
        let (_, word) = value.split_once("verstat=")?;
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(word.len());
        match &word[..end] {
            // The level that the signer vouched with may follow: TN-Validation-Passed-A.
            passed if passed.starts_with("tn-validation-passed") => Some(Attestation::Passed),
            failed if failed.starts_with("tn-validation-failed") => Some(Attestation::Failed),
            "no-tn-validation" => Some(Attestation::NotValidated),
            _ => None,
        }
    })
}

/// The session description that a body is, if it is one.
pub(super) fn description(message: &impl HasHeaders, body: &[u8]) -> Option<Description> {
    let described = message.headers().iter().any(|header| {
        let Header::ContentType(kind) = header else { return false };
        kind.value().split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/sdp")
    });
    (described && !body.is_empty()).then(|| Bytes::copy_from_slice(body))
}

/// The hops that remain; 70 where nothing is said (RFC 3261 8.1.1.6).
pub(super) fn max_forwards(request: &Request) -> u8 {
    let said =
        request.max_forwards_header().ok().and_then(|header| header.value().trim().parse::<u32>().ok());
    said.map_or(70, |hops| u8::try_from(hops).unwrap_or(u8::MAX))
}

/// The key that an INFO tells (`application/dtmf-relay`, `application/dtmf`), if it tells one.
pub(super) fn digit(request: &Request) -> Option<char> {
    let kind = request.header_value("Content-Type")?.to_ascii_lowercase();
    let body = str::from_utf8(&request.body).ok()?;
    let text = match kind.split(';').next().unwrap_or_default().trim() {
        "application/dtmf-relay" => body.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then(|| value.trim())
        })?,
        "application/dtmf" => body.trim(),
        _ => return None,
    };
    key(text)
}

/// A key by its name or by its event code (RFC 4733 section 3.2).
fn key(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let (first, rest) = (chars.next()?.to_ascii_uppercase(), chars.next());
    match (first, rest) {
        ('0'..='9' | '*' | '#' | 'A'..='D', None) => Some(first),
        _ => match text {
            "10" => Some('*'),
            "11" => Some('#'),
            "12" => Some('A'),
            "13" => Some('B'),
            "14" => Some('C'),
            "15" => Some('D'),
            _ => None,
        },
    }
}

fn is_withheld(request: &Request) -> bool {
    let privacy = request.header_value("Privacy").unwrap_or_default().to_ascii_lowercase();
    let hides = |word: &str| matches!(word.trim(), "id" | "user" | "header" | "full");
    privacy.split([';', ',']).any(hides)
}

fn asserted(request: &Request) -> impl Iterator<Item = &str> {
    request.headers.iter().filter_map(|header| {
        let Header::PAssertedIdentity(identity) = header else { return None };
        Some(identity.value())
    })
}

/// The number in a name-addr or addr-spec: `"Name" <sip:+1202...@host>;tag=x`, `<tel:+1202...>`. Of several in one
/// header field the first.
fn number_in(value: &str, trunk: &Trunk) -> Option<PhoneNumber> {
    let after_name = match value.trim_start().strip_prefix('"') {
        Some(quoted) => after_quote(quoted)?,
        None => value,
    };
    // Of a list, the first: `tel:+1202, <sip:x@y>`.
    let first = after_name.split(',').next().unwrap_or_default();
    let after_name = if first.contains('<') || !after_name.contains('<') { after_name } else { first };
    let address = match after_name.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        None => after_name.split([',', ';']).next().unwrap_or_default().trim(),
    };
    trunk.read(user(address)?)
}

fn after_quote(text: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&text[at + 1..]),
            _ => {}
        }
    }
    None
}

/// The user part of an address, without what follows its first semicolon.
fn user(address: &str) -> Option<&str> {
    let (scheme, rest) = address.split_once(':')?;
    let user = match scheme.trim().to_ascii_lowercase().as_str() {
        "sip" | "sips" => rest.rsplit_once('@')?.0,
        "tel" => rest.split(',').next().unwrap_or_default(),
        _ => return None,
    };
    let user = user.split(':').next().unwrap_or_default();
    user.split(';').next().filter(|user| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: u64 = 12_025_550_101;

    fn trunk(identity: &str) -> Trunk {
        let mut trunk = Trunk::new(TrunkName::parse("one").unwrap());
        trunk.set("identity", identity).unwrap();
        trunk
    }

    fn invite(headers: &str) -> Request {
        let text = format!(
            "INVITE sip:+918000000001;npdi@192.0.2.1:5060;user=phone SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nTo: <sip:x@y>\r\n{headers}\r\n\
             Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        Request::try_from(text.as_str()).unwrap()
    }

    #[test]
    fn the_caller_is_whom_the_policy_says() {
        let check = |identity: &str, headers: &str, number: Option<u64>| {
            let found = caller(&invite(headers), &trunk(identity));
            assert_eq!(found.map(PhoneNumber::expose_digits), number, "{identity}: {headers}");
        };
        let from = "From: \"A <b>\" <sip:+12025550101@example.com>;tag=1";
        let other = "From: <sip:+12025550199@example.com>;tag=1";
        check("from", from, Some(CALLER));
        check("pai", from, Some(CALLER));
        check(
            "pai",
            &format!("{other}\r\nP-Asserted-Identity: <sip:+12025550101@c;user=phone>"),
            Some(CALLER),
        );
        check("pai", &format!("{other}\r\nP-Asserted-Identity: \"x\" <tel:+12025550101>"), Some(CALLER));
        check("pai", &format!("{other}\r\nP-Asserted-Identity: tel:+12025550101, <sip:x@y>"), Some(CALLER));
        check("from", &format!("{other}\r\nP-Asserted-Identity: <tel:+12025550101>"), Some(12_025_550_199));
        check("pai", &format!("{from}\r\nPrivacy: id"), None);
        check("pai", &format!("{from}\r\nPrivacy: none"), Some(CALLER));
        check("pai", "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1", None);
        check("pai", "From: sip:+12025550101@example.com;tag=1", Some(CALLER));
        check(
            "from",
            "From: <sip:+12025550101;verstat=TN-Validation-Passed@example.com>;tag=1",
            Some(CALLER),
        );
    }

    #[test]
    fn the_number_dialled_is_in_the_request_line() {
        let found = dialled(&invite("From: <sip:a@b>;tag=1"), &trunk("pai"));
        assert_eq!(found.map(PhoneNumber::expose_digits), Some(918_000_000_001));
    }

    #[test]
    fn what_the_network_found_of_the_caller_is_read() {
        let check = |headers: &str, found: Option<Attestation>| {
            assert_eq!(attestation(&invite(headers)), found, "{headers}");
        };
        check("From: <sip:+1202;verstat=TN-Validation-Passed@x>;tag=1", Some(Attestation::Passed));
        check(
            "From: <sip:a@b>;tag=1\r\nP-Asserted-Identity: <sip:+1202@x;verstat=TN-Validation-Failed>",
            Some(Attestation::Failed),
        );
        check("From: <sip:+1202@x>;tag=1;verstat=No-TN-Validation", Some(Attestation::NotValidated));
        check("From: <sip:+1202@x>;tag=1", None);
    }

    #[test]
    fn keys_are_told_by_info_in_two_ways() {
        let check = |kind: &str, body: &str, key: Option<char>| {
            let mut info = invite(&format!("From: <sip:a@b>;tag=1\r\nContent-Type: {kind}"));
            info.body = body.as_bytes().to_vec();
            assert_eq!(digit(&info), key, "{kind} {body}");
        };
        check("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some('5'));
        check("application/dtmf-relay", "Signal= #\r\nDuration=160\r\n", Some('#'));
        check("application/dtmf-relay; x=y", "signal=11\r\n", Some('#'));
        check("application/dtmf-relay", "Duration=160\r\n", None);
        check("application/dtmf", "7", Some('7'));
        check("application/dtmf", "10", Some('*'));
        check("application/dtmf", "12345", None);
        check("text/plain", "5", None);
    }
}
