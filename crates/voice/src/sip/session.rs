//! Session timers (RFC 4028): a call whose peer has vanished ends, because nobody refreshes it.

use std::time::Duration;

use rsipstack::sip::{Header, HeadersExt};

/// The shortest interval that we take (RFC 4028 section 5).
pub(super) const SHORTEST: Duration = Duration::from_secs(90);

/// The interval that we ask for.
pub(super) const USUAL: Duration = Duration::from_secs(1_800);

/// How a call is kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// How long it stands without a refresh.
    pub(super) interval: Duration,
    /// Who refreshes it.
    pub(super) refresher: Refresher,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresher {
    Us,
    Peer,
}

/// What is to be done when nothing was refreshed for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Refresh,
    Expire,
}

/// What a message says of the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    interval: Option<Duration>,
    /// The role that refreshes: the sender of the request, or its receiver.
    refresher: Option<Role>,
    shortest: Option<Duration>,
    supported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Caller,
    Callee,
}

impl Said {
    pub(super) fn by(message: &impl HeadersExt) -> Said {
        let expires = message.session_expires_header().map(|header| header.value().to_owned());
        let mut words = expires.as_deref().unwrap_or_default().split(';').map(str::trim);
        let interval = words.next().and_then(seconds);
        let refresher = words.find_map(|word| {
            let (name, value) = word.split_once('=')?;
            if !name.trim().eq_ignore_ascii_case("refresher") {
                return None;
            }
            match value.trim().to_ascii_lowercase().as_str() {
                "uac" => Some(Role::Caller),
                "uas" => Some(Role::Callee),
                _ => None,
            }
        });
        let shortest = message.headers().iter().find_map(|header| {
            let Header::MinSE(shortest) = header else { return None };
            seconds(shortest.value().split(';').next().unwrap_or_default().trim())
        });
        Said { interval, refresher, shortest, supported: message.header_contains_token("Supported", "timer") }
    }

    /// Whether a request asks for less than we take, from a peer that can be told so.
    pub(super) fn is_too_short(&self) -> bool {
        self.supported && self.interval.is_some_and(|interval| interval < SHORTEST)
    }

    /// The shortest interval that a peer which answered 422 takes.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.shortest
    }
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

impl Session {
    /// What holds when we answer a request that says this.
    pub(super) fn answering(said: Said) -> Session {
        let least = said.shortest.unwrap_or(SHORTEST).max(SHORTEST);
        let interval = said.interval.unwrap_or(USUAL).min(USUAL).max(least);
        let peer = said.supported && said.interval.is_some() && said.refresher == Some(Role::Caller);
        Session { interval, refresher: if peer { Refresher::Peer } else { Refresher::Us } }
    }

    /// What holds when our request was answered so; nothing when the answer says nothing.
    pub(super) fn answered(said: Said) -> Option<Session> {
        let interval = said.interval?.max(SHORTEST);
        let refresher = match said.refresher {
            Some(Role::Callee) => Refresher::Peer,
            Some(Role::Caller) | None => Refresher::Us,
        };
        Some(Session { interval, refresher })
    }

    /// The header fields of our answer.
    pub(super) fn in_answer(self) -> Vec<Header> {
        match self.refresher {
            Refresher::Us => vec![self.expires("uas")],
            // The peer must know that it has the duty (RFC 4028 section 9).
            Refresher::Peer => vec![self.expires("uac"), Header::Require("timer".into())],
        }
    }

    /// The header fields of our request; `None` asks for a session that is not agreed yet.
    pub(super) fn in_request(session: Option<Session>, least: Duration) -> Vec<Header> {
        let shortest = Header::MinSE(least.as_secs().to_string().into());
        let expires = match session {
            Some(session) => match session.refresher {
                Refresher::Us => session.expires("uac"),
                Refresher::Peer => session.expires("uas"),
            },
            None => Header::SessionExpires(USUAL.max(least).as_secs().to_string().into()),
        };
        vec![expires, shortest]
    }

    fn expires(self, role: &str) -> Header {
        Header::SessionExpires(format!("{};refresher={role}", self.interval.as_secs()).into())
    }

    /// What is to be done, and how long after the last refresh (RFC 4028 section 10).
    pub(super) fn due(self) -> (Duration, Due) {
        match self.refresher {
            Refresher::Us => (self.interval / 2, Due::Refresh),
            Refresher::Peer => {
                let margin = Duration::from_secs(32).min(self.interval / 3);
                (self.interval - margin, Due::Expire)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rsipstack::sip::Request;

    use super::*;

    fn said(headers: &str) -> Said {
        let text = format!(
            "INVITE sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nTo: <sip:x@y>\r\n\
             From: <sip:a@b>;tag=1\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        Said::by(&Request::try_from(text.as_str()).unwrap())
    }

    #[test]
    fn a_caller_s_wish_is_met_within_bounds() {
        let check = |headers: &str, seconds: u64, refresher: Refresher| {
            let session = Session::answering(said(headers));
            assert_eq!(session, Session { interval: Duration::from_secs(seconds), refresher }, "{headers}");
        };
        check("", 1_800, Refresher::Us);
        check("Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n", 600, Refresher::Peer);
        check("Supported: 100rel, timer\r\nSession-Expires: 600; refresher = uas\r\n", 600, Refresher::Us);
        check("Supported: timer\r\nSession-Expires: 600\r\n", 600, Refresher::Us);
        check("Supported: timer\r\nSession-Expires: 7200;refresher=uac\r\n", 1_800, Refresher::Peer);
        check("Supported: timer\r\nx: 7200\r\nMin-SE: 3600\r\n", 3_600, Refresher::Us);
        check("Session-Expires: 60\r\n", 90, Refresher::Us);
        check("Session-Expires: soon\r\n", 1_800, Refresher::Us);
    }

    #[test]
    fn less_than_the_shortest_is_refused_to_who_can_be_told() {
        assert!(said("Supported: timer\r\nSession-Expires: 89\r\n").is_too_short());
        assert!(!said("Supported: timer\r\nSession-Expires: 90\r\n").is_too_short());
        assert!(!said("Session-Expires: 89\r\n").is_too_short());
        assert!(!said("").is_too_short());
    }

    #[test]
    fn an_answer_says_who_refreshes() {
        let check = |headers: &str, session: Option<(u64, Refresher)>| {
            let expected = session
                .map(|(seconds, refresher)| Session { interval: Duration::from_secs(seconds), refresher });
            assert_eq!(Session::answered(said(headers)), expected, "{headers}");
        };
        check("", None);
        check("Session-Expires: 1800;refresher=uas\r\n", Some((1_800, Refresher::Peer)));
        check("Session-Expires: 1800;refresher=uac\r\n", Some((1_800, Refresher::Us)));
        check("Session-Expires: 1800\r\n", Some((1_800, Refresher::Us)));
    }

    #[test]
    fn who_refreshes_does_so_at_half_time_and_who_waits_ends_before_the_end() {
        let check = |seconds: u64, refresher: Refresher, due: (u64, Due)| {
            let session = Session { interval: Duration::from_secs(seconds), refresher };
            assert_eq!(session.due(), (Duration::from_secs(due.0), due.1));
        };
        check(1_800, Refresher::Us, (900, Due::Refresh));
        check(1_800, Refresher::Peer, (1_768, Due::Expire));
        check(90, Refresher::Peer, (60, Due::Expire));
    }
}
