//! The telephone that calls.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::ladder::{Ladder, Who};
use super::message::Message;
use super::telephone::{Telephone, token};
use crate::clock::stopwatch;

/// A telephone that calls a virtual number.
pub struct Caller {
    /// The telephone itself.
    pub telephone: Telephone,
    server: SocketAddr,
    from: String,
    to: String,
    call_id: String,
    branch: String,
    tag: String,
    /// The server's tag, once it has said one.
    remote: Option<Message>,
    cseq: u32,
    invite: String,
    began: Instant,
    /// How often the INVITE was sent.
    sent: u32,
    /// Responses that nobody has asked for yet.
    kept: VecDeque<Message>,
}

/// How long the server may take for what it does at once.
const SOON: Duration = Duration::from_secs(30);

/// How long a request waits until it is repeated: long enough not to be taken for a lost one.
const AGAIN: Duration = Duration::from_millis(700);

impl Caller {
    /// Calls `to`, with the number `from` or withheld.
    pub fn begin(ladder: Ladder, server: SocketAddr, from: Option<&str>, to: &str) -> io::Result<Caller> {
        let telephone = Telephone::new(Who::A, Ipv4Addr::LOCALHOST, ladder)?;
        Caller::begin_at(telephone, server, from, to)
    }

    /// The same from this telephone.
    pub fn begin_at(
        telephone: Telephone,
        server: SocketAddr,
        from: Option<&str>,
        to: &str,
    ) -> io::Result<Caller> {
        let at = telephone.address();
        let from = match from {
            Some(number) => format!("<sip:{number}@{at}>"),
            None => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
        };
        let [call_id, branch, tag] = [token(), token(), token()];
        let description = telephone.describe();
        let mut caller = Caller {
            telephone,
            server,
            from,
            to: to.to_owned(),
            call_id,
            branch,
            tag,
            remote: None,
            cseq: 1,
            invite: String::new(),
            began: stopwatch(),
            sent: 1,
            kept: VecDeque::new(),
        };
        caller.invite = caller.request("INVITE", &caller.branch, 1, &description);
        caller.telephone.send(&caller.invite, server)?;
        Ok(caller)
    }

    fn request(&self, method: &str, branch: &str, cseq: u32, description: &str) -> String {
        let (server, at) = (self.server, self.telephone.address());
        let to = &self.to;
        let established = self.remote.as_ref().filter(|answer| answer.status().is_some_and(|s| s < 300));
        let target = match established.and_then(|answer| answer.address("Contact")) {
            Some(contact) if method != "CANCEL" && method != "INVITE" => contact.to_owned(),
            Some(_) | None => format!("sip:{to}@{server}"),
        };
        let known = self.remote.as_ref().filter(|_| method != "CANCEL" && method != "INVITE");
        let to = match known.and_then(|answer| answer.header("To")) {
            Some(to) => to.to_owned(),
            None => format!("<sip:{to}@{server}>"),
        };
        let (content, length) = match method {
            "INVITE" => ("Content-Type: application/sdp\r\n", description.len()),
            "INFO" => ("Content-Type: application/dtmf-relay\r\n", description.len()),
            _ => ("", 0),
        };
        let from = &self.from;
        let recorded: Vec<&str> = known.iter().flat_map(|answer| answer.all("Record-Route")).collect();
        let routes: String = recorded.iter().rev().map(|route| format!("Route: {route}\r\n")).collect();
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             {routes}From: {from};tag={}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:a@{at}>\r\nAllow: INVITE, ACK, CANCEL, BYE, INFO, UPDATE\r\n{content}\
             Content-Length: {length}\r\n\r\n{}",
            self.tag,
            self.call_id,
            if length > 0 { description } else { "" },
        )
    }

    /// Looks once for a response to the INVITE, which is repeated while there is none, and keeps it for later.
    pub fn wait_a_moment(&mut self) -> io::Result<()> {
        if let Some(message) = self.step()? {
            self.kept.push_back(message);
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<Option<Message>> {
        let Some((message, _)) = self.telephone.look()? else {
            if self.remote.is_none() && self.began.elapsed() > AGAIN * self.sent {
                self.sent += 1;
                self.telephone.send(&self.invite, self.server)?;
            }
            return Ok(None);
        };
        let Some(status) = message.status().filter(|_| message.method() == "INVITE") else { return Ok(None) };
        self.remote = Some(message.clone());
        if status >= 200 {
            self.acknowledge(status)?;
        }
        Ok(Some(message))
    }

    /// Waits for a response to the INVITE that `wanted` wants, and acknowledges a final one. `None` when none comes.
    pub fn response(&mut self, wanted: impl Fn(u16) -> bool) -> io::Result<Option<Message>> {
        let began = stopwatch();
        while began.elapsed() < SOON {
            let next = match self.kept.pop_front() {
                Some(message) => Some(message),
                None => self.step()?,
            };
            let Some(message) = next else { continue };
            let status = message.status().unwrap_or_default();
            if wanted(status) {
                return Ok(Some(message));
            }
            if status >= 200 {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Waits for the last response.
    pub fn last_response(&mut self) -> io::Result<Option<Message>> {
        self.response(|status| status >= 200)
    }

    fn acknowledge(&self, status: u16) -> io::Result<()> {
        let branch = if status < 300 { token() } else { self.branch.clone() };
        let mut ack = self.request("ACK", &branch, 1, "");
        if status >= 300 {
            // Within the transaction: to where the INVITE went.
            let (_, rest) = ack.split_once("\r\n").unwrap_or_default();
            ack = format!("ACK sip:{}@{} SIP/2.0\r\n{rest}", self.to, self.server);
        }
        self.telephone.send(&ack, self.server)
    }

    /// Presses a key by INFO.
    pub fn inform(&mut self, key: char) -> io::Result<()> {
        self.cseq += 1;
        let body = format!("Signal={key}\r\nDuration=160\r\n");
        let info = self.request("INFO", &token(), self.cseq, &body);
        self.exchange(&info, "INFO").map(drop)
    }

    /// Gives up before the answer.
    pub fn cancel(&mut self) -> io::Result<()> {
        let cancel = self.request("CANCEL", &self.branch, 1, "");
        self.telephone.send(&cancel, self.server)
    }

    /// Hangs up, and waits for the server's word that the call is over: 200, or 481 when it hung up in the same moment
    /// (RFC 3261 15.1.2).
    pub fn hang_up(&mut self) -> io::Result<bool> {
        self.cseq += 1;
        let bye = self.request("BYE", &token(), self.cseq, "");
        self.exchange(&bye, "BYE")
    }

    fn exchange(&mut self, request: &str, method: &str) -> io::Result<bool> {
        self.telephone.send(request, self.server)?;
        let began = stopwatch();
        let mut repeated = 1;
        while began.elapsed() < SOON {
            match self.telephone.look()? {
                Some((message, _)) if message.status().is_some() && message.method() == method => {
                    return Ok(matches!(message.status(), Some(200 | 481)));
                }
                Some((message, from)) => self.answer(&message, from)?,
                None if began.elapsed() > AGAIN * repeated => {
                    repeated += 1;
                    self.telephone.send(request, self.server)?;
                }
                None => {}
            }
        }
        Ok(false)
    }

    /// Waits until the server hangs up.
    pub fn is_hung_up(&mut self) -> io::Result<bool> {
        let began = stopwatch();
        while began.elapsed() < SOON {
            if let Some((message, from)) = self.telephone.look()? {
                self.answer(&message, from)?;
                if message.status().is_none() && message.method() == "BYE" {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn answer(&self, message: &Message, from: SocketAddr) -> io::Result<()> {
        if message.status().is_some() || message.method() == "ACK" {
            return Ok(());
        }
        self.telephone.send(&super::called::response(message, "200 OK", "", ""), from)
    }
}
