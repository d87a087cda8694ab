//! What leaves: only header fields that are ours to send.
//!
//! Messages are built from nothing, yet some are built by the library, which repeats a few fields of a request in its
//! response (RFC 7989, RFC 7044) and tells its own name. This is the last gate: a list of what may pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rsipstack::sip::{HasHeaders, Header, HeadersExt, Method, Param, Request, SipMessage, StatusCode};
use rsipstack::transaction::endpoint::MessageInspector;
use rsipstack::transport::SipAddr;

use super::dialogs::Dialogs;
use super::trace;

/// The methods that we answer.
pub(super) const ALLOWED: &str = "INVITE, ACK, CANCEL, BYE, UPDATE, INFO, OPTIONS, PRACK";

/// The parameter that marks a Route as ours alone: it leads the library to an address, and is not sent.
pub(super) const HOP: &str = "callveil-hop";

/// Lets out what may pass, and lets in no challenge that is not a trunk's to make.
pub(super) struct Inspector {
    pub(super) dialogs: Dialogs,
    pub(super) farewells: Farewells,
}

impl MessageInspector for Inspector {
    fn before_send(&self, mut message: SipMessage, towards: Option<&SipAddr>) -> SipMessage {
        message.headers_mut().retain(may_pass);
        message.headers_mut().iter_mut().for_each(|header| rename(header, "SHA256", "SHA-256"));
        if let SipMessage::Request(request) = &mut message
            && request.method == Method::Cancel
            && let Some(reason) = self.farewells.of(request)
        {
            request.headers.push(Header::Reason(reason.into()));
        }
        if trace::is_wanted() {
            trace::tell_streamed(&message, towards);
        }
        message
    }

    /// A challenge within a call may come from the callee, who would learn from the answer what proves us to the
    /// trunk: it is never answered.
    fn after_received(&self, mut message: SipMessage, _: Option<&SipAddr>) -> SipMessage {
        message.headers_mut().iter_mut().for_each(|header| rename(header, "SHA-256", "SHA256"));
        if let SipMessage::Response(response) = &mut message
            && matches!(response.status_code.code(), 401 | 407)
            && self.dialogs.of_response(response).is_some_and(|dialog| dialog.state().is_confirmed())
        {
            response.status_code = StatusCode::Forbidden;
        }
        message
    }
}

/// Why calls are cancelled: the library's CANCEL has no place for it.
#[derive(Clone, Default)]
pub(super) struct Farewells(Arc<Mutex<HashMap<String, String>>>);

impl Farewells {
    /// The Reason of a call's CANCEL, until what this gives is dropped.
    pub(super) fn say(&self, call_id: String, reason: String) -> Farewell {
        self.table().insert(call_id.clone(), reason);
        Farewell { farewells: self.clone(), call_id }
    }

    fn of(&self, request: &Request) -> Option<String> {
        self.table().get(request.call_id_header().ok()?.value()).cloned()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reason that is said for as long as this is kept.
pub(super) struct Farewell {
    farewells: Farewells,
    call_id: String,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.farewells.table().remove(&self.call_id);
    }
}

/// The library has a name of its own for the algorithm of RFC 8760: it is put right at the door, in both directions.
fn rename(header: &mut Header, from: &str, to: &str) {
    let name = |value: &str| value.replace(&format!("algorithm={from}"), &format!("algorithm={to}"));
    if let Header::Authorization(value) = header {
        value.replace(name(value.value()));
    } else if let Header::ProxyAuthorization(value) = header {
        value.replace(name(value.value()));
    } else if let Header::ProxyAuthenticate(value) = header {
        value.replace(name(value.value()));
    } else if let Header::WwwAuthenticate(value) = header {
        value.replace(name(value.value()));
    }
}

fn may_pass(header: &Header) -> bool {
    match header {
        Header::Route(route) => !leads_only_us(route.value()),
        Header::Accept(_)
        | Header::Allow(_)
        | Header::Authorization(_)
        | Header::CSeq(_)
        | Header::CallId(_)
        | Header::Contact(_)
        | Header::ContentLength(_)
        | Header::ContentType(_)
        | Header::Expires(_)
        | Header::From(_)
        | Header::MaxForwards(_)
        | Header::MinSE(_)
        | Header::PAssertedIdentity(_)
        | Header::ProxyAuthorization(_)
        | Header::RAck(_)
        | Header::RSeq(_)
        | Header::Reason(_)
        | Header::RecordRoute(_)
        | Header::Require(_)
        | Header::RetryAfter(_)
        | Header::SessionExpires(_)
        | Header::Supported(_)
        | Header::To(_)
        | Header::Unsupported(_)
        | Header::Via(_)
        | Header::WwwAuthenticate(_) => true,
        Header::AcceptEncoding(_)
        | Header::AcceptLanguage(_)
        | Header::AlertInfo(_)
        | Header::AuthenticationInfo(_)
        | Header::CallInfo(_)
        | Header::ContentDisposition(_)
        | Header::ContentEncoding(_)
        | Header::ContentLanguage(_)
        | Header::Date(_)
        | Header::Diversion(_)
        | Header::ErrorInfo(_)
        | Header::Event(_)
        | Header::HistoryInfo(_)
        | Header::Identity(_)
        | Header::InReplyTo(_)
        | Header::MimeVersion(_)
        | Header::MinExpires(_)
        | Header::Organization(_)
        | Header::Other(..)
        | Header::PPreferredIdentity(_)
        | Header::Path(_)
        | Header::Priority(_)
        | Header::Privacy(_)
        | Header::ProxyAuthenticate(_)
        | Header::ProxyRequire(_)
        | Header::ReferTo(_)
        | Header::ReferredBy(_)
        | Header::Replaces(_)
        | Header::ReplyTo(_)
        | Header::Server(_)
        | Header::ServiceRoute(_)
        | Header::SessionId(_)
        | Header::Subject(_)
        | Header::SubscriptionState(_)
        | Header::Timestamp(_)
        | Header::UserAgent(_)
        | Header::UserToUser(_)
        | Header::Warning(_) => false,
    }
}

fn leads_only_us(route: &str) -> bool {
    route.contains(HOP)
}

/// The mark of a Route that is ours alone.
pub(super) fn hop_mark() -> Param {
    Param::Other(HOP.into(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_does_not_leave() {
        let message = "SIP/2.0 200 OK\r\n\
            Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
            From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\n\
            Call-ID: 1\r\nCSeq: 1 INVITE\r\n\
            Session-ID: a7f1b0f58d5a4e0aa0b2d2b0a9d5b1aa\r\nHistory-Info: <sip:+919800000001@x>;index=1\r\n\
            P-Asserted-Identity: <sip:+919800000002@x>\r\nUser-Agent: library/1\r\nServer: library\r\n\
            Diversion: <sip:+919800000001@x>\r\nX-Caller: +919800000001\r\nSubject: +919800000001\r\n\
            Route: <sip:192.0.2.7:5060;lr;callveil-hop>\r\nRoute: <sip:192.0.2.8;lr>\r\n\
            Content-Length: 0\r\n\r\n";
        let message = SipMessage::try_from(message).unwrap();

        let inspector = Inspector { dialogs: Dialogs::default(), farewells: Farewells::default() };
        let sent = inspector.before_send(message, None).to_string();

        assert!(!sent.contains("9800000001") && !sent.contains("library"), "{sent}");
        assert!(!sent.contains("192.0.2.7") && sent.contains("192.0.2.8"), "{sent}");
        assert!(sent.contains("CSeq: 1 INVITE"), "{sent}");
    }
}
