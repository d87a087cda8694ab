//! Scripts for SIPp, as short as the conversation that they are of.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What one telephone says and hears in a call, in order.
#[derive(Clone, Debug)]
pub struct Script {
    side: Side,
    steps: String,
    /// The CSeq of the last request of its own, and of its INVITE.
    cseq: u32,
    invited: u32,
    variables: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Side {
    Caller { from: String, to: String },
    Callee,
}

/// A description of G.711 with this direction.
pub fn described(direction: &str) -> String {
    format!(
        "v=0\no=- 1 1 IN IP[local_ip_type] [local_ip]\ns=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\n\
         m=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\na={direction}\n"
    )
}

/// A key as INFO tells it.
pub fn key(key: char) -> String {
    format!("Signal={key}\nDuration=160\n")
}

impl Script {
    /// A telephone that calls a number, as another.
    pub fn caller(from: &str, to: &str) -> Script {
        Script::of(Side::Caller { from: from.to_owned(), to: to.to_owned() })
    }

    /// A telephone that is called.
    pub fn callee() -> Script {
        Script::of(Side::Callee)
    }

    fn of(side: Side) -> Script {
        Script { side, steps: String::new(), cseq: 0, invited: 0, variables: BTreeSet::new() }
    }

    /// The scenario as SIPp reads it.
    pub fn xml(&self) -> String {
        let mut variables = String::new();
        for name in &self.variables {
            let comma = if variables.is_empty() { "" } else { "," };
            write!(variables, "{comma}{name}").unwrap();
        }
        let Script { steps, .. } = self;
        let used = match variables.is_empty() {
            true => String::new(),
            false => format!("  <Reference variables=\"{variables}\"/>\n"),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"script\">\n{steps}{used}</scenario>\n"
        )
    }

    /// Begins the call with a request, usually an INVITE.
    pub fn begins(mut self, method: &str, fields: &str, body: &str) -> Script {
        let (target, from, to) = self.whom().expect("whoever is called does not begin");
        self.cseq = 1;
        self.invited = 1;
        let head = format!("{method} {target} SIP/2.0\nVia: {}\nFrom: {from}\nTo: {to}\n", via("i"));
        self.request(method, &head, fields, body)
    }

    /// A request within the call.
    pub fn says(mut self, method: &str, fields: &str, body: &str) -> Script {
        self.cseq += 1;
        let head =
            format!("{method} [next_url] SIP/2.0\nVia: {}\n{}", via(&self.cseq.to_string()), self.parties());
        self.request(method, &head, fields, body)
    }

    /// Acknowledges an answer.
    pub fn acks(mut self, body: &str) -> Script {
        let branch = format!("a{}", self.invited);
        let head = format!("ACK [next_url] SIP/2.0\nVia: {}\n{}", via(&branch), self.parties());
        let text = format!("{head}CSeq: {} ACK\n", self.invited);
        self.send(false, &text, "", body);
        self
    }

    /// Acknowledges a refusal: of the call, or of an offer within it.
    pub fn acks_refusal(mut self) -> Script {
        let head = match (self.invited, self.whom()) {
            (1, Some((target, ..))) => format!("ACK {target} SIP/2.0\nVia: {}\n{}", via("i"), self.parties()),
            (cseq, _) => {
                format!("ACK [next_url] SIP/2.0\nVia: {}\n{}", via(&cseq.to_string()), self.parties())
            }
        };
        let text = format!("{head}CSeq: {} ACK\n", self.invited);
        self.send(false, &text, "", "");
        self
    }

    /// Gives the call up.
    pub fn cancels(mut self) -> Script {
        let (target, from, to) = self.whom().expect("whoever is called has no INVITE to cancel");
        let text = format!(
            "CANCEL {target} SIP/2.0\nVia: {}\nFrom: {from}\nTo: {to}\nCSeq: {} CANCEL\n",
            via("i"),
            self.invited,
        );
        self.send(true, &text, "", "");
        self
    }

    /// The target, From and To of what begins the call.
    fn whom(&self) -> Option<(String, String, String)> {
        let Side::Caller { from, to } = &self.side else { return None };
        let target = format!("sip:{to}@[remote_ip]:[remote_port]");
        let to = format!("<{target}>");
        Some((target, format!("<sip:{from}@[local_ip]>;tag={OWN}"), to))
    }

    /// Hears a response.
    pub fn hears(self, status: u16) -> Script {
        self.hears_that(status, &[])
    }

    /// Hears a response whose header fields (`Min-SE:`) or `body` match these expressions.
    pub fn hears_that(mut self, status: u16, checks: &[(&str, &str)]) -> Script {
        // Who the other is, once it has said so: a response to a CANCEL may be tagged otherwise.
        let first = !self.variables.contains("remote");
        let takes: &[(&str, &str)] = if first { &[("remote", "To:")] } else { &[] };
        let attributes = format!("response=\"{status}\" rrs=\"{first}\"");
        self.receive(&attributes, takes, checks);
        self
    }

    /// Hears a response, or does not.
    pub fn may_hear(mut self, status: u16) -> Script {
        writeln!(self.steps, "  <recv response=\"{status}\" optional=\"true\"/>").unwrap();
        self
    }

    /// Hears a request.
    pub fn gets(self, method: &str) -> Script {
        self.gets_that(method, &[])
    }

    /// Hears a request whose header fields or `body` match these expressions.
    pub fn gets_that(mut self, method: &str, checks: &[(&str, &str)]) -> Script {
        let begins = matches!(self.side, Side::Callee) && !self.variables.contains("remote");
        let names = [format!("via{method}"), format!("cseq{method}")];
        let mut takes = vec![(names[0].as_str(), "Via:"), (names[1].as_str(), "CSeq:")];
        if begins {
            takes.extend([("remote", "From:"), ("local", "To:")]);
        }
        let attributes = format!("request=\"{method}\" rrs=\"{begins}\"");
        self.receive(&attributes, &takes, checks);
        self
    }

    /// Answers the last request of a method.
    pub fn answers(mut self, method: &str, status: &str, fields: &str, body: &str) -> Script {
        let text = format!(
            "SIP/2.0 {status}\nVia: [$via{method}]\nFrom: [$remote]\nTo: {}\nCSeq: [$cseq{method}]\n{CONTACT}",
            self.own()
        );
        let again = method == "INVITE" && !status.starts_with('1');
        self.send(again, &text, fields, body);
        self
    }

    /// Lets time pass.
    pub fn waits(mut self, milliseconds: u32) -> Script {
        writeln!(self.steps, "  <pause milliseconds=\"{milliseconds}\"/>").unwrap();
        self
    }

    /// From and To of a request within the call.
    fn parties(&self) -> String {
        format!("From: {}\nTo: [$remote]\n", self.own())
    }

    fn own(&self) -> String {
        match self.whom() {
            Some((_, from, _)) => from,
            None => format!("[$local];tag={OWN}"),
        }
    }

    fn request(mut self, method: &str, head: &str, fields: &str, body: &str) -> Script {
        let text = format!("{head}CSeq: {} {method}\n{CONTACT}", self.cseq);
        if method == "INVITE" {
            self.invited = self.cseq;
        }
        self.send(true, &text, fields, body);
        self
    }

    fn send(&mut self, again: bool, text: &str, fields: &str, body: &str) {
        let again = if again { " retrans=\"500\"" } else { "" };
        let kind = match body {
            "" => "",
            body if body.starts_with("v=") => "Content-Type: application/sdp\n",
            body if body.starts_with("Signal") => "Content-Type: application/dtmf-relay\n",
            _ => "",
        };
        let has_hops = text.starts_with("SIP/2.0") || fields.contains("Max-Forwards:");
        let hops = if has_hops { "" } else { "Max-Forwards: 70\n" };
        let length = if body.is_empty() { "0" } else { "[len]" };
        let message =
            format!("{text}Call-ID: [call_id]\n{hops}{fields}{kind}Content-Length: {length}\n\n{body}");
        write!(self.steps, "  <send{again}>\n    <![CDATA[\n\n{message}\n    ]]>\n  </send>\n").unwrap();
    }

    fn receive(&mut self, attributes: &str, takes: &[(&str, &str)], checks: &[(&str, &str)]) {
        let mut actions = String::new();
        let mut expect = |name: &str, of: &str, expression: &str| {
            let place = match of {
                "body" => "search_in=\"body\"".to_owned(),
                field => format!("search_in=\"hdr\" header=\"{field}\""),
            };
            writeln!(
                actions,
                "      <ereg regexp=\"{expression}\" {place} check_it=\"true\" assign_to=\"{name}\"/>"
            )
            .unwrap();
            self.variables.insert(name.to_owned());
        };
        takes.iter().for_each(|(name, of)| expect(name, of, ".*"));
        checks.iter().for_each(|(of, expression)| expect("seen", of, expression));
        match actions.is_empty() {
            true => writeln!(self.steps, "  <recv {attributes}/>"),
            false => {
                writeln!(self.steps, "  <recv {attributes}>\n    <action>\n{actions}    </action>\n  </recv>")
            }
        }
        .unwrap();
    }
}

/// The telephone's own tag, and its name in Contact.
const OWN: &str = "[pid]s[call_number]";

const CONTACT: &str = "Contact: <sip:[pid]s[call_number]@[local_ip]:[local_port];transport=[transport]>\n";

/// A Via with a branch that no other request of the call has.
fn via(branch: &str) -> String {
    format!("SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK[pid]n[call_number]x{branch}")
}
