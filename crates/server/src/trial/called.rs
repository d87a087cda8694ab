//! The telephone that is called.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::ladder::{Ladder, Who};
use super::message::Message;
use super::telephone::{Telephone, token};
use crate::clock::stopwatch;

/// A telephone that waits for a call.
pub struct Called {
    /// The telephone itself.
    pub telephone: Telephone,
    tag: String,
    call: Option<Incoming>,
}

struct Incoming {
    invite: Message,
    from: SocketAddr,
    last: String,
}

/// How long a call, or what follows in it, is waited for.
const SOON: Duration = Duration::from_secs(30);

impl Called {
    /// A telephone on loopback.
    pub fn new(ladder: Ladder) -> io::Result<Called> {
        Ok(Called {
            telephone: Telephone::new(Who::B, Ipv4Addr::LOCALHOST, ladder)?,
            tag: token(),
            call: None,
        })
    }

    /// Waits for the INVITE.
    pub fn invited(&mut self) -> io::Result<Option<Message>> {
        self.invited_within(SOON)
    }

    /// Waits for the INVITE for no longer than this.
    pub fn invited_within(&mut self, time: Duration) -> io::Result<Option<Message>> {
        let began = stopwatch();
        while began.elapsed() < time {
            if let Some((message, from)) = self.telephone.look()? {
                if message.status().is_none() && message.method() == "INVITE" {
                    let call = Incoming { invite: message.clone(), from, last: String::new() };
                    self.call = Some(call);
                    return Ok(Some(message));
                }
                // Probes of the trunk.
                if message.method() == "OPTIONS" {
                    self.telephone.send(&response(&message, "200 OK", &self.tag, ""), from)?;
                }
            }
        }
        Ok(None)
    }

    /// Lets it ring for so long.
    pub fn rings_for(&mut self, time: Duration) -> io::Result<()> {
        let began = stopwatch();
        while began.elapsed() < time {
            // What is sent again while it rings is answered by what comes next.
            self.telephone.look()?;
        }
        Ok(())
    }

    /// Answers the INVITE, with a description of sound or without one.
    pub fn says(&mut self, status: &str, sound: bool) -> io::Result<()> {
        let description = if sound { self.telephone.describe() } else { String::new() };
        let Some(call) = &mut self.call else { return Ok(()) };
        call.last = response(&call.invite, status, &self.tag, &contact(&self.telephone, &description));
        self.telephone.send(&call.last, call.from)
    }

    /// Waits for a request of this method in the call, and answers it as it should be. CANCEL ends the INVITE too.
    pub fn hears(&mut self, method: &str) -> io::Result<Option<Message>> {
        let began = stopwatch();
        while began.elapsed() < SOON {
            let Some((message, from)) = self.telephone.look()? else { continue };
            if message.status().is_some() {
                continue;
            }
            match message.method() {
                // Repeated, since what we said was lost or late.
                "INVITE" => {
                    let last = self.call.as_ref().map(|call| call.last.clone()).unwrap_or_default();
                    if !last.is_empty() {
                        self.telephone.send(&last, from)?;
                    }
                }
                "ACK" => {}
                "CANCEL" => {
                    self.telephone.send(&response(&message, "200 OK", &self.tag, ""), from)?;
                    self.says("487 Request Terminated", false)?;
                }
                _ => self.telephone.send(&response(&message, "200 OK", &self.tag, ""), from)?,
            }
            if message.method() == method {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Hangs up, and waits for the server's word that the call is over: 200, or 481 when it hung up in the same moment.
    pub fn hang_up(&mut self) -> io::Result<bool> {
        let Some(call) = &self.call else { return Ok(false) };
        let invite = &call.invite;
        let at = self.telephone.address();
        let target = invite.address("Contact").unwrap_or_default();
        let (from, to) = (invite.header("To").unwrap_or_default(), invite.header("From").unwrap_or_default());
        let bye = format!(
            "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
             From: {from};tag={}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            token(),
            self.tag,
            invite.header("Call-ID").unwrap_or_default(),
        );
        self.telephone.send(&bye, call.from)?;
        let began = stopwatch();
        while began.elapsed() < SOON {
            if let Some((message, _)) = self.telephone.look()?
                && message.method() == "BYE"
                && message.status().is_some()
            {
                return Ok(matches!(message.status(), Some(200 | 481)));
            }
        }
        Ok(false)
    }
}

fn contact(telephone: &Telephone, description: &str) -> String {
    let at = telephone.address();
    let mut rest = format!("Contact: <sip:b@{at}>\r\nAllow: INVITE, ACK, CANCEL, BYE, INFO, UPDATE\r\n");
    if !description.is_empty() {
        rest += "Content-Type: application/sdp\r\n";
    }
    let _ = write!(rest, "Content-Length: {}\r\n\r\n{description}", description.len());
    rest
}

/// The response to a request; `rest` is what follows the fields that are the request's own.
pub fn response(request: &Message, status: &str, tag: &str, rest: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for via in request.all("Via") {
        let _ = write!(text, "Via: {via}\r\n");
    }
    let to = request.header("To").unwrap_or_default();
    let tagged = to.contains(";tag=") || tag.is_empty();
    let to = if tagged { to.to_owned() } else { format!("{to};tag={tag}") };
    let _ = write!(
        text,
        "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
        request.header("From").unwrap_or_default(),
        request.header("Call-ID").unwrap_or_default(),
        request.header("CSeq").unwrap_or_default(),
    );
    text += if rest.is_empty() { "Content-Length: 0\r\n\r\n" } else { rest };
    text
}
