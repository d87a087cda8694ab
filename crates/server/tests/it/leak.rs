//! Nothing of one party reaches the other, and nothing of what they write is kept: calls of every kind between two
//! telephones that write canary numbers into every field and line that has ever carried one. All that either hears,
//! and all that the program leaves behind, is searched for them in every form: the log with all that can be had of it,
//! the SIP messages too, metrics, files, and what another tenant is sent and can read.
//!
//! `CALLVEIL_LEAK_CALLS` makes so many calls in the place of a hundred.

pub mod canary;
pub mod letters;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use self::canary::{Canary, Net, PARTY, Side};
use self::letters::{Dialog, REFUSED, SSRC, description, reports, sound};
use crate::http::Client;
use crate::phone::{LOOKS, Message, Phone};
use crate::webhooks::{Receiver, Reply};
use crate::world::{SOON, Server, Tenant, World, party, until, virtual_number};

/// The kinds of calls, in turn.
pub const KINDS: [Kind; 12] = [
    Kind::Talk { hangs_up: Side::A, early: false },
    Kind::Fails(486),
    Kind::Fails(302),
    Kind::Cancelled,
    Kind::Talk { hangs_up: Side::B, early: true },
    Kind::Fails(401),
    Kind::Fails(503),
    Kind::Fails(407),
    Kind::Fails(603),
    Kind::Fails(404),
    Kind::ByeChallenged,
    Kind::Fails(600),
];

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// They talk, write to each other and hold; then one hangs up.
    Talk { hangs_up: Side, early: bool },
    /// The called telephone will not have it.
    Fails(u16),
    /// The caller gives up while it rings.
    Cancelled,
    /// The called telephone asks for a password before it lets itself be hung up on (FreeSWITCH GHSA-3v3f-99mv-qvj4).
    ByeChallenged,
}

/// The number of the first call, so that no mark begins with many zeros.
const FIRST: u32 = 314_159;

/// The program, and a telephone on either side of it.
pub struct Stage {
    world: World,
    server: Server,
    api: Client,
    other: Other,
    there: SocketAddr,
    caller: Phone,
    called: Phone,
    calls: u32,
    findings: Vec<String>,
}

/// Another tenant, who has nothing to do with the calls.
struct Other {
    tenant: Tenant,
    /// Where the events of the tenant whose calls they are go, and its own.
    theirs: Receiver,
    own: Receiver,
}

/// What was heard of a call on the two sides.
pub struct Heard {
    call: u32,
    by_a: Vec<u8>,
    by_b: Vec<u8>,
    /// Where A and B hear sound.
    sound: [u16; 2],
}

impl Stage {
    fn set() -> Stage {
        let world = World::new().with_variable("CALLVEIL_MEDIA_RECORDINGS", "./recordings");
        Stage::set_in(world, &["recording=on"])
    }

    /// The same in this world, with more settings of the tenant.
    pub fn set_in(world: World, more: &[&str]) -> Stage {
        let called = Phone::new();
        let world = world
            .with_variable("CALLVEIL_LOG_LEVEL", "trace,callveil::sip=debug")
            .with_variable("CALLVEIL_WEBHOOKS_ALLOW", "127.0.0.0/8")
            .with_variable("CALLVEIL_WEBHOOKS_ALLOW_HTTP", "true");
        let tenant = world.tenant("acme", 1);
        let settings = ["settings", "set", "--tenant", "acme", "announcements=none", "early_media=true"];
        world.json(&[&settings, more].concat());
        let other = Other::open(&world);
        let target = called.at.to_string();
        world.json(&["trunk", "add", "loop", "--source", "127.0.0.1", "--target", &target]);
        let server = world.serve();
        let there = server.sip();
        let api = tenant.client(&server);
        let caller = Phone::new();
        Stage { world, server, api, other, there, caller, called, calls: 0, findings: Vec::new() }
    }

    /// Makes one call, of the kind whose turn it is and in the direction whose turn it is.
    pub fn call(&mut self) -> Heard {
        let turn = self.calls as usize;
        let number = FIRST + self.calls;
        self.calls += 1;
        let [a, b] = [Side::A, Side::B].map(|side| Canary { side, call: number });
        let order = json!({
            "connection_id": format!("order-{turn}"), "aparty_numbers": [a.number(PARTY)],
            "bparty_numbers": [b.number(PARTY)], "usage": "twoway",
        });
        self.api.post("", &order).data();
        // The direction turns after each round of kinds.
        let (caller, called) = if (turn / KINDS.len()).is_multiple_of(2) { (a, b) } else { (b, a) };
        self.play(KINDS[turn % KINDS.len()], caller, called);

        self.caller.reports();
        self.called.reports();
        let (to_caller, to_called) = (self.caller.forget(), self.called.forget());
        let ports = [self.caller.sound(), self.called.sound()];
        let (by_a, by_b, sound) = match caller.side {
            Side::A => (to_caller, to_called, ports),
            Side::B => (to_called, to_caller, [ports[1], ports[0]]),
        };
        Heard { call: number, by_a, by_b, sound }
    }

    /// Searches what each side heard of a call for what the other wrote in it. Marks of other calls are not looked
    /// for: among very many, some are met in random numbers.
    pub fn search_legs(&mut self, heard: &Heard) {
        let Heard { call, by_a, by_b, sound } = heard;
        for (heard, by, other) in [(by_a, "A", Side::B), (by_b, "B", Side::A)] {
            let mut net = Net::default();
            net.add_digits(&Canary { side: other, call: *call }.mark());
            self.findings
                .extend(net.finds(heard).into_iter().map(|found| format!("on the leg of {by}: {found}")));
            // A search that finds nothing must be one that would have found something.
            let text = String::from_utf8_lossy(heard);
            assert!(text.contains(&virtual_number(1)), "{by} heard the virtual number");
            let port = sound[usize::from(other == Side::B)];
            if text.contains(&format!("m=audio {port} ")) {
                self.findings.push(format!("on the leg of {by}: where the other hears sound"));
            }
            if text.to_ascii_lowercase().contains("authorization:") {
                self.findings.push(format!("a challenge was answered on the leg of {by}"));
            }
        }
    }

    fn play(&mut self, kind: Kind, caller: Canary, called: Canary) {
        let virtual_number = virtual_number(1);
        let mut calling = Dialog::call(caller, self.caller.at, self.there, &virtual_number);
        let party = caller.number(PARTY);
        let asserted = format!("P-Asserted-Identity: \"#49\" <sip:{party}@carrier.example>\r\n");
        let offer = description(caller, self.caller.sound(), "sendrecv");
        self.caller.say(self.there, &calling.request("INVITE", &asserted, "application/sdp", &offer));

        let dialled = called.number(PARTY);
        let invite =
            self.called.hears("the INVITE", |m| m.method() == Some("INVITE") && m.start.contains(&dialled));
        let mut answering = Dialog::called(called, self.called.at, self.there, &invite);
        match kind {
            Kind::Fails(status) => {
                self.called.say(self.there, &answering.answer(&invite, status, ""));
                self.called.hears("the ACK", |m| m.method() == Some("ACK"));
                self.refused(&mut calling);
                return;
            }
            Kind::Cancelled => {
                self.called.say(self.there, &answering.answer(&invite, 180, ""));
                self.caller.hears("the ringing", |m| m.status() == Some(180));
                let reason = "Reason: SIP;cause=487;text=\"#37\"\r\n";
                self.caller.say(self.there, &calling.request("CANCEL", reason, "", ""));
                self.caller.hears("the end of CANCEL", |m| m.settles("CANCEL"));
                let cancel = self.called.hears("the CANCEL", |m| m.method() == Some("CANCEL"));
                self.called.say(self.there, &answering.answer(&cancel, 200, ""));
                self.called.say(self.there, &answering.answer(&invite, 487, ""));
                self.called.hears("the ACK", |m| m.method() == Some("ACK"));
                self.refused(&mut calling);
                return;
            }
            Kind::Talk { early: true, .. } => {
                let early = description(called, self.called.sound(), "sendrecv");
                self.called.say(self.there, &answering.answer(&invite, 183, &early));
                self.caller.hears("the early sound", |m| matches!(m.status(), Some(180..=183)));
            }
            Kind::Talk { .. } | Kind::ByeChallenged => {
                self.called.say(self.there, &answering.answer(&invite, 180, ""));
                self.caller.hears("the ringing", |m| m.status() == Some(180));
            }
        }
        let answer = description(called, self.called.sound(), "sendrecv");
        self.called.say(self.there, &answering.answer(&invite, 200, &answer));
        self.called.hears("the ACK", |m| m.method() == Some("ACK"));
        let answered = self.caller.hears("the answer", |m| m.settles("INVITE"));
        assert_eq!(answered.status(), Some(200), "{answered:?}");
        calling.answered(&answered);
        self.caller.say(self.there, &calling.acknowledgement());

        let hangs_up = match kind {
            Kind::Talk { hangs_up, .. } => {
                self.talk(&answered, &invite, caller, called);
                write_everything(&mut self.caller, &mut calling);
                write_everything(&mut self.called, &mut answering);
                hangs_up
            }
            Kind::Fails(_) | Kind::Cancelled | Kind::ByeChallenged => Side::A,
        };
        let (first, last, one, two) = match hangs_up {
            Side::A => (&mut self.caller, &mut self.called, &mut calling, &answering),
            Side::B => (&mut self.called, &mut self.caller, &mut answering, &calling),
        };
        let reason = "Reason: Q.850;cause=16;text=\"#37\"\r\n";
        first.say(self.there, &one.request("BYE", reason, "", ""));
        first.hears("the end of BYE", |m| m.settles("BYE"));
        let bye = last.hears("the BYE", |m| m.method() == Some("BYE"));
        let status = if matches!(kind, Kind::ByeChallenged) { 401 } else { 200 };
        last.say(self.there, &two.answer(&bye, status, ""));
    }

    /// The caller hears that it will not be, and takes note.
    fn refused(&mut self, calling: &mut Dialog) {
        let refused = self.caller.hears("the refusal", |m| m.settles("INVITE"));
        assert!(refused.status() >= Some(400), "{refused:?}");
        calling.answered(&refused);
        self.caller.say(self.there, &calling.request("ACK", REFUSED, "", ""));
    }

    /// Both send sound and reports until both have heard the other.
    fn talk(&mut self, answered: &Message, invite: &Message, caller: Canary, called: Canary) {
        let ports = [answered.sound().unwrap(), invite.sound().unwrap()];
        let (mut by_caller, mut by_called) = (None, None);
        for sequence in 0..LOOKS as u16 {
            for (phone, port, canary) in [(&self.caller, ports[0], caller), (&self.called, ports[1], called)]
            {
                phone.rtp.send_to(&sound(canary, sequence), port).unwrap();
                let control = SocketAddr::new(port.ip(), port.port() + 1);
                phone.rtcp.send_to(&reports(canary), control).unwrap();
            }
            by_caller = self.caller.next_sound().or(by_caller);
            by_called = self.called.next_sound().or(by_called);
            if by_caller.is_some() && by_called.is_some() {
                break;
            }
        }
        for packet in [by_caller, by_called] {
            let packet = packet.expect("they hear each other");
            assert_eq!(packet[0], 0x80, "a packet without sources, extension or padding");
            assert_ne!(packet[8..12], SSRC.to_be_bytes(), "each leg has a stream of its own");
        }
    }

    /// Ends the program and searches all that it leaves, too.
    pub fn search(self) -> Vec<String> {
        let Stage { world, server, other, calls, mut findings, .. } = self;
        // The parties' own numbers are kept; all else that they wrote is not. Of very many calls, a hundred stand for
        // all of them.
        let (mut marks, mut kept, mut written) = (Net::default(), Net::default(), Net::default());
        for call in (FIRST..FIRST + calls).step_by(calls.div_ceil(100) as usize) {
            for side in [Side::A, Side::B] {
                let canary = Canary { side, call };
                marks.add_digits(&canary.mark());
                kept.add_number(&canary.number(PARTY));
                (PARTY + 1..100).for_each(|place| written.add_number(&canary.number(place)));
            }
        }
        let (sent, readable) = other.learns(&server);
        let metrics = Client::new(server.metrics, "", "", "").get("/metrics").body;
        let log = server.log_file();
        assert!(server.stop().success());

        let mut look = |net: &Net, bytes: &[u8], place: &str| {
            findings.extend(net.finds(bytes).into_iter().map(|found| format!("{place}: {found}")));
        };
        look(&marks, &metrics, "the metrics");
        look(&marks, &sent, "what another tenant is sent");
        look(&marks, &readable, "what another tenant can read");
        let text = fs::read(&log).unwrap();
        look(&marks, &text, "the log");
        let mut dialled = Net::default();
        dialled.add_number(&virtual_number(1));
        look(&dialled, &text, "the log");
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("INVITE sip:+91") && text.contains("SIP/2.0 200 "), "the messages are logged");
        for file in files(&world.path("")).into_iter().filter(|file| *file != log) {
            let name = file.to_str().unwrap();
            look(&marks, name.as_bytes(), "the name of a file");
            look(&written, &fs::read(&file).unwrap(), name);
        }
        if let Ok(mut recordings) = fs::read_dir(world.path("recordings")) {
            assert!(recordings.any(|file| is_wav(&file.unwrap().path())), "calls were recorded");
        }
        let database = fs::read(world.path("callveil.db")).unwrap();
        assert!(
            !kept.finds(&database).is_empty(),
            "the numbers of allocations are in the database, and found"
        );
        findings
    }
}

impl Other {
    /// Makes the tenant, and has every event of either sent somewhere.
    fn open(world: &World) -> Other {
        let made = world.json(&["tenant", "create", "other"]);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let tenant = Tenant { sid: "other".to_owned(), key: text("api_key"), token: text("api_token") };
        let number = world.write("other.csv", &format!("{},KA,mobile\n", virtual_number(9)));
        world.json(&["number", "import", "--tenant", "other", number.to_str().unwrap()]);
        let [theirs, own] = [(); 2].map(|()| Receiver::start(|_| Reply::Take));
        for (sid, receiver) in [("acme", &theirs), ("other", &own)] {
            world.json(&["settings", "set", "--tenant", sid, "event_stream=true"]);
            world.json(&["endpoint", "add", "--tenant", sid, &receiver.url()]);
        }
        Other { tenant, theirs, own }
    }

    /// All that it is sent, and can read, when something of its own has happened after the calls.
    fn learns(&self, server: &Server) -> (Vec<u8>, Vec<u8>) {
        let mut own = self.tenant.client(server);
        own.post(
            "",
            &json!({"connection_id": "own", "aparty_numbers": [party(1)], "bparty_numbers": [party(2)], "usage": "twoway"}),
        )
        .data();
        until("events of both", SOON, || !self.theirs.taken().is_empty() && !self.own.taken().is_empty());
        let sent = self.own.taken().into_iter().flat_map(|taken| taken.body.into_bytes()).collect();
        let mut api = Client::new(server.http, "/v1/tenants/other", &self.tenant.key, &self.tenant.token);
        let pages =
            ["/greenvn?connection_id=own", "/calls", "/events", "/deliveries", "/endpoints", "/settings"];
        let readable = pages.map(|page| {
            let answer = api.get(page);
            assert_eq!(answer.status, 200, "{page}: {answer:?}");
            answer.body
        });
        (sent, readable.concat())
    }
}

/// Requests within a call of every method that a telephone may try, each with all that can be written into it.
fn write_everything(phone: &mut Phone, dialog: &mut Dialog) {
    let held = description(dialog.canary, phone.sound(), "sendonly");
    let refer = "Refer-To: <sip:#72@carrier.example?Replaces=~72>\r\n";
    let notify = "Event: refer\r\nSubscription-State: active;expires=60\r\n";
    let text = dialog.canary.fill("call #71 or ~71\r\n");
    for (method, extra, kind, body) in [
        ("INFO", "Info-Package: x\r\n", "text/plain", &text),
        ("MESSAGE", "", "text/plain", &text),
        ("UPDATE", "", "application/sdp", &held),
        ("INVITE", "", "application/sdp", &held),
        ("OPTIONS", "Accept: application/sdp\r\n", "", &String::new()),
        ("REFER", refer, "", &String::new()),
        ("NOTIFY", notify, "message/sipfrag", &text),
    ] {
        phone.say(dialog.there, &dialog.request(method, extra, kind, body));
        let settled = phone.hears(method, |m| m.settles(method));
        if method == "INVITE" {
            let extra = if settled.status() < Some(300) { "" } else { REFUSED };
            let there = dialog.there;
            phone.say(there, &dialog.request("ACK", extra, "", ""));
        }
    }
}

fn is_wav(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wav")
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn no_number_crosses_from_one_leg_to_the_other_or_stays_behind() {
    let calls = std::env::var("CALLVEIL_LEAK_CALLS").map_or(96, |text| text.parse().unwrap());
    let mut stage = Stage::set();
    for _ in 0..calls {
        let heard = stage.call();
        stage.search_legs(&heard);
    }

    let findings = stage.search();

    assert!(
        findings.is_empty(),
        "{} findings, such as {:#?}",
        findings.len(),
        &findings[..findings.len().min(20)]
    );
}

/// The other test must fail when one field is relayed: here the caller's Subject, in what the called telephone hears.
#[test]
fn one_field_that_is_relayed_is_found() {
    let mut stage = Stage::set();
    let mut heard = stage.call();
    let subject = Canary { side: Side::A, call: FIRST }.fill("\r\nSubject: #15\r\n");
    heard.by_b.extend(subject.as_bytes());
    stage.search_legs(&heard);

    let findings = stage.search();

    assert_eq!(
        findings,
        [format!("on the leg of B: {} plain", Canary { side: Side::A, call: FIRST }.mark())]
    );
}
