//! The gate before the library's parser, which is lax: what does not keep to the letter of SIP where it matters goes
//! no further. Pure: bytes in, a verdict out.
//!
//! The rules are those by which two readers of one message could come to differ, and those that bound what one message
//! may cost (RFC 3261 sections 7, 8.1.1, 8.2 and 25; RFC 4475 and RFC 5118 for what is sent in anger).

use std::str;

/// Why a message goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is no SIP, or a response that cannot be read: nobody is answered.
    Noise,
    /// A request that is answered with this status, if it tells enough to be answered.
    Refused(u16),
}

/// The longest head of a message, its start line and header fields together.
const HEAD: usize = 8_000;

/// The longest line of a head.
const LINE: usize = 4_096;

/// The most header fields.
const FIELDS: usize = 128;

/// The largest body: descriptions are of a few hundred bytes.
const BODY: usize = 8_192;

/// The longest Call-ID.
const CALL_ID: usize = 256;

/// The methods that there are (RFC 3261 and its extensions): others are answered 501.
const METHODS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
];

/// Whether a message may go on to the parser.
pub fn judge(message: &[u8]) -> Result<(), Fault> {
    let (start, fields, body) = take_apart(message)?;
    match Start::read(start)? {
        Start::Response => judge_fields(&fields, None, body).map_err(|_| Fault::Noise),
        Start::Request { method, target, version } => {
            if version != "SIP/2.0" {
                return Err(Fault::Refused(505));
            }
            if !METHODS.contains(&method) {
                return Err(Fault::Refused(501));
            }
            judge_target(target)?;
            judge_fields(&fields, Some(method), body)
        }
    }
}

/// The answer to a request that was refused, if it tells enough for one; to an ACK there is none.
pub fn answer(message: &[u8], status: u16) -> Option<Vec<u8>> {
    let (start, fields, _) = take_apart(message).ok()?;
    if !matches!(Start::read(start), Ok(Start::Request { method, .. }) if method != "ACK") {
        return None;
    }
    let mut answer = format!("SIP/2.0 {status} {}\r\n", reason(status));
    let mut vias = fields.iter().filter(|field| field.is("Via", "v")).peekable();
    vias.peek()?;
    vias.for_each(|via| answer.push_str(&format!("Via: {}\r\n", via.value)));
    for (name, short) in [("From", "f"), ("To", "t"), ("Call-ID", "i"), ("CSeq", "\0")] {
        let mut found = fields.iter().filter(|field| field.is(name, short));
        let (only, None) = (found.next()?, found.next()) else { return None };
        let tag = if name == "To" && !is_tagged(&only.value) { ";tag=0" } else { "" };
        answer.push_str(&format!("{name}: {}{tag}\r\n", only.value));
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    Some(answer.into_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        413 => "Request Entity Too Large",
        416 => "Unsupported URI Scheme",
        501 => "Not Implemented",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        _ => "Bad Request",
    }
}

/// A header field, unfolded.
struct Field<'a> {
    name: &'a str,
    value: String,
}

impl Field<'_> {
    fn is(&self, name: &str, short: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.name.eq_ignore_ascii_case(short)
    }
}

/// The start line, the header fields and the body.
fn take_apart(message: &[u8]) -> Result<(&str, Vec<Field<'_>>, &[u8]), Fault> {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").ok_or(Fault::Noise)?;
    let (head, body) = (&message[..end], &message[end + 4..]);
    if head.len() > HEAD {
        return Err(Fault::Refused(513));
    }
    let head = str::from_utf8(head).map_err(|_| Fault::Noise)?;
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let mut fields: Vec<Field<'_>> = Vec::new();
    for line in lines {
        // A line of its own that begins with a space goes on with the one before (RFC 3261 7.3.1).
        if line.starts_with([' ', '\t']) {
            let Some(last) = fields.last_mut() else { return Err(Fault::Noise) };
            last.value.push(' ');
            last.value.push_str(line.trim());
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { return Err(Fault::Refused(400)) };
        fields.push(Field { name: name.trim_end_matches([' ', '\t']), value: value.trim().to_owned() });
    }
    Ok((start, fields, body))
}

/// A start line.
enum Start<'a> {
    Request { method: &'a str, target: &'a str, version: &'a str },
    Response,
}

impl Start<'_> {
    fn read(line: &str) -> Result<Start<'_>, Fault> {
        if let Some(status) = line.strip_prefix("SIP/2.0 ") {
            let (code, _reason) = status.split_once(' ').unwrap_or((status, ""));
            let sound = code.len() == 3 && code.parse().is_ok_and(|code: u16| (100..700).contains(&code));
            return if sound { Ok(Start::Response) } else { Err(Fault::Noise) };
        }
        let Some(end) = line.rfind("SIP/").filter(|end| *end > 0) else { return Err(Fault::Noise) };
        let version = &line[end..];
        // One space between the parts, none after: whoever writes more could mean another target.
        let parts: Vec<&str> = line[..end].split(' ').collect();
        let [method, target, ""] = parts[..] else { return Err(Fault::Refused(400)) };
        if !is_token(method) {
            return Err(Fault::Noise);
        }
        let numbers = version.strip_prefix("SIP/").and_then(|numbers| numbers.split_once('.'));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        match numbers {
            Some((major, minor)) if digits(major) && digits(minor) => {
                Ok(Start::Request { method, target, version })
            }
            Some(_) | None => Err(Fault::Refused(400)),
        }
    }
}

fn judge_target(target: &str) -> Result<(), Fault> {
    let Some((scheme, rest)) = target.split_once(':') else { return Err(Fault::Refused(400)) };
    if !scheme.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.')) {
        return Err(Fault::Refused(400));
    }
    if !["sip", "sips", "tel"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(Fault::Refused(416));
    }
    // Header fields have no place in a Request-URI (RFC 3261 19.1.1, table 1).
    let after_user = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let odd = |c: u8| !(0x21..0x7f).contains(&c) || matches!(c, b'<' | b'>' | b'"');
    let place = after_user.split(';').next().unwrap_or_default();
    // An address of IPv6 without brackets is some host and some port to each reader (RFC 5118 4.2).
    let ambiguous = !place.starts_with('[') && place.matches(':').count() > 1;
    if rest.is_empty() || after_user.contains('?') || ambiguous || rest.bytes().any(odd) {
        return Err(Fault::Refused(400));
    }
    Ok(())
}

/// Judges the header fields, of a request with this method or of a response.
fn judge_fields(fields: &[Field<'_>], method: Option<&str>, body: &[u8]) -> Result<(), Fault> {
    let bad = Fault::Refused(400);
    if fields.len() > FIELDS {
        return Err(Fault::Refused(513));
    }
    for Field { name, value } in fields {
        if !is_token(name) || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(bad);
        }
        if value.len() > LINE {
            return Err(Fault::Refused(513));
        }
    }
    let all = |name: &str, short: &str| -> Vec<&str> {
        fields.iter().filter(|field| field.is(name, short)).map(|field| field.value.as_str()).collect()
    };
    let only = |name, short| match all(name, short)[..] {
        [one] => Ok(one),
        _ => Err(bad),
    };

    let from = only("From", "f")?;
    let to = only("To", "t")?;
    if !is_address(from) || !is_address(to) || (method.is_some() && !is_tagged(from)) {
        return Err(bad);
    }
    let call_id = only("Call-ID", "i")?;
    if call_id.is_empty() || call_id.len() > CALL_ID || call_id.contains([' ', '\t']) {
        return Err(bad);
    }
    judge_sequence(only("CSeq", "\0")?, method)?;
    judge_vias(&all("Via", "v"))?;
    if all("Contact", "m").iter().any(|contact| *contact != "*" && has_empty_parameter(contact)) {
        return Err(bad);
    }
    match all("Max-Forwards", "\0")[..] {
        [] => {}
        [hops] if is_number_to(hops, 255) => {}
        _ => return Err(bad),
    }
    match all("Content-Length", "l")[..] {
        [] => {}
        [length] => {
            let length: usize = Some(length)
                .filter(|length| is_number_to(length, u64::from(u32::MAX)))
                .and_then(|length| length.parse().ok())
                .ok_or(bad)?;
            // The sender lost a part of it, or wants us to believe so.
            if length > body.len() {
                return Err(bad);
            }
        }
        _ => return Err(bad),
    }
    if body.len() > BODY {
        return Err(Fault::Refused(413));
    }
    Ok(())
}

fn judge_sequence(value: &str, method: Option<&str>) -> Result<(), Fault> {
    let mut words = value.split_ascii_whitespace();
    let (Some(number), Some(of), None) = (words.next(), words.next(), words.next()) else {
        return Err(Fault::Refused(400));
    };
    // Less than 2^31 (RFC 3261 8.1.1.5).
    let sound =
        is_number_to(number, (1 << 31) - 1) && is_token(of) && method.is_none_or(|method| method == of);
    if sound { Ok(()) } else { Err(Fault::Refused(400)) }
}

fn judge_vias(vias: &[&str]) -> Result<(), Fault> {
    let Some(first) = vias.first() else { return Err(Fault::Refused(400)) };
    let protocol: String = first.chars().filter(|c| !c.is_ascii_whitespace()).take(8).collect();
    // The cookie alone tells no transaction from another (RFC 3261 8.1.1.7).
    let bare = vias.iter().any(|via| {
        via.split([';', ',']).any(|word| {
            word.trim().split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("branch") && value.trim().eq_ignore_ascii_case("z9hG4bK")
            })
        })
    });
    let empty = vias.iter().any(|via| has_empty_parameter(via));
    if !protocol.eq_ignore_ascii_case("SIP/2.0/") || bare || empty {
        return Err(Fault::Refused(400));
    }
    Ok(())
}

/// One name-addr or addr-spec with parameters: quotes and brackets closed, no blanks within the address, and no name
/// that would have to be quoted.
fn is_address(value: &str) -> bool {
    let unquoted = match value.strip_prefix('"') {
        Some(rest) => match after_quote(rest) {
            Some(rest) => rest,
            None => return false,
        },
        None => value,
    };
    let (name, rest) = match unquoted.split_once('<') {
        Some((name, rest)) => (name, rest),
        // Without brackets, parameters are the header field's.
        None => {
            let address = unquoted.split(';').next().unwrap_or_default().trim();
            return value == unquoted
                && address.contains(':')
                && !address.contains([' ', '\t', '>', ','])
                && !has_empty_parameter(unquoted);
        }
    };
    let Some((address, parameters)) = rest.split_once('>') else { return false };
    let named = name.split_ascii_whitespace().all(is_token);
    let blank = address.is_empty() || address.contains([' ', '\t', '<', '"']) || !address.contains(':');
    named && !blank && !parameters.contains(['<', '>', ',']) && !has_empty_parameter(parameters)
}

fn is_tagged(value: &str) -> bool {
    let parameters = value.rsplit('>').next().unwrap_or_default().split(';').skip(1);
    let names = parameters.filter_map(|parameter| Some(parameter.split_once('=')?.0));
    names.into_iter().any(|name| name.trim().eq_ignore_ascii_case("tag"))
}

/// What follows the quote that ends a quoted string.
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

/// Two separators with nothing between them, outside of quotes.
fn has_empty_parameter(value: &str) -> bool {
    let (mut quoted, mut escaped, mut separated) = (false, false, false);
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                separated = false;
            }
            ';' | ',' if !quoted => {
                if separated {
                    return true;
                }
                separated = true;
            }
            ' ' | '\t' => {}
            _ => separated = false,
        }
    }
    quoted || separated
}

fn is_number_to(text: &str, most: u64) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits && text.parse::<u64>().is_ok_and(|number| number <= most)
}

/// RFC 3261 25.1, `token`.
fn is_token(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&c);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message of this start line, with these header fields in the place of the usual ones of the same name; an empty
    /// value leaves it out.
    fn message(start: &str, fields: &[(&str, &str)], body: &str) -> String {
        let method = start.split(' ').next().unwrap();
        let sequence = format!("1 {}", if start.starts_with("SIP/") { "INVITE" } else { method });
        let usual = [
            ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776"),
            ("From", "\"A\" <sip:a@example.com>;tag=88"),
            ("To", "<sip:b@example.com>"),
            ("Call-ID", "one@192.0.2.1"),
            ("CSeq", &sequence),
            ("Max-Forwards", "70"),
        ];
        let mut text = format!("{start}\r\n");
        for (name, value) in usual {
            if !fields.iter().any(|(other, _)| *other == name) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("\r\n{body}"));
        text
    }

    fn check(name: &str, text: &str, verdict: Result<(), Fault>) {
        assert_eq!(judge(text.as_bytes()), verdict, "{name}:\n{text}");
    }

    const INVITE: &str = "INVITE sip:b@example.com SIP/2.0";
    const OPTIONS: &str = "OPTIONS sip:b@example.com SIP/2.0";
    const REGISTER: &str = "REGISTER sip:example.com SIP/2.0";
    const BAD: Result<(), Fault> = Err(Fault::Refused(400));

    /// RFC 4475 section 3.1.1: valid, however odd. Methods that nobody knows are refused as such.
    #[test]
    fn torture_that_is_valid_passes() {
        let wsinv = "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n\
            TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n\
            from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n\
            MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\nContent-Length   : 2\r\n\
            cseq: 0009\r\n  INVITE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n\
            s :\r\nNewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
            UnknownHeaderWithUnusualValue: ;;,,;;,;\r\nContent-Type: application/sdp\r\n\
            Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n\
            v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n \
            SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n\
            m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  \
            secondparam ; q = 0.33\r\n\r\nv=";
        check("wsinv", wsinv, Ok(()));
        let method = "!interesting-Method0123456789_*+`.%indeed'~";
        check(
            "intmeth",
            &message(
                &format!(
                    "{method} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0"
                ),
                &[],
                "",
            ),
            Err(Fault::Refused(501)),
        );
        check(
            "esc01",
            &message(
                "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0",
                &[("From", "I <sip:I%20have%20spaces@example.net>;tag=938")],
                "",
            ),
            Ok(()),
        );
        check(
            "escnull",
            &message(
                REGISTER,
                &[
                    ("To", "sip:null-%00-null@example.com"),
                    ("From", "sip:null-%00-null@example.com;tag=839923423"),
                ],
                "",
            ),
            Ok(()),
        );
        check(
            "esc02",
            &message("RE%47IST%45R sip:registrar.example.com SIP/2.0", &[], ""),
            Err(Fault::Refused(501)),
        );
        check(
            "lwsdisp",
            &message(OPTIONS, &[("From", "caller<sip:caller@example.com>;tag=323")], ""),
            Ok(()),
        );
        let long = "v".repeat(600);
        check(
            "longreq",
            &message(
                INVITE,
                &[
                    ("To", &format!("\"{long}\" <sip:b@example.com>")),
                    ("Unknown-Header", &long),
                    ("Contact", &format!("<sip:{long}@example.com>")),
                ],
                "",
            ),
            Ok(()),
        );
        check(
            "dblreq",
            &message(REGISTER, &[("Content-Length", "0")], "\r\nINVITE sip:joe@example.com SIP/2.0\r\n"),
            Ok(()),
        );
        check(
            "semiuri",
            &message(
                "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0",
                &[("To", "sip:j_user@example.com")],
                "",
            ),
            Ok(()),
        );
        check(
            "transports",
            &message(
                OPTIONS,
                &[(
                    "Via",
                    "SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw, SIP/2.0/UNKNOWN t5.example.com;branch=z9hG4bKkk",
                )],
                "",
            ),
            Ok(()),
        );
        check(
            "mpart01",
            &message(
                "MESSAGE sip:kumiko@example.org SIP/2.0",
                &[("Content-Type", "multipart/mixed;boundary=7a9cbec02ceef655"), ("Content-Length", "10")],
                "--7a9cbec0",
            ),
            Ok(()),
        );
        check("unreason", &message("SIP/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e}", &[], ""), Ok(()));
        check("noreason", &message("SIP/2.0 100 ", &[], ""), Ok(()));
    }

    /// RFC 4475 section 3.1.2: invalid.
    #[test]
    fn torture_that_is_invalid_is_refused() {
        check("badinv01", &message(INVITE, &[("Via", "SIP/2.0/UDP 192.0.2.15;;,;,,")], ""), BAD);
        check("badinv01", &message(INVITE, &[("Contact", "\"Joe\" <sip:joe@example.org>;;;;")], ""), BAD);
        check("clerr", &message(INVITE, &[("Content-Length", "9999")], "v=0"), BAD);
        check("ncl", &message(INVITE, &[("Content-Length", "-999")], "v=0"), BAD);
        check("scalar02", &message(REGISTER, &[("CSeq", "36893488147419103232 REGISTER")], ""), BAD);
        check("scalar02", &message(REGISTER, &[("Max-Forwards", "300")], ""), BAD);
        check(
            "scalarlg",
            &message("SIP/2.0 503 Service Unavailable", &[("CSeq", "9292394834772304023312 OPTIONS")], ""),
            Err(Fault::Noise),
        );
        check("quotbal", &message(INVITE, &[("To", "\"Mr. J. User <sip:j.user@example.com>")], ""), BAD);
        check("ltgtruri", &message("INVITE <sip:user@example.com> SIP/2.0", &[], ""), BAD);
        check("lwsruri", &message("INVITE sip:user@example.com; lr SIP/2.0", &[], ""), BAD);
        check("lwsstart", &message("INVITE  sip:user@example.com  SIP/2.0", &[], ""), BAD);
        check("trws", &message("OPTIONS sip:remote-target@example.com SIP/2.0  ", &[], ""), BAD);
        check(
            "escruri",
            &message("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0", &[], ""),
            BAD,
        );
        // A date in another zone harms nobody here, and we register nobody.
        check("baddate", &message(INVITE, &[("Date", "Fri, 01 Jan 2010 16:00:00 EST")], ""), Ok(()));
        check(
            "regbadct",
            &message(REGISTER, &[("Contact", "sip:user@example.com?Route=%3Csip:sip.example.com%3E")], ""),
            Ok(()),
        );
        check(
            "badaspec",
            &message(OPTIONS, &[("To", "\"Watson, Thomas\" < sip:t.watson@example.org >")], ""),
            BAD,
        );
        check(
            "baddn",
            &message(OPTIONS, &[("From", "Bell, Alexander <sip:a.g.bell@example.com>;tag=43")], ""),
            BAD,
        );
        check(
            "badvers",
            &message("OPTIONS sip:t.watson@example.org SIP/7.0", &[], ""),
            Err(Fault::Refused(505)),
        );
        check("mismatch01", &message(OPTIONS, &[("CSeq", "8 INVITE")], ""), BAD);
        check(
            "mismatch02",
            &message("NEWMETHOD sip:user@example.com SIP/2.0", &[("CSeq", "8 INVITE")], ""),
            Err(Fault::Refused(501)),
        );
        check(
            "bigcode",
            &message("SIP/2.0 4294967301 better not break the receiver", &[], ""),
            Err(Fault::Noise),
        );
    }

    /// RFC 4475 sections 3.2 to 3.4: what is judged here, and what is for the layers above, which answer 415, 420, 483
    /// and 405.
    #[test]
    fn torture_of_the_layers_above_is_theirs() {
        check("badbranch", &message(OPTIONS, &[("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")], ""), BAD);
        check("insuf", &message(INVITE, &[("From", ""), ("To", ""), ("Call-ID", "")], ""), BAD);
        check(
            "unkscm",
            &message("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", &[], ""),
            Err(Fault::Refused(416)),
        );
        check(
            "novelsc",
            &message("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", &[], ""),
            Err(Fault::Refused(416)),
        );
        check(
            "unksm2",
            &message(
                REGISTER,
                &[("To", "<isbn:2983792873>"), ("From", "<http://www.example.com>;tag=3234233")],
                "",
            ),
            Ok(()),
        );
        check(
            "bext01",
            &message(OPTIONS, &[("Require", "nothingSupportsThis, nothingSupportsThisEither")], ""),
            Ok(()),
        );
        check(
            "invut",
            &message(
                INVITE,
                &[("Content-Type", "application/unknownformat"), ("Content-Length", "4")],
                "what",
            ),
            Ok(()),
        );
        check(
            "regaut01",
            &message(REGISTER, &[("Authorization", "NoOneKnowsThisScheme opaque-data=here")], ""),
            Ok(()),
        );
        check(
            "multi01",
            &format!("{INVITE}\r\nCSeq: 5 INVITE\r\n{}", message("x", &[], "").split_once("\r\n").unwrap().1),
            BAD,
        );
        check("mcl01", &message(OPTIONS, &[("Content-Length", "0"), ("l", "5")], "12345"), BAD);
        check(
            "bcast",
            &message(
                "SIP/2.0 200 OK",
                &[(
                    "Via",
                    "SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923, SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23",
                )],
                "",
            ),
            Ok(()),
        );
        check("zeromf", &message(OPTIONS, &[("Max-Forwards", "0")], ""), Ok(()));
        check(
            "cparam01",
            &message(REGISTER, &[("Contact", "sip:+19725552222@gw1.example.net;unknownparam")], ""),
            Ok(()),
        );
        check(
            "cparam02",
            &message(REGISTER, &[("Contact", "<sip:+19725552222@gw1.example.net;unknownparam>")], ""),
            Ok(()),
        );
        check(
            "regescrt",
            &message(REGISTER, &[("Contact", "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>")], ""),
            Ok(()),
        );
        check("sdp01", &message(INVITE, &[("Accept", "text/nobodyKnowsThis")], ""), Ok(()));
        check(
            "inv2543",
            &message(INVITE, &[("Via", "SIP/2.0/UDP iftgw.example.com"), ("Max-Forwards", "")], ""),
            Ok(()),
        );
    }

    /// RFC 5118: IPv6 references.
    #[test]
    fn ipv6_references_are_judged() {
        check(
            "ipv6-good",
            &message(
                "REGISTER sip:[2001:db8::10] SIP/2.0",
                &[("Via", "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111")],
                "",
            ),
            Ok(()),
        );
        check(
            "via-received",
            &message(
                "BYE sip:[2001:db8::10] SIP/2.0",
                &[("Via", "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111")],
                "",
            ),
            Ok(()),
        );
        check("port-ambiguous", &message("REGISTER sip:[2001:db8::10:5070] SIP/2.0", &[], ""), Ok(()));
        check(
            "multiple-ip",
            &message(
                "INVITE sip:user@[2001:db8::10] SIP/2.0",
                &[("Contact", "\"Caller\" <sip:caller@[2001:db8::1]>")],
                "",
            ),
            Ok(()),
        );
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let long = "v".repeat(LINE + 1);
        check("line", &message(INVITE, &[("Subject", &long)], ""), Err(Fault::Refused(513)));
        let head = "v".repeat(HEAD);
        check("head", &message(INVITE, &[("Subject", &head)], ""), Err(Fault::Refused(513)));
        let many = vec![("X", "y"); FIELDS];
        check("fields", &message(INVITE, &many, ""), Err(Fault::Refused(513)));
        check("body", &message(INVITE, &[], &"v".repeat(BODY + 1)), Err(Fault::Refused(413)));
        check("call-id", &message(INVITE, &[("Call-ID", &"v".repeat(CALL_ID + 1))], ""), BAD);
    }

    #[test]
    fn noise_is_noise() {
        for noise in
            ["", "\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{0}\u{1}", "INVITE", "SIP/2.0\r\n\r\n"]
        {
            assert_eq!(judge(noise.as_bytes()), Err(Fault::Noise), "{noise:?}");
            assert_eq!(answer(noise.as_bytes(), 400), None);
        }
        assert_eq!(judge(b"\xff\xfe\r\n\r\n"), Err(Fault::Noise));
    }

    #[test]
    fn a_refused_request_is_answered_with_its_own_words() {
        let text = message(
            "OPTIONS sip:b@example.com SIP/7.0",
            &[("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")],
            "",
        );
        let answered = String::from_utf8(answer(text.as_bytes(), 505).unwrap()).unwrap();
        assert_eq!(
            answered,
            "SIP/2.0 505 Version Not Supported\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: \"A\" <sip:a@example.com>;tag=88\r\nTo: <sip:b@example.com>;tag=0\r\n\
             Call-ID: one@192.0.2.1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );

        let nobody = |start: &str, fields: &[(&str, &str)]| {
            assert_eq!(answer(message(start, fields, "").as_bytes(), 400), None, "{start}");
        };
        nobody("ACK sip:b@example.com SIP/2.0", &[]);
        nobody("SIP/2.0 200 OK", &[]);
        nobody(INVITE, &[("From", "")]);
        nobody(INVITE, &[("Via", "")]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = judge(&bytes);
            let _ = answer(&bytes, 400);
        }

        #[test]
        fn no_mutation_makes_it_fall(at in 0..400_usize, byte: u8, cut in 0..400_usize) {
            let mut bytes = message(INVITE, &[("Contact", "\"J\" <sip:j@example.com>;q=1"), ("Content-Length", "3")], "v=0")
                .into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = judge(&bytes);
            bytes.truncate(cut);
            let _ = judge(&bytes);
            let _ = answer(&bytes, 400);
        }

        /// What passes is read by the library, or dropped by it, and never brings it down.
        #[test]
        fn what_passes_does_not_bring_the_library_down(at in 0..400_usize, byte in 0x20_u8..0x7f) {
            let mut bytes = message(INVITE, &[("Contact", "<sip:j@example.com>")], "").into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if judge(&bytes).is_ok() {
                let _ = rsipstack::sip::SipMessage::try_from(bytes.as_slice());
            }
        }
    }
}
