//! Those who have no business here: scanners, sprayers of sound and floods of junk. They find nothing, hear nothing and
//! are no trouble to calls.
//!
//! `CALLVEIL_FLOOD_SECONDS=60 cargo test --release -p callveil-server --test it sipp_calls_beside_a_flood -- --nocapture` is the
//! longer form of the flood, at its full rate, and tells its figures.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::calls::matrix::{Sipp, scenario};
use crate::calls::{add_trunk, allocate};
use crate::leak::canary::{Canary, PARTY, Side};
use crate::leak::letters::{Dialog, description};
use crate::phone::{LOOKS, Phone};
use crate::world::{Server, World, finish_within, virtual_number};

/// The program with one allocation, the telephones of its parties, and a carrier at 127.0.0.1.
struct Street {
    server: Server,
    there: SocketAddr,
    caller: Phone,
    called: Phone,
    calls: u32,
    _world: World,
}

/// Two telephones that talk.
struct Talk {
    calling: Dialog,
    answering: Dialog,
    /// Where the caller and the called send their sound.
    ports: [SocketAddr; 2],
}

const A: Canary = Canary { side: Side::A, call: 271_828 };
const B: Canary = Canary { side: Side::B, call: 271_828 };

impl Street {
    fn open() -> Street {
        let called = Phone::new();
        let world = World::new();
        let tenant = world.tenant("acme", 1);
        let target = called.at.to_string();
        world.json(&["trunk", "add", "loop", "--source", "127.0.0.1", "--target", &target]);
        let server = world.serve();
        let order = json!({
            "connection_id": "order-1", "aparty_numbers": [A.number(PARTY)], "bparty_numbers": [B.number(PARTY)],
            "usage": "twoway",
        });
        tenant.client(&server).post("", &order).data();
        let there = server.sip();
        Street { server, there, caller: Phone::new(), called, calls: 0, _world: world }
    }

    /// A call from its INVITE to its answer. What is lost on the way is said again.
    fn talk(&mut self) -> Talk {
        // Each call has tags and branches of its own.
        self.calls += 1;
        let a = Canary { call: A.call + self.calls, ..A };
        let b = Canary { call: B.call + self.calls, ..B };
        let mut calling = Dialog::call(a, self.caller.at, self.there, &virtual_number(1));
        let asserted = format!("P-Asserted-Identity: <sip:{}@carrier.example>\r\n", A.number(PARTY));
        let offer = description(a, self.caller.sound(), "sendrecv");
        let call = calling.request("INVITE", &asserted, "application/sdp", &offer);
        let rung = (0..60).find_map(|_| {
            self.caller.say(self.there, &call);
            self.called.hears_soon(|m| m.method() == Some("INVITE"))
        });
        let invite = rung.expect("the called telephone rings");
        let answering = Dialog::called(b, self.called.at, self.there, &invite);
        let answer = answering.answer(&invite, 200, &description(b, self.called.sound(), "sendrecv"));
        self.called.say(self.there, &answer);
        let answered = self.caller.insists(self.there, &call, |m| m.settles("INVITE"));
        assert_eq!(answered.status(), Some(200), "{answered:?}");
        calling.answered(&answered);
        self.caller.say(self.there, &calling.acknowledgement());
        let ports = [answered.sound().unwrap(), invite.sound().unwrap()];
        Talk { calling, answering, ports }
    }

    fn hang_up(&mut self, mut talk: Talk) {
        let bye = talk.calling.request("BYE", "", "", "");
        self.caller.insists(self.there, &bye, |m| m.settles("BYE"));
        let bye = self.called.hears("the BYE", |m| m.method() == Some("BYE"));
        self.called.say(self.there, &talk.answering.answer(&bye, 200, ""));
        self.caller.forget();
        self.called.forget();
    }

    /// What the program had to say to everything before is said by now: it answers its carrier.
    fn carrier_is_answered(&mut self) {
        self.calls += 1;
        let canary = Canary { call: A.call + self.calls, ..A };
        let options = Dialog::call(canary, self.caller.at, self.there, "ping").request("OPTIONS", "", "", "");
        let answer = self.caller.insists(self.there, &options, |m| m.settles("OPTIONS"));
        assert_eq!(answer.status(), Some(200), "{answer:?}");
    }
}

/// Somebody who is no trunk.
fn stranger() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn hears_nothing(socket: &UdpSocket) {
    let mut buffer = [0; 65_536];
    if let Ok(length) = socket.recv(&mut buffer) {
        panic!("a stranger heard {:?}", String::from_utf8_lossy(&buffer[..length]));
    }
}

/// What svmap and svwar send, for every method and a row of extensions.
fn probe(method: &str, extension: u32, stranger: SocketAddr, there: SocketAddr) -> String {
    format!(
        "{method} sip:{extension}@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {stranger};branch=z9hG4bK-{extension}{method};rport\r\n\
         Content-Length: 0\r\nFrom: \"sipvicious\"<sip:100@1.1.1.1>;tag={extension}\r\nAccept: application/sdp\r\n\
         User-Agent: friendly-scanner\r\nTo: \"sipvicious\"<sip:100@1.1.1.1>\r\nContact: sip:100@{stranger}\r\n\
         CSeq: 1 {method}\r\nCall-ID: {extension}{method}\r\nMax-Forwards: 70\r\n\r\n"
    )
}

#[test]
fn a_scanner_finds_nobody() {
    let mut street = Street::open();
    let scanner = stranger();
    let at = scanner.local_addr().unwrap();
    for extension in 100..150 {
        for method in ["OPTIONS", "REGISTER", "INVITE", "CANCEL", "BYE", "SUBSCRIBE", "MESSAGE", "NONSENSE"] {
            scanner.send_to(probe(method, extension, at, street.there).as_bytes(), street.there).unwrap();
        }
    }
    for junk in
        [&b"\r\n\r\n"[..], b"\r\n", b"", b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl", b"GET / HTTP/1.1\r\n\r\n"]
    {
        scanner.send_to(junk, street.there).unwrap();
    }

    street.carrier_is_answered();

    hears_nothing(&scanner);
    // The carrier itself is asked now and then whether it is there.
    assert!(street.called.next().is_none_or(|m| m.method() != Some("INVITE")), "nobody was rung");
}

#[test]
fn a_stranger_who_knows_a_call_cannot_end_it() {
    let mut street = Street::open();
    let mut talk = street.talk();
    let scanner = stranger();
    let bye = talk.calling.request("BYE", "", "", "");
    scanner.send_to(bye.as_bytes(), street.there).unwrap();

    street.carrier_is_answered();

    hears_nothing(&scanner);
    assert!(street.called.next().is_none_or(|m| m.method() != Some("BYE")), "the call goes on");
    street.hang_up(talk);
}

/// What a sprayer sends: sound like the caller's, but for what it says.
fn sprayed(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend([SPRAYED; 160]);
    packet
}

const SPRAYED: u8 = 0x11;

/// CVE-2025-53399 and its kin: whoever sprays sound at the ports of a call is neither heard nor sent anything.
#[test]
fn a_sprayer_of_sound_is_not_heard_and_hears_nothing() {
    let mut street = Street::open();
    let talk = street.talk();
    // One from another address, and one from the caller's own with another port.
    let neighbour = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    neighbour.set_nonblocking(true).unwrap();
    let far = stranger();
    let spray = |socket: &UdpSocket| {
        for sequence in 0..500 {
            for port in talk.ports {
                socket.send_to(&sprayed(sequence), port).unwrap();
                let control = SocketAddr::new(port.ip(), port.port() + 1);
                socket.send_to(b"\x80\xc9\0\x01\x01\x02\x03\x04", control).unwrap();
            }
        }
    };
    let mut heard = Vec::new();
    // Before anybody has sent sound, while they talk, and afterwards.
    for round in 0..3 {
        spray(&far);
        if round > 0 {
            spray(&neighbour);
        }
        heard.extend(converse(&mut street, talk.ports));
    }

    assert!(!heard.iter().any(|packet: &Vec<u8>| packet.ends_with(&[SPRAYED; 160])), "the sprayer was heard");
    hears_nothing(&far);
    hears_nothing(&neighbour);
    street.hang_up(talk);
}

/// Both telephones send sound until each has heard the other; gives all that they heard.
fn converse(street: &mut Street, ports: [SocketAddr; 2]) -> Vec<Vec<u8>> {
    let mut heard = [Vec::new(), Vec::new()];
    // What is still on its way from before was not sent now.
    let said = rand::random::<[u8; 16]>();
    for sequence in 0..LOOKS as u16 {
        let mut packet = sprayed(sequence);
        packet[8..12].copy_from_slice(&[9, 9, 9, 9]);
        packet[12..].fill(0xff);
        packet[12..28].copy_from_slice(&said);
        street.caller.rtp.send_to(&packet, ports[0]).unwrap();
        street.called.rtp.send_to(&packet, ports[1]).unwrap();
        heard[0].extend(street.caller.next_sound());
        heard[1].extend(street.called.next_sound());
        let all = |packets: &Vec<Vec<u8>>| packets.iter().any(|packet| packet.get(12..28) == Some(&said[..]));
        if heard.iter().all(all) {
            return heard.into_iter().flatten().collect();
        }
    }
    panic!("they did not hear each other")
}

#[test]
fn calls_succeed_beside_a_flood_of_junk() {
    const CALLS: usize = 30;
    const JUNK: usize = 20_000;
    /// A flood that goes on for longer is somebody's who forgot it.
    const MOST: usize = 400_000;
    let mut street = Street::open();
    let there = street.there;
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut most, mut calls) = (0, 0);

    thread::scope(|scope| {
        scope.spawn(|| flood(there, &over, &sent, MOST));
        // However this ends, the flood does, too.
        let _ends = Ends(&over);
        while calls < CALLS || sent.load(Ordering::Relaxed) < JUNK {
            let talk = street.talk();
            street.hang_up(talk);
            calls += 1;
            most = most.max(street.server.memory());
        }
    });

    assert!(most < 512 << 20, "{most} bytes of memory");
}

/// What is sent in a second, how many calls are made in one, and for how long.
struct Storm {
    packets: u32,
    calls: u32,
    seconds: u32,
}

#[test]
fn sipp_calls_beside_a_flood() {
    let storm = match std::env::var("CALLVEIL_FLOOD_SECONDS") {
        Ok(seconds) => Storm { packets: 20_000, calls: 50, seconds: seconds.parse().unwrap() },
        Err(_) => Storm { packets: 2_000, calls: 10, seconds: 2 },
    };
    let world = World::new();
    let tenant = world.tenant("acme", 1);
    world.json(&["settings", "set", "--tenant", "acme", "intl_num_sup=true"]);
    let called = Sipp::ports();
    add_trunk(&world, SocketAddr::from((Ipv4Addr::LOCALHOST, called.sip)), &[]);
    let server = world.serve();
    let parties = json!({"aparty_numbers": ["+12025550101"], "bparty_numbers": ["+12025550102"]});
    allocate(&server, &tenant, &parties);
    let _called = called.answers_all(&world);
    let (wanted, there) = (storm.calls * storm.seconds, server.sip());
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));

    let (most, ran, took) = thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let mut most = 0;
            paced(&over, Duration::from_millis(100), || most = most.max(server.memory()));
            most
        });
        scope.spawn(|| {
            // In bursts, as much in each as comes to the rate.
            let burst = storm.packets / 200;
            let mut junk = Junk::new(there);
            paced(&over, Duration::from_millis(5), || {
                (0..burst).for_each(|_| junk.send());
                sent.fetch_add(burst as usize, Ordering::Relaxed);
            });
        });
        let _ends = Ends(&over);
        let mut calling = Command::new("sipp");
        calling.current_dir(world.path("")).arg("-sf").arg(scenario("caller.xml"));
        calling.args(["-i", "127.0.0.1", "-p", &Sipp::ports().sip.to_string(), "-nostdin"]);
        calling.args(["-r", &storm.calls.to_string(), "-m", &wanted.to_string()]).arg(there.to_string());
        let began = now();
        let bound = Duration::from_secs(60 + 2 * u64::from(storm.seconds));
        let ran = finish_within(calling.stdin(Stdio::null()), bound);
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        (memory.join().unwrap(), ran, took)
    });

    let good = successes(&ran.stdout);
    let rate = sent.load(Ordering::Relaxed) as f64 / took.as_secs_f64();
    eprintln!(
        "{good} of {wanted} calls succeeded in {took:.1?}, beside {rate:.0} packets of junk a second, with {} MiB at most",
        most >> 20
    );
    assert!(u64::from(wanted - good) * 1_000 <= u64::from(wanted), "{good} of {wanted}: {}", server.log());
    assert!(most < 512 << 20, "{most} bytes of memory");
}

/// The calls that SIPp tells of as successful, at its end.
fn successes(told: &str) -> u32 {
    let line = told.lines().rfind(|line| line.contains("Successful call"));
    let mut columns = line.unwrap_or_else(|| panic!("no count: {told}")).split('|');
    columns.next_back().unwrap().trim().parse().unwrap()
}

/// Does something again and again at this pace, until it is over.
#[expect(clippy::disallowed_methods, reason = "a flood is so many packets a second")]
fn paced(over: &AtomicBool, pace: Duration, mut what: impl FnMut()) {
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        what();
        next += pace;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[expect(clippy::disallowed_methods, reason = "the test measures how long it took")]
fn now() -> Instant {
    Instant::now()
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Junk of every kind from a stranger, and now and then from the carrier itself, in bursts.
fn flood(there: SocketAddr, over: &AtomicBool, sent: &AtomicUsize, most: usize) {
    let mut junk = Junk::new(there);
    while !over.load(Ordering::Relaxed) && sent.load(Ordering::Relaxed) < most {
        for _ in 0..100 {
            junk.send();
            sent.fetch_add(1, Ordering::Relaxed);
        }
        thread::yield_now();
    }
}

struct Junk {
    there: SocketAddr,
    far: UdpSocket,
    near: UdpSocket,
    rng: StdRng,
}

impl Junk {
    fn new(there: SocketAddr) -> Junk {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Junk { there, far: stranger(), near, rng: StdRng::seed_from_u64(1) }
    }

    fn send(&mut self) {
        let Junk { there, far, near, rng } = self;
        let at = near.local_addr().unwrap();
        let mut junk: Vec<u8> = match rng.random_range(0..3) {
            0 => (0..rng.random_range(0..400)).map(|_| rng.random()).collect(),
            1 => probe("REGISTER", rng.random(), at, *there).into_bytes(),
            _ => probe("INVITE", rng.random(), at, *there)
                .replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia")
                .into_bytes(),
        };
        let cut = rng.random_range(0..=junk.len());
        if rng.random() {
            junk.truncate(cut);
        }
        let socket = if rng.random_range(0..10) == 0 { near } else { far };
        // A socket whose buffer is full has flooded enough.
        let _ = socket.send_to(&junk, *there);
    }
}

/// A connection from an address of loopback's.
fn connect(from: [u8; 4], there: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        socket.connect(there).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// The other side shuts it, and says nothing before.
#[track_caller]
fn is_shut(mut stream: TcpStream, what: &str) {
    let mut heard = [0; 1_024];
    match stream.read(&mut heard) {
        Ok(0) => {}
        // What we had sent was not read any more.
        Err(reset) if reset.kind() == std::io::ErrorKind::ConnectionReset => {}
        Ok(length) => panic!("{what} heard {:?}", String::from_utf8_lossy(&heard[..length])),
        Err(error) => panic!("{what} stays open: {error}"),
    }
}

#[test]
fn connections_that_say_nothing_whole_are_shut_and_others_are_not() {
    let street = Street::open();
    let there = street.there;
    let mut good = connect([127, 0, 0, 1], there);
    let at = good.local_addr().unwrap();
    let mut ask = |number: u32| {
        let options = probe("OPTIONS", number, at, there).replace("SIP/2.0/UDP", "SIP/2.0/TCP");
        good.write_all(options.as_bytes()).unwrap();
        let mut answer = [0; 4_096];
        let length = good.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    };
    ask(1);

    let invite = probe("INVITE", 2, at, there);
    let half = &invite.as_bytes()[..invite.len() / 2];
    let endless = [b"INVITE sip:x@y SIP/2.0\r\nX: ".to_vec(), vec![b'x'; 100_000]].concat();
    let far = b"INVITE sip:x@y SIP/2.0\r\nContent-Length: 4000000000\r\n\r\n";
    let spoken: [(&str, [u8; 4], &[u8]); 6] = [
        ("a stranger", [127, 0, 0, 2], b""),
        ("who says nothing", [127, 0, 0, 1], b""),
        ("who says half a message", [127, 0, 0, 1], half),
        ("who never ends a field", [127, 0, 0, 1], &endless),
        ("who has much to say yet", [127, 0, 0, 1], far),
        ("who speaks HTTP", [127, 0, 0, 1], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    let open = spoken.map(|(who, from, words)| {
        let mut stream = connect(from, there);
        // A stranger's may be shut by then.
        let _ = stream.write_all(words);
        (who, stream)
    });
    for (who, stream) in open {
        is_shut(stream, who);
    }

    ask(3);
}
