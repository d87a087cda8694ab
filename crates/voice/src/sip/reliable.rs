//! Provisional responses that the caller acknowledges (RFC 3262): one at a time, each said again until its PRACK comes.

use std::time::Duration;

use rsipstack::sip::{Header, HeadersExt, Method, Request};
use tokio::time::Instant;

use crate::leg::Description;

/// The extension that a request requires, or a response.
pub(super) const EXTENSION: &str = "100rel";

/// After how many times T1 without its PRACK the call is given up (RFC 3262 section 3).
const PATIENCE: u32 = 64;

/// The provisional responses to one INVITE.
#[derive(Debug)]
pub(super) struct Reliable {
    /// T1, after which each is said again for the first time. Each pause is twice the one before.
    t1: Duration,
    /// The CSeq of the INVITE.
    of: u32,
    /// The RSeq of the last one.
    sequence: u32,
    outstanding: Option<Outstanding>,
    /// What is said once that is acknowledged.
    waiting: Option<Option<Description>>,
}

/// A response that is not acknowledged yet.
#[derive(Debug)]
struct Outstanding {
    description: Option<Description>,
    again_at: Instant,
    pause: Duration,
    until: Instant,
}

/// A response to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Provisional {
    sequence: u32,
    pub(super) description: Option<Description>,
}

/// What is to be done when no PRACK has come for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Again(Provisional),
    GiveUp,
}

impl Reliable {
    /// Those to an INVITE, if it requires them to be reliable. Where the caller only could take them so, they are plain.
    pub(super) fn required_by(invite: &Request, random: u32, t1: Duration) -> Option<Reliable> {
        if !invite.header_contains_token("Require", EXTENSION) {
            return None;
        }
        let of = invite.cseq_header().ok()?.seq().ok()?;
        // Between 1 and 2^31 - 1 (RFC 3262 section 3), with room for those that follow.
        let sequence = random >> 2;
        Some(Reliable { t1, of, sequence, outstanding: None, waiting: None })
    }

    /// Says one, now or once the one before is acknowledged. Of several that wait the newest is said, with what was
    /// described last.
    pub(super) fn say(&mut self, description: Option<Description>, now: Instant) -> Option<Provisional> {
        if self.outstanding.is_some() {
            let described = self.waiting.take().flatten();
            self.waiting = Some(description.or(described));
            return None;
        }
        self.sequence += 1;
        self.outstanding = Some(Outstanding {
            description,
            again_at: now + self.t1,
            pause: self.t1,
            until: now + self.t1 * PATIENCE,
        });
        self.said()
    }

    fn said(&self) -> Option<Provisional> {
        let description = self.outstanding.as_ref()?.description.clone();
        Some(Provisional { sequence: self.sequence, description })
    }

    /// Takes a PRACK; tells whether it acknowledges what is outstanding.
    pub(super) fn acknowledge(&mut self, prack: &Request) -> bool {
        let due = (self.sequence, self.of, Method::Invite);
        let acknowledged = self.outstanding.is_some() && prack.rack_value() == Some(due);
        if acknowledged {
            self.outstanding = None;
        }
        acknowledged
    }

    /// What has waited, when nothing is outstanding any more.
    pub(super) fn go_on(&mut self, now: Instant) -> Option<Provisional> {
        if self.outstanding.is_some() {
            return None;
        }
        let waiting = self.waiting.take()?;
        self.say(waiting, now)
    }

    /// Whether the call must not be answered yet: what we described may not have arrived.
    pub(super) fn holds_the_answer(&self) -> bool {
        self.outstanding.as_ref().is_some_and(|outstanding| outstanding.description.is_some())
    }

    /// When [`Reliable::overdue`] is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|outstanding| outstanding.again_at.min(outstanding.until))
    }

    /// What to do about a PRACK that has not come.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Overdue> {
        let outstanding = self.outstanding.as_mut()?;
        if now >= outstanding.until {
            return Some(Overdue::GiveUp);
        }
        if now < outstanding.again_at {
            return None;
        }
        outstanding.pause *= 2;
        outstanding.again_at = now + outstanding.pause;
        self.said().map(Overdue::Again)
    }
}

impl Provisional {
    /// The header fields that make it reliable.
    pub(super) fn headers(&self) -> Vec<Header> {
        vec![Header::Require(EXTENSION.into()), Header::RSeq(self.sequence.to_string().into())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: Duration = Duration::from_millis(500);

    fn request(method: &str, fields: &str) -> Request {
        let text = format!(
            "{method} sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nTo: <sip:x@y>\r\n\
             From: <sip:a@b>;tag=1\r\nCall-ID: 1\r\nCSeq: 7 {method}\r\n{fields}Content-Length: 0\r\n\r\n"
        );
        Request::try_from(text.as_str()).unwrap()
    }

    fn reliable() -> Reliable {
        Reliable::required_by(&request("INVITE", "Require: timer, 100rel\r\n"), 400, T1).unwrap()
    }

    fn prack(rack: &str) -> Request {
        request("PRACK", &format!("RAck: {rack}\r\n"))
    }

    fn description() -> Option<Description> {
        Some(Description::from_static(b"v=0"))
    }

    #[test]
    fn only_a_caller_that_requires_it_is_told_reliably() {
        let asked = |fields: &str| Reliable::required_by(&request("INVITE", fields), u32::MAX, T1);
        assert!(asked("Supported: 100rel\r\n").is_none());
        assert!(asked("Require: timer\r\n").is_none());
        let mut asked = asked("Require: 100rel\r\n").unwrap();
        let said = asked.say(None, Instant::now()).unwrap();
        assert!(said.sequence < 1 << 31, "{said:?}");
    }

    #[test]
    fn one_is_said_at_a_time_and_the_next_when_it_is_acknowledged() {
        let mut reliable = reliable();
        let now = Instant::now();

        assert_eq!(reliable.say(None, now), Some(Provisional { sequence: 101, description: None }));
        assert_eq!(reliable.say(description(), now), None);
        assert_eq!(reliable.say(None, now), None);
        assert_eq!(reliable.go_on(now), None);
        for other in ["100 7 INVITE", "102 7 INVITE", "101 8 INVITE", "101 7 UPDATE", "101"] {
            assert!(!reliable.acknowledge(&prack(other)), "{other}");
        }
        assert!(!reliable.acknowledge(&request("PRACK", "")));
        assert!(reliable.acknowledge(&prack("101 7 INVITE")));
        assert!(!reliable.holds_the_answer());

        let next = Provisional { sequence: 102, description: description() };
        assert_eq!(reliable.go_on(now), Some(next));
        assert!(reliable.holds_the_answer());
        assert!(!reliable.acknowledge(&prack("101 7 INVITE")), "that was the one before");
        assert!(reliable.acknowledge(&prack("102 7 INVITE")));
        assert_eq!((reliable.go_on(now), reliable.due()), (None, None));
    }

    #[test]
    fn it_is_said_again_after_twice_as_long_each_time_until_the_call_is_given_up() {
        let mut reliable = reliable();
        let began = Instant::now();
        let said = reliable.say(None, began).unwrap();

        let mut again = Vec::new();
        let given_up = loop {
            let due = reliable.due().unwrap();
            match reliable.overdue(due).unwrap() {
                Overdue::Again(provisional) => {
                    assert_eq!(provisional, said);
                    again.push((due - began).as_millis());
                }
                Overdue::GiveUp => break due - began,
            }
        };

        assert_eq!(again, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!(given_up, Duration::from_secs(32));
    }
}
