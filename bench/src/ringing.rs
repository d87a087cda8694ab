//! How long a telephone waits to ring: from the INVITE that comes in to the INVITE that goes out, measured at both
//! ends by one clock.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::UdpSocket;

use crate::figures::{Latencies, report, say};
use crate::load::now;
use crate::signalling::free_udp_port;
use crate::world::{Pair, World, pause};

/// How many calls begin in a second.
const RATE: u32 = 500;

/// For how long.
const SECONDS: u32 = 20;

/// Measures at 500 calls a second.
pub async fn ringing() -> anyhow::Result<()> {
    say("\nRinging: INVITE in to INVITE out at 500 calls/s");
    let world = World::with(20_000).await?;
    let pairs = world.pairs().await?;
    let called = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
    let sip = free_udp_port()?;
    let _server = world.serve_calls(sip, called.local_addr()?).await?;
    let sent: Arc<Mutex<HashMap<u64, Instant>>> = Arc::default();
    let took: Arc<Mutex<Vec<u32>>> = Arc::default();
    let answering = tokio::spawn(answer(Arc::clone(&called), Arc::clone(&sent), Arc::clone(&took)));
    let caller = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
    let hanging_up = tokio::spawn(hang_up(Arc::clone(&caller), sip));
    let begin = now();
    for (n, pair) in (0..RATE * SECONDS).zip(pairs.iter().cycle()) {
        let due = begin + Duration::from_secs(1) / RATE * n;
        if now() < due {
            pause(due - now()).await;
        }
        let invite = invite(n, pair, caller.local_addr()?, sip);
        sent.lock().expect("nobody panics with it").insert(pair.called, now());
        caller.send_to(invite.as_bytes(), sip).await?;
    }
    pause(Duration::from_secs(2)).await;
    answering.abort();
    hanging_up.abort();
    let mut latencies = Latencies::default();
    latencies.add(std::mem::take(&mut took.lock().expect("nobody panics with it")));
    let rang = latencies.count();
    let (p50, p99) = (latencies.percentile(0.5), latencies.percentile(0.99));
    report(
        "INVITE in to INVITE out at 500/s",
        &format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {rang} of {} rang", RATE * SECONDS),
        "p99 under 10 ms",
        p99 < 10.0 && rang == (RATE * SECONDS) as usize,
    );
    Ok(())
}

/// The telephone: notes when it was asked to ring, and answers.
async fn answer(
    socket: Arc<UdpSocket>,
    sent: Arc<Mutex<HashMap<u64, Instant>>>,
    took: Arc<Mutex<Vec<u32>>>,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 8_192];
    let here = socket.local_addr()?;
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let came = now();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let copied = |name: &str| {
            text.lines()
                .filter(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")))
                .map(|l| format!("{}\r\n", l.trim_end()))
                .collect::<String>()
        };
        let head = |status: &str, tag: &str| {
            let to = copied("to").trim_end().to_owned();
            format!(
                "SIP/2.0 {status}\r\n{}{}{to}{tag}\r\n{}{}",
                copied("via"),
                copied("from"),
                copied("call-id"),
                copied("cseq")
            )
        };
        if let Some(rest) = text.strip_prefix("INVITE sip:") {
            let digits: String =
                rest.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
            let begun = digits
                .parse()
                .ok()
                .and_then(|called: u64| sent.lock().expect("nobody panics with it").remove(&called));
            // A second copy of an INVITE finds nothing and counts once.
            if let Some(begun) = begun {
                let micros = u32::try_from((came - begun).as_micros()).unwrap_or(u32::MAX);
                took.lock().expect("nobody panics with it").push(micros);
            }
            let body = description(here);
            let contact = format!("Contact: <sip:called@{here}>\r\n");
            let answer = format!(
                "{}{contact}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                head("200 OK", ";tag=called"),
                body.len()
            );
            socket.send_to(answer.as_bytes(), from).await?;
        } else if text.starts_with("BYE ") || text.starts_with("OPTIONS ") {
            let answer = format!("{}Content-Length: 0\r\n\r\n", head("200 OK", ""));
            socket.send_to(answer.as_bytes(), from).await?;
        }
    }
}

/// The carrier: acknowledges each answer and hangs up at once.
async fn hang_up(socket: Arc<UdpSocket>, sip: SocketAddr) -> anyhow::Result<()> {
    let mut buffer = vec![0; 8_192];
    let here = socket.local_addr()?;
    loop {
        let (length, _) = socket.recv_from(&mut buffer).await?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let line = |name: &str| {
            text.lines()
                .find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")))
                .map(|l| l.trim_end().to_owned())
                .with_context(|| format!("an answer without {name}"))
        };
        if !text.starts_with("SIP/2.0 200") || !line("cseq")?.ends_with("INVITE") {
            continue;
        }
        let contact = line("contact")?;
        let target = contact.split(['<', '>']).nth(1).context("a contact without an address")?.to_owned();
        for (number, method) in [(1, "ACK"), (2, "BYE")] {
            let request = format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method}{}\r\nMax-Forwards: 70\r\n{}\r\n{}\r\n{}\r\n\
                 CSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
                line("call-id")?.replace(|c: char| !c.is_ascii_alphanumeric(), ""),
                line("from")?,
                line("to")?,
                line("call-id")?,
            );
            socket.send_to(request.as_bytes(), sip).await?;
        }
    }
}

fn invite(n: u32, pair: &Pair, here: SocketAddr, sip: SocketAddr) -> String {
    let body = description(here);
    format!(
        "INVITE sip:+{}@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKring{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:+{}@{here}>;tag=ring{n}\r\nTo: <sip:+{}@{sip}>\r\nCall-ID: ring{n}@bench\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:carrier@{here}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        pair.dialled,
        pair.caller,
        pair.dialled,
        body.len()
    )
}

fn description(here: SocketAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
        here.ip()
    )
}
