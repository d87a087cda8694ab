//! What an operator sees of the messages when a fault is hunted together with a carrier: each one as an event of the
//! target [`TARGET`], masked.
//!
//! The masking is a list of what may be seen, and not one of what may not: a header field or a line of a description
//! that is not known here is told by its name alone. Of what may be seen, runs of five digits and more are masked,
//! however they are written, and only addresses, ports and counters stay. It leaves to the logging of the program
//! that nobody gets these events who has not asked for them by name.

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::LazyLock;

use callveil_domain::number::PhoneNumber;
use rsipstack::sip::{HeadersExt, SipMessage};
use rsipstack::transport::{SipAddr, SipConnection};
use tracing::Level;

/// The target of the events that hold messages.
pub const TARGET: &str = "callveil::sip";

/// Stands where something is left out.
const HIDDEN: &str = "…";

/// Which way a message went.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// From a peer to us.
    Received,
    /// From us to a peer.
    Sent,
}

/// Does anybody want to see the messages? To ask costs nothing when nobody does.
pub(super) fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

/// Tells one message, masked.
pub(super) fn tell(way: Way, peer: &dyn Display, transport: &dyn Display, message: &[u8]) {
    // A keep-alive, or its answer (RFC 5626 4.4.1).
    if message.trim_ascii().is_empty() {
        return;
    }
    // Masked Call-IDs of two calls may be the same: this tells them apart, and cannot be turned back.
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let message = Message::read(message);
    let call_id = message.value_of("Call-ID", "i").unwrap_or_default();
    let (direction, other) = match way {
        Way::Received => ("received", "from"),
        Way::Sent => ("sent", "to"),
    };
    // Whatever a peer writes, none of its lines can pass for a line of the log.
    let text = message.masked().replace('\n', "\n    ");
    tracing::debug!(
        target: TARGET,
        direction,
        %peer,
        %transport,
        call_id = %line(call_id),
        call = %format_args!("{:016x}", KEY.hash_one(call_id)),
        "{direction} {other} {peer} by {transport}:\n    {text}"
    );
}

/// Tells a message that leaves by a stream; datagrams are told where they are sent.
pub(super) fn tell_streamed(message: &SipMessage, towards: Option<&SipAddr>) {
    let via = message.via_header().ok();
    let Some((transport, origin)) = via.and_then(|via| SipConnection::parse_target_from_via(via).ok()) else {
        return;
    };
    if transport == rsipstack::sip::Transport::Udp {
        return;
    }
    let peer = towards.map_or(origin, |towards| towards.addr.clone());
    tell(Way::Sent, &peer, &transport, &message.to_bytes());
}

/// A message as an operator may see it, its lines ended by `\n`.
///
/// Total: whatever the bytes are, something is given, and no number in it is whole.
pub fn masked(message: &[u8]) -> String {
    Message::read(message).masked()
}

/// A message as far as it must be understood to be masked: leniently, as it may be one that is refused.
struct Message {
    start: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn read(message: &[u8]) -> Message {
        let text = plain(&String::from_utf8_lossy(message));
        let mut lines = text.split('\n');
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            // A folded line goes on with the one before (RFC 3261 7.3.1).
            if let (true, Some((_, value))) = (line.starts_with([' ', '\t']), fields.last_mut()) {
                value.push_str(line);
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or(("", line));
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Message { start, fields, body: lines.collect::<Vec<_>>().join("\n") }
    }

    fn value_of(&self, name: &str, short: &str) -> Option<&str> {
        let is_it = |given: &str| given.eq_ignore_ascii_case(name) || given.eq_ignore_ascii_case(short);
        self.fields.iter().find(|(given, _)| is_it(given)).map(|(_, value)| value.as_str())
    }

    fn masked(&self) -> String {
        let mut lines = vec![start(&self.start)];
        lines.extend(
            self.fields.iter().map(|(name, value)| format!("{}: {}", hidden(name), field(name, value))),
        );
        let kind = self.value_of("Content-Type", "c").unwrap_or_default().to_ascii_lowercase();
        let described = kind.starts_with("application/sdp") && !self.start.starts_with("INFO ");
        if !self.body.trim().is_empty() {
            lines.push(String::new());
            match described {
                true => lines.extend(self.body.split('\n').filter(|l| !l.is_empty()).map(description)),
                false => lines.push(HIDDEN.to_owned()),
            }
        }
        lines.join("\n")
    }
}

/// Text of the characters that are safe to show: lines end with `\n`, and what is not ASCII is left out, since digits
/// of other scripts are digits too.
fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' | ' '..='~' => c,
        _ => '…',
    };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

fn start(text: &str) -> String {
    let Some(status) = text.strip_prefix("SIP/2.0 ") else {
        return line(text);
    };
    let (code, reason) = status.split_once(' ').unwrap_or((status, ""));
    format!("SIP/2.0 {} {}", hidden(code), hidden(reason))
}

/// The value of a header field.
fn field(name: &str, value: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "cseq" if is_cseq(value) => value.to_owned(),
        "content-length" | "l" if port(value) == value.len() => value.to_owned(),
        // What they quote is told to the operator, and names nobody.
        "reason" | "warning" => hidden(value),
        "accept" | "allow" | "allow-events" | "call-id" | "contact" | "content-disposition"
        | "content-encoding" | "content-length" | "content-type" | "cseq" | "diversion" | "event" | "expires"
        | "from" | "history-info" | "max-forwards" | "min-expires" | "min-se" | "p-asserted-identity"
        | "p-preferred-identity" | "path" | "privacy" | "proxy-require" | "rack" | "record-route" | "refer-to"
        | "referred-by" | "remote-party-id" | "replaces" | "reply-to" | "require" | "retry-after" | "route"
        | "rseq" | "server" | "service-route" | "session-expires" | "subscription-state" | "supported" | "to"
        | "unsupported" | "user-agent" | "via"
        // The short names of some of them (RFC 3261 7.3.3 and later).
        | "b" | "c" | "e" | "f" | "i" | "k" | "l" | "m" | "o" | "r" | "t" | "u" | "v" | "x" => line(&nameless(value)),
        _ => HIDDEN.to_owned(),
    }
}

fn is_cseq(value: &str) -> bool {
    value.split_once(' ').is_some_and(|(number, method)| {
        number.parse::<u32>().is_ok() && method.bytes().all(|c| c.is_ascii_uppercase())
    })
}

/// A value without the names of people: what is quoted, and what stands before an address in angle brackets.
fn nameless(value: &str) -> String {
    let (mut unquoted, mut quoted, mut escaped) = (String::new(), false, false);
    for c in value.chars() {
        match c {
            '"' if !escaped => {
                quoted = !quoted;
                if quoted {
                    unquoted.push_str(HIDDEN);
                }
            }
            c if !quoted => unquoted.push(c),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    let mut shown = String::new();
    let mut pieces = unquoted.split('<').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            shown.push_str(piece);
            break;
        }
        let (before, name) = match piece.rfind(',') {
            _ if shown.is_empty() => ("", piece),
            Some(comma) => piece.split_at(comma + 1),
            None => (piece, ""),
        };
        shown.push_str(before);
        if !name.trim().is_empty() {
            shown.push_str(if before.is_empty() { "… " } else { " … " });
        }
        shown.push('<');
    }
    shown
}

/// A line of a session description (RFC 8866).
fn description(text: &str) -> String {
    let (kind, value) = text.split_once('=').unwrap_or(("", text));
    match kind {
        "v" | "c" | "b" | "t" => line(text),
        // The first word names a user.
        "o" => format!("o={HIDDEN} {}", line(value.split_once(' ').unwrap_or_default().1)),
        "m" => media(text),
        "a" => {
            let (name, rest) = value.split_once(':').unwrap_or((value, ""));
            match name {
                "rtpmap" | "ptime" | "maxptime" | "rtcp" => line(text),
                "sendrecv" | "sendonly" | "recvonly" | "inactive" | "rtcp-mux" if rest.is_empty() => {
                    text.to_owned()
                }
                // The format is no part of what follows: `101 0-15`.
                "fmtp" => match text.split_once(' ') {
                    Some((format, what)) => format!("{} {}", hidden(format), hidden(what)),
                    None => hidden(text),
                },
                _ => format!("a={}:{HIDDEN}", hidden(name)),
            }
        }
        _ => format!("{}={HIDDEN}", hidden(kind)),
    }
}

/// The line of a medium, whose formats are small numbers beside each other.
fn media(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, at, protocol, formats @ ..] = words.as_slice() else { return hidden(text) };
    let is_format = |format: &&str| format.parse::<u8>().is_ok_and(|format| format < 128);
    if port(at) != at.len() || !formats.iter().all(is_format) {
        return hidden(text);
    }
    format!("{} {at} {} {}", hidden(kind), hidden(protocol), formats.join(" "))
}

/// After these, a host stands.
const BEFORE_HOST: [&str; 9] =
    ["@", "sip:", "sips:", "received=", "maddr=", "/UDP ", "/TCP ", "/TLS ", "IP4 "];

/// After these, a port stands.
const BEFORE_PORT: [&str; 2] = ["rport=", "a=rtcp:"];

/// Text with its numbers masked; addresses and ports stay where a host may stand.
fn line(text: &str) -> String {
    let mut shown = String::new();
    let (mut from, mut at) = (0, 0);
    while let Some((next, kept)) = place(text, at) {
        if !kept.is_empty() {
            shown.push_str(&hidden(&text[from..kept.start]));
            shown.push_str(&text[kept.clone()]);
            from = kept.end;
        }
        at = next.max(kept.end);
    }
    shown.push_str(&hidden(&text[from..]));
    shown
}

/// Where the next host or port begins, and what of it is shown as it is.
fn place(text: &str, at: usize) -> Option<(usize, Range<usize>)> {
    let rest = &text[at..];
    let first = |marks: &[&str]| {
        marks.iter().filter_map(|mark| rest.find(mark).map(|found| at + found + mark.len())).min()
    };
    match (first(&BEFORE_HOST), first(&BEFORE_PORT)) {
        (Some(host), other) if other.is_none_or(|other| host < other) => Some((host, host_shown(text, host))),
        (_, Some(number)) => Some((number, number..number + port(&text[number..]))),
        (_, None) => None,
    }
}

/// What of a host is shown as it is: an address and its port, or the port of a name.
fn host_shown(text: &str, at: usize) -> Range<usize> {
    let rest = &text[at..];
    // What stands before an @ is a user, and the @ may be written by its code.
    let uri = rest.split(['>', '<', ' ', ',', '"']).next().unwrap_or_default();
    if uri.contains(['@', '%']) {
        return at..at;
    }
    let length = match rest.strip_prefix('[') {
        Some(address) => address.find(']').map_or(0, |end| end + 2),
        None => {
            rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-')).unwrap_or(rest.len())
        }
    };
    let (host, after) = rest.split_at(length);
    let until = match after.strip_prefix(':').map_or(0, port) {
        0 => at + length,
        digits => at + length + 1 + digits,
    };
    if host.parse::<Ipv4Addr>().is_ok() && !goes_on(&text[until..]) {
        return at..until;
    }
    let is_name = host.starts_with('[') || host.bytes().any(|c| c.is_ascii_alphabetic());
    if is_name { at + length..until } else { at..at }
}

/// How long the port is that a text begins with; nothing when it is none.
fn port(text: &str) -> usize {
    let length = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let digits = &text[..length];
    let sound = digits.parse::<u16>().is_ok() && (length == 1 || !digits.starts_with('0'));
    if sound && !goes_on(&text[length..]) { length } else { 0 }
}

/// Does a number that was begun before this text go on in it?
fn goes_on(mut text: &str) -> bool {
    while let Some((length, kind)) = unit(text) {
        match kind {
            Unit::Digit(_) => return true,
            Unit::Between => text = &text[length..],
            Unit::Other => return false,
        }
    }
    false
}

/// Text in which every run of five digits and more is masked, whatever stands between its digits.
fn hidden(text: &str) -> String {
    let mut shown = String::new();
    let (mut run, mut digits, mut rest) = (0..0, String::new(), 0..text.len());
    while let Some((length, kind)) = unit(&text[rest.clone()]) {
        let end = rest.start + length;
        match kind {
            Unit::Digit(digit) => {
                if digits.is_empty() {
                    shown.push_str(&text[run.end..rest.start]);
                    run = rest.start..end;
                }
                digits.push(digit);
                run.end = end;
            }
            Unit::Between => {}
            Unit::Other => {
                shown.push_str(&mask(&digits, &text[run.clone()]));
                digits.clear();
                run = run.end..run.end;
            }
        }
        rest.start = end;
    }
    shown.push_str(&mask(&digits, &text[run.clone()]));
    shown.push_str(&text[run.end..]);
    shown
}

/// What a character means, be it written as it is or by its code.
enum Unit {
    Digit(char),
    /// It may stand between the digits of one number.
    Between,
    Other,
}

/// The first character of a text, and how long it is there.
fn unit(text: &str) -> Option<(usize, Unit)> {
    let first = text.chars().next()?;
    let escaped = text.strip_prefix('%').and_then(|after| after.get(..2));
    let escaped = escaped.filter(|code| code.bytes().all(|c| c.is_ascii_hexdigit()));
    let escaped = escaped.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(u8::is_ascii);
    let (length, meant) = escaped.map_or((first.len_utf8(), first), |code| (3, code.into()));
    let kind = match meant {
        '0'..='9' => Unit::Digit(meant),
        '-' | '.' | ' ' | '\t' | '+' | '(' | ')' | '/' | '_' | '~' | '…' => Unit::Between,
        _ => Unit::Other,
    };
    Some((length, kind))
}

/// Digits as they are shown, which were written like this. As [`PhoneNumber`] prints itself, with the zeros and
/// without the plus: what stands before the number is what a carrier is asked about.
fn mask(digits: &str, written: &str) -> String {
    if digits.len() < 5 {
        return written.to_owned();
    }
    let significant = digits.trim_start_matches('0');
    let zeros = &digits[..digits.len() - significant.len()];
    let number = significant.parse().ok().and_then(PhoneNumber::from_digits);
    number.map_or_else(
        || "******".to_owned(),
        |number| format!("{zeros}{}", number.to_string().trim_start_matches('+')),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INVITE: &str = "INVITE sip:+918000000001@192.0.2.10:50600;user=phone SIP/2.0\r\n";

    fn check(line: &str, shown: &str) {
        let message = masked(format!("{INVITE}{line}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        assert_eq!(message.lines().nth(1), Some(shown), "{message}");
    }

    #[test]
    fn a_message_is_shown_without_its_numbers() {
        let message = "INVITE sip:+918000000001@192.0.2.10:50600;user=phone SIP/2.0\r\n\
            Via: SIP/2.0/UDP 198.51.100.7:50612;branch=z9hG4bKa1;rport=50612;received=198.51.100.8\r\n\
            From: \"Anita 9900000001\" <sip:+919900000001@198.51.100.7>;tag=a1\r\n\
            To: <sip:08000000001@192.0.2.10>\r\nCall-ID: a1@198.51.100.7\r\nCSeq: 102938 INVITE\r\n\
            Content-Type: application/sdp\r\nContent-Length: 10234\r\n\r\n\
            v=0\r\no=919900000001 1 2 IN IP4 198.51.100.7\r\ns=+91 99000 00001\r\n\
            p=+919900000001\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/SAVP 0 8 101\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\na=rtpmap:101 telephone-event/8000\r\n\
            a=fmtp:101 0-15\r\na=x-caller:919900000001\r\na=sendrecv\r\n";

        assert_eq!(
            masked(message.as_bytes()),
            "INVITE sip:+91******01@192.0.2.10:50600;user=phone SIP/2.0\n\
             Via: SIP/2.0/UDP 198.51.100.7:50612;branch=z9hG4bKa1;rport=50612;received=198.51.100.8\n\
             From: … <sip:+91******01@198.51.100.7>;tag=a1\n\
             To: <sip:080******01@192.0.2.10>\nCall-ID: a1@198.51.100.7\nCSeq: 102938 INVITE\n\
             Content-Type: application/sdp\nContent-Length: 10234\n\n\
             v=0\no=… 1 2 IN IP4 198.51.100.7\ns=…\n\
             p=…\nc=IN IP4 198.51.100.7\nt=0 0\nm=audio 40000 RTP/SAVP 0 8 101\n\
             a=crypto:…\na=rtpmap:101 telephone-event/8000\n\
             a=fmtp:101 0-15\na=x-caller:…\na=sendrecv"
        );
    }

    #[test]
    fn what_may_hold_a_number_or_a_secret_is_masked_or_left_out() {
        check("To: <tel:+91-99000-00001>", "To: <tel:+91******01>");
        check("t: tel:+91.99000.00001", "t: tel:+91******01");
        check("To: <sip:%2B919900000001@a.example>", "To: <sip:%2B91******01@a.example>");
        check("To: <sip:%39900%30000%301@a.example>", "To: <sip:99******01@a.example>");
        check("To: <sip:12345@a.example:50600>", "To: <sip:******@a.example:50600>");
        check("To: <sip:98.76.54.32@a.example>", "To: <sip:98******32@a.example>");
        check("To: <sip:98.76.54.32%40a.example>", "To: <sip:98******32%40a.example>");
        check("Via: SIP/2.0/UDP 98.76.54.32 1098", "Via: SIP/2.0/UDP 98******98");
        check("Contact: <sip:919900000001:50600>", "Contact: <sip:91******01:******>");
        check("Contact: <sip:a@919900000001.example:5060>", "Contact: <sip:a@91******01.example:5060>");
        check("Contact: Anita, Ravi <sip:a@[2001:db8::7]:50600>", "Contact: … <sip:a@[2001:db8::7]:50600>");
        check("From: Anita Ravi <sip:a@b.example>", "From: … <sip:a@b.example>");
        check("From: \"A \\\" <sip:9900000001\" <sip:a@b.example>", "From: … <sip:a@b.example>");
        check("Via: SIP/2.0/UDP a.example;rport=919900000001", "Via: SIP/2.0/UDP a.example;rport=91******01");
        check("Call-ID: 919900000001-1@192.0.2.7", "Call-ID: 91******11@192.0.2.7");
        check("CSeq: 919900000001 INVITE", "CSeq: 91******01 INVITE");
        check("Content-Length: 919900000001", "Content-Length: 91******01");
        check("P-Asserted-Identity: <sip:+919900000001@x>", "P-Asserted-Identity: <sip:+91******01@x>");
        check("Diversion: <sip:+919900000001@x>;reason=busy", "Diversion: <sip:+91******01@x>;reason=busy");
        check("History-Info: <sip:+919900000001@x>;index=1", "History-Info: <sip:+91******01@x>;index=1");
        check(
            "Reason: Q.850;cause=16;text=\"to 99000 00001\"",
            "Reason: Q.850;cause=16;text=\"to 99******01\"",
        );
        for secret in [
            "Authorization",
            "Proxy-Authorization",
            "WWW-Authenticate",
            "Proxy-Authenticate",
            "Authentication-Info",
            "Identity",
            "Y",
            "User-to-User",
            "Subject",
            "X-Caller",
        ] {
            check(&format!("{secret}: Digest username=\"a\""), &format!("{secret}: …"));
            check(&format!("{secret}: a,\r\n 919900000001"), &format!("{secret}: …"));
        }
        check("X-919900000001: a", "X-91******01: …");
        check("To: <sip:+91\r\n 9900000001@x>", "To: <sip:+91******01@x>");
        check("To: <sip:9900\u{a0}0000\u{a0}01@x>", "To: <sip:99******01@x>");
        check("919900000001", ": …");
    }

    #[test]
    fn of_bodies_only_descriptions_are_shown() {
        let info = "INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=1\r\n";
        assert_eq!(
            masked(info.as_bytes()),
            "INFO sip:a@b SIP/2.0\nContent-Type: application/dtmf-relay\n\n…"
        );
        let info = "INFO sip:a@b SIP/2.0\r\nc: application/sdp\r\n\r\na=fmtp:1 2\r\n";
        assert_eq!(masked(info.as_bytes()), "INFO sip:a@b SIP/2.0\nc: application/sdp\n\n…");
        let none = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n";
        assert_eq!(masked(none.as_bytes()), "SIP/2.0 200 OK\nCSeq: 1 INVITE\n\n…");
    }

    /// The number, with something between its digits in places.
    fn written() -> impl Strategy<Value = String> {
        let between = prop::sample::select(vec!["", "", "", "-", ".", " ", "%2D", "%20", "(", ") ", "/"]);
        let plus = prop::sample::select(vec!["", "+", "%2B", "00", "0"]);
        (plus, prop::collection::vec(between, NUMBER.len())).prop_map(|(plus, between)| {
            let digits = NUMBER.chars().zip(between).map(|(digit, between)| format!("{digit}{between}"));
            format!("{plus}{}", digits.collect::<String>())
        })
    }

    const NUMBER: &str = "918273645918";

    /// The places of a message where somebody may write a number.
    fn with_number() -> impl Strategy<Value = String> {
        let places = prop::sample::select(vec![
            "INVITE sip:#@192.0.2.1:5060 SIP/2.0\r\n\r\n",
            "INVITE sip:192.0.2.1:50600;a=# SIP/2.0\r\n\r\n",
            "SIP/2.0 404 # is unknown\r\n\r\n",
            "#\r\n\r\n",
            "BYE tel:# SIP/2.0\r\nTo: <sip:#@192.0.2.1>\r\nFrom: \"#\" <sip:#>;tag=#\r\nCall-ID: #@#\r\n\r\n",
            "BYE sip:a SIP/2.0\r\nContact: # <sip:a@#:5060>, <sip:#:50601;maddr=#>\r\n#: #\r\n\r\n#",
            "BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP #;received=#;rport=#;branch=z9hG4bK#\r\nRSeq: #\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nReason: a;text=\"#\"\r\nRoute: <sip:#;lr>\r\n\r\n",
            "INVITE sip:a SIP/2.0\r\nc: application/sdp\r\n\r\no=# # 1 IN IP4 #\r\ns=#\r\nm=audio # RTP/AVP #\r\n\
             c=IN IP4 #\r\nb=#\r\na=#\r\na=fmtp:# #\r\na=rtcp:#\r\n#\r\n",
        ]);
        (places, written()).prop_map(|(place, number)| place.replace('#', &number))
    }

    proptest! {
        #[test]
        fn no_six_digits_of_a_number_are_shown_beside_each_other(message in with_number()) {
            let shown: String = masked(message.as_bytes()).replace("%2D", "").replace("%20", "");
            let shown: String = shown.chars().filter(|c| !"-. ()/".contains(*c)).collect();
            for at in 0..=NUMBER.len() - 6 {
                prop_assert!(!shown.contains(&NUMBER[at..at + 6]), "{message:?} is shown as {shown:?}");
            }
        }

        #[test]
        fn no_bytes_make_it_fall(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = masked(&bytes);
        }

        #[test]
        fn no_mutation_makes_it_fall(message in with_number(), at in 0..400_usize, c: char) {
            let at = at % message.len();
            let _ = masked(format!("{}{c}{}", &message[..at], &message[at..]).as_bytes());
        }
    }
}
