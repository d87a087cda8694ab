//! What the telephones of the leak test write: every field and line that has ever carried a number.

use std::net::SocketAddr;

use super::canary::Canary;
use crate::phone::Message;

/// Fields that a request or a response may have beside those that it must.
const FIELDS: &str = "\
    P-Preferred-Identity: \"#10\" <sip:#10@carrier.example>\r\n\
    Remote-Party-ID: \"#11\" <sip:#11@carrier.example>;party=calling;privacy=off\r\n\
    Diversion: <sip:#12@carrier.example>;reason=unconditional\r\n\
    History-Info: <sip:#13@carrier.example?Reason=SIP%3Bcause%3D302>;index=1\r\n\
    Call-Info: <http://carrier.example/#14>;purpose=info\r\n\
    Subject: #15\r\n\
    User-to-User: ~16;encoding=hex\r\n\
    X-Caller: #17\r\n\
    X-Original-Number: ~17\r\n\
    Session-ID: ~180000000000000000000000\r\n\
    Referred-By: <sip:#19@carrier.example>\r\n\
    Reply-To: \"#20\" <sip:#20@carrier.example>\r\n\
    Alert-Info: <http://carrier.example/#21>\r\n\
    Geolocation: <http://carrier.example/#22>\r\n\
    P-Charging-Vector: icid-value=\"~23\";orig-ioi=~23.example\r\n\
    P-Access-Network-Info: 3GPP-UTRAN-TDD;utran-cell-id-3gpp=~24\r\n\
    Identity: ^25;info=<https://carrier.example/~25>;alg=ES256\r\n\
    Organization: #26\r\n\
    User-Agent: telephone of #27\r\n\
    Server: telephone of #28\r\n\
    Warning: 399 carrier.example \"#29\"\r\n\
    P-Called-Party-ID: <sip:#30@carrier.example>\r\n\
    P-Associated-URI: <tel:#31>\r\n\
    In-Reply-To: ~32@carrier.example\r\n\
    Accept-Contact: *;+sip.instance=\"<urn:~33>\"\r\n\
    Error-Info: <sip:#34@carrier.example>\r\n\
    Path: <sip:#35@carrier.example;lr>\r\n\
    Content-ID: <~36@carrier.example>\r\n\
    Privacy: none\r\n";

/// A description, in every line of which a number can hide; sound is at this port.
pub fn description(canary: Canary, port: u16, direction: &str) -> String {
    let lines = canary.fill(
        "v=0\r\no=~50 ~50 1 IN IP4 ~50.example\r\ns=#51\r\ni=#52\r\nu=http://carrier.example/#53\r\n\
         e=~54@carrier.example\r\np=#55\r\nc=IN IP4 127.0.0.1\r\nb=X-~56:64\r\nt=0 0\r\na=tool:~57\r\na=group:BUNDLE ~58\r\n\
         m=audio PORT RTP/AVP 0 101\r\ni=#59\r\na=mid:~58\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=ssrc:1 cname:#60@carrier.example\r\na=msid:~61 ~61\r\na=label:~62\r\n\
         a=candidate:1 1 UDP 1 127.0.0.1 PORT typ host generation ~63\r\na=x-number:#64\r\n\
         a=rtcp-xr:~65\r\na=extmap:1 urn:~66\r\na=DIRECTION\r\n",
    );
    lines.replace("PORT", &port.to_string()).replace("DIRECTION", direction)
}

fn typed(kind: &str, body: &str) -> String {
    match body {
        "" => "Content-Length: 0\r\n\r\n".to_owned(),
        body => format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    }
}

/// The two sides of a dialogue, as one telephone sees them.
pub struct Dialog {
    pub canary: Canary,
    pub here: SocketAddr,
    pub there: SocketAddr,
    call_id: String,
    local: String,
    remote: String,
    target: String,
    count: u32,
    branches: u32,
}

impl Dialog {
    /// A caller's, before its INVITE.
    pub fn call(canary: Canary, here: SocketAddr, there: SocketAddr, dialled: &str) -> Dialog {
        Dialog {
            canary,
            here,
            there,
            call_id: canary.fill("~40@~40.example"),
            local: canary.fill("\"#41\" <sip:#41@carrier.example;user=phone>;tag=~42"),
            remote: canary.fill(&format!("\"^43\" <sip:{dialled}@{there}>")),
            target: format!("sip:{dialled}@{there}"),
            count: 0,
            branches: 0,
        }
    }

    /// A called telephone's, by the INVITE that it got.
    pub fn called(canary: Canary, here: SocketAddr, there: SocketAddr, invite: &Message) -> Dialog {
        Dialog {
            canary,
            here,
            there,
            call_id: invite.field("Call-ID").to_owned(),
            local: canary.fill(&format!("{};tag=~42", invite.field("To"))),
            remote: invite.field("From").to_owned(),
            target: invite.address("Contact").to_owned(),
            count: 1_000,
            branches: 0,
        }
    }

    /// Takes up what an answer tells of the other side.
    pub fn answered(&mut self, answer: &Message) {
        self.remote = answer.field("To").to_owned();
        if answer.status() < Some(300) && answer.find("Contact").is_some() {
            self.target = answer.address("Contact").to_owned();
        }
    }

    /// The ACK of an answer.
    pub fn acknowledgement(&mut self) -> String {
        self.request("ACK", "", "", "")
    }

    /// A request with all that can be said; `extra` are fields of its own.
    pub fn request(&mut self, method: &str, extra: &str, kind: &str, body: &str) -> String {
        if !matches!(method, "ACK" | "CANCEL") {
            self.count += 1;
        }
        // CANCEL, and an ACK of a refusal, go by the branch of their INVITE; any other has one of its own.
        if method != "CANCEL" && extra != REFUSED {
            self.branches += 1;
        }
        let extra = if extra == REFUSED { "" } else { extra };
        let Dialog { canary, here, call_id, local, remote, target, count, branches, .. } = self;
        let mut vias = format!("Via: SIP/2.0/UDP {here};branch=z9hG4bK~44x{branches}\r\n");
        if method != "CANCEL" {
            vias.push_str("Via: SIP/2.0/UDP ~45.example;branch=z9hG4bK~45\r\n");
        }
        let own = canary.fill(&format!(
            "{vias}Contact: \"#46\" <sip:#46@{here};x=~46>;+y=\"~46\"\r\nRecord-Route: <sip:#47@{here};lr>\r\n{extra}{FIELDS}"
        ));
        format!(
            "{method} {target} SIP/2.0\r\nMax-Forwards: 70\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n\
             CSeq: {count} {method}\r\n{own}{}",
            typed(kind, body)
        )
    }

    /// An answer with all that can be said.
    pub fn answer(&self, request: &Message, status: u16, body: &str) -> String {
        let canary = self.canary;
        let mut head = canary.fill(&format!("SIP/2.0 {status} #48\r\n"));
        for name in ["Via", "Record-Route"] {
            request.all(name).for_each(|value| head.push_str(&format!("{name}: {value}\r\n")));
        }
        for name in ["From", "Call-ID", "CSeq"] {
            head.push_str(&format!("{name}: {}\r\n", request.field(name)));
        }
        let to = match request.field("To") {
            to if to.contains("tag=") => to.to_owned(),
            to => canary.fill(&format!("{to};tag=~42")),
        };
        let own = canary.fill(&format!(
            "Contact: \"#46\" <sip:#46@{}>\r\nP-Asserted-Identity: \"#49\" <sip:#49@carrier.example>\r\n\
             Reason: Q.850;cause=17;text=\"#38\"\r\n{FIELDS}",
            self.here
        ));
        let challenge = match status {
            401 => "WWW-Authenticate: Digest realm=\"~39\", nonce=\"~39\", algorithm=MD5\r\n",
            407 => "Proxy-Authenticate: Digest realm=\"~39\", nonce=\"~39\", algorithm=MD5\r\n",
            _ => "",
        };
        format!("{head}To: {to}\r\n{own}{}{}", canary.fill(challenge), typed("application/sdp", body))
    }
}

/// In the place of extra fields: the ACK is one of a refusal.
pub const REFUSED: &str = "(refused)";

/// A packet of sound, with numbers where they fit: a contributing source and a header extension.
pub fn sound(canary: Canary, sequence: u16) -> Vec<u8> {
    let number = canary.number(80);
    let words = number.len().div_ceil(4);
    let mut packet = vec![0x80 | 0x10 | 1, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend(&canary.national(81).as_bytes()[..4]);
    packet.extend(0xbede_u16.to_be_bytes());
    packet.extend(u16::try_from(words).unwrap().to_be_bytes());
    packet.extend(number.as_bytes());
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet.extend([0xff; 160]);
    packet
}

/// The name of the telephones' streams, which is to stay on its leg.
pub const SSRC: u32 = 0x9a8b_7c6d;

/// Reports that say who speaks: names, an address, a telephone number, and a farewell.
pub fn reports(canary: Canary) -> Vec<u8> {
    let mut bytes = vec![0x80, 201, 0, 1];
    bytes.extend(SSRC.to_be_bytes());
    let mut description = SSRC.to_be_bytes().to_vec();
    for (item, place) in [(1, 82), (2, 83), (3, 84), (4, 85), (5, 86), (7, 87)] {
        let text = canary.number(place);
        description.extend([item, u8::try_from(text.len()).unwrap()]);
        description.extend(text.as_bytes());
    }
    description.push(0);
    let application = [&SSRC.to_be_bytes(), &b"TELN"[..], canary.number(88).as_bytes()].concat();
    let text = canary.number(89);
    let farewell = [&SSRC.to_be_bytes(), &[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
    for (kind, mut body) in [(202, description), (204, application), (203, farewell)] {
        body.resize(body.len().next_multiple_of(4), 0);
        let count = if kind == 204 { 0 } else { 1 };
        bytes.extend([0x80 | count, kind]);
        bytes.extend(u16::try_from(body.len() / 4).unwrap().to_be_bytes());
        bytes.extend(body);
    }
    bytes
}
