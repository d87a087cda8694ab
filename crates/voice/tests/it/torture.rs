//! The torture tests of RFC 4475 and RFC 5118: what becomes of each message that comes from a trunk.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use callveil_domain::node::Randomness;
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_voice::leg::{Order, Refusal};
use callveil_voice::media::sdp::Sdp;
use callveil_voice::sip::gate::{self, Fault};
use callveil_voice::sip::{self, Settings};
use proptest::prelude::*;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::sipp::LONGEST;

/// A message of the table.
pub struct Torture {
    pub name: &'static str,
    pub section: &'static str,
    /// The statuses that it may be answered with; 0 stands for silence.
    pub verdict: Vec<u16>,
    pub bytes: Vec<u8>,
}

/// All messages, in the order of the table.
pub fn table() -> Vec<Torture> {
    let text = include_str!("../fixtures/torture.txt");
    let (_, messages) = text.strip_suffix('\n').unwrap().split_once("\n=== ").unwrap();
    messages.split("\n=== ").map(message).collect()
}

fn message(text: &'static str) -> Torture {
    let (title, lines) = text.split_once('\n').unwrap();
    let [name, section, verdict] = title.split(", ").collect::<Vec<_>>()[..] else { panic!("{title}") };
    let status = |word: &str| if word == "silence" { 0 } else { word.parse().unwrap() };
    let verdict = verdict.split(' ').map(status).collect();
    let bytes = lines.split('\n').flat_map(|line| [written(line), b"\r\n".to_vec()].concat()).collect();
    Torture { name, section, verdict, bytes }
}

/// What a line of the table stands for.
fn written(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('«') {
        let (word, after) = after.split_once('»').unwrap();
        bytes.extend(before.as_bytes());
        if let Some((times, repeated)) = word.split_once('*') {
            bytes.extend(repeated.repeat(times.parse().unwrap()).into_bytes());
        } else if let Some(address) = word.strip_prefix("sdp ") {
            bytes.extend(description(address).into_bytes());
        } else {
            bytes.push(u8::from_str_radix(word, 16).unwrap());
        }
        rest = after;
    }
    bytes.extend(rest.as_bytes());
    bytes
}

/// The description, without its last line end.
fn description(address: &str) -> String {
    format!(
        "v=0\r\no=mhandley 29739 7272939 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio 49217 RTP/AVP 0 12\r\nm=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC"
    )
}

/// The socket of a trunk: at port 5060, where messages without `rport` are answered, of a loopback address that no
/// other test has.
pub async fn trunk_socket() -> UdpSocket {
    loop {
        let [b, c, d] = rand::make_rng::<rand::rngs::StdRng>().random::<[u8; 3]>();
        let address = Ipv4Addr::new(127, b.max(1), c, d.clamp(1, 254));
        if let Ok(socket) = UdpSocket::bind((address, 5060)).await {
            return socket;
        }
    }
}

/// The Call-ID of a message that we have written ourselves, and the status that it begins with.
fn answer(bytes: &[u8]) -> (String, u16) {
    let text = String::from_utf8_lossy(bytes);
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (call_id(bytes).unwrap_or_default(), status)
}

fn call_id(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        (name.eq_ignore_ascii_case("call-id") || name.eq_ignore_ascii_case("i"))
            .then(|| value.trim().to_owned())
    })
}

#[test]
fn the_table_is_whole() {
    let table = table();

    let of = |rfc: &str| table.iter().filter(|torture| torture.section.starts_with(rfc)).count();
    assert_eq!((of("RFC 4475 3.1.1."), of("RFC 4475 3.1.2.")), (13, 19));
    assert_eq!((of("RFC 4475"), of("RFC 5118")), (49, 11));
    for Torture { name, section, bytes, .. } in &table {
        let valid = section.starts_with("RFC 4475 3.1.1.") || section.starts_with("RFC 5118");
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            matches!(key.trim(), "content-length" | "l").then(|| value.trim().parse::<usize>().ok())?
        });
        // The second message of dblreq follows the first in the same datagram.
        if valid && *name != "dblreq" {
            assert_eq!(length, Some(bytes.len() - end), "{name}");
        }
    }
}

#[tokio::test]
async fn every_torture_from_a_trunk_is_answered_as_the_table_says_or_met_with_silence() {
    let socket = trunk_socket().await;
    let source = socket.local_addr().unwrap();
    let mut trunk = Trunk::new(TrunkName::parse("torture").unwrap());
    trunk.set("sources", &source.ip().to_string()).unwrap();
    let settings = Settings {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        calls: 1_000,
        retry_after: 5,
        ..Settings::default()
    };
    let randomness: Randomness = Arc::new(|| Box::new(rand::make_rng::<rand::rngs::StdRng>()));
    let (sip, mut invitations) = sip::start(settings, vec![trunk], randomness).await.unwrap();
    let there = sip.addresses()[0];
    // Nobody has the numbers that these messages dial.
    tokio::spawn(async move {
        while let Some(invitation) = invitations.recv().await {
            let refusal = Refusal { status: 404, retry_after: None };
            let _ = invitation.leg.orders.send(Order::Refuse(refusal)).await;
            // The leg goes on until its end although nobody looks.
            tokio::spawn(async move {
                let mut leg = invitation.leg;
                while leg.events.recv().await.is_some() {}
            });
        }
    });
    let probe = format!(
        "OPTIONS sip:probe@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bKprobe\r\n\
         From: <sip:probe@{source}>;tag=1\r\nTo: <sip:probe@{there}>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    let table = table();
    for Torture { bytes, .. } in &table {
        socket.send_to(bytes, there).await.unwrap();
    }
    socket.send_to(probe.as_bytes(), there).await.unwrap();

    let due = |torture: &&Torture| !torture.verdict.contains(&0);
    let mut awaited: Vec<String> = table.iter().filter(due).filter_map(|t| call_id(&t.bytes)).collect();
    awaited.push("probe".to_owned());
    let mut answers: BTreeMap<String, u16> = BTreeMap::new();
    let mut buffer = vec![0; 65_536];
    let heard = timeout(LONGEST, async {
        while !awaited.iter().all(|id| answers.contains_key(id)) {
            let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
            let (id, status) = answer(&buffer[..length]);
            if status >= 200 {
                answers.insert(id, status);
            }
        }
    })
    .await;

    let mut wrong = Vec::new();
    for Torture { name, section, verdict, bytes } in &table {
        let status = call_id(bytes).and_then(|id| answers.get(&id).copied()).unwrap_or_default();
        if !verdict.contains(&status) {
            wrong.push(format!("{name} ({section}) was answered {status}, not {verdict:?}"));
        }
    }
    assert!(heard.is_ok() && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_gate_lets_in_no_torture_that_the_rfcs_call_invalid() {
    // What is wrong with these is for those to say who read dates, descriptions and contacts: nobody here.
    let harmless = ["baddate", "regbadct"];
    for Torture { name, section, verdict, bytes } in table() {
        let invalid = section.starts_with("RFC 4475 3.1.2.");
        let judged = gate::judge(&bytes);
        if invalid && !harmless.contains(&name) {
            assert!(judged.is_err(), "{name} ({section})");
        }
        if let Err(Fault::Refused(status)) = judged {
            assert!(verdict.contains(&status), "{name} ({section}): {status}");
        }
    }
}

proptest! {
    #[test]
    fn damaged_tortures_meet_with_a_verdict(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16),
    ) {
        let table = table();
        let mut bytes = which.get(&table).bytes.clone();
        for (at, byte) in cuts {
            let at = at.index(bytes.len());
            match byte % 3 {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let _ = (gate::judge(&bytes), gate::answer(&bytes, 400), Sdp::parse(&bytes));
    }
}
