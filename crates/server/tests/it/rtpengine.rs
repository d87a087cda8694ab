//! The whole server with Debian's rtpengine for its sound.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::calls::matrix::{Sipp, scenario};
use crate::calls::{add_trunk, allocate};
use crate::leak::canary::{Canary, PARTY, Side};
use crate::leak::letters::{Dialog, description, sound};
use crate::leak::{KINDS, Stage};
use crate::phone::{LOOKS, Phone};
use crate::world::{SOON, Server, World, finish_within, until, virtual_number};

/// An rtpengine, and a world whose servers order it. It ends with this value.
struct Engine {
    child: Child,
}

impl Engine {
    /// Starts one. Its ports may be taken by somebody else before it has them: then others are tried.
    fn start(world: World) -> (Engine, World) {
        for _ in 0..10 {
            let [orders, keys] = [free_address(), free_address()];
            let log = File::create(world.path("rtpengine.log")).unwrap();
            let child = Command::new("rtpengine")
                .args(["--config-file=none", "--table=-1", "--interface=127.0.0.1"])
                .args(["--foreground", "--log-stderr"])
                .args(["--num-threads=2", "--timeout=60", "-m", "44000", "-M", "54998"])
                .arg(format!("--listen-ng={orders}"))
                .arg(format!("--dtmf-log-dest={keys}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("rtpengine is installed (scripts/setup-tests)");
            let mut engine = Engine { child };
            if engine.answers(orders) {
                let world = world
                    .with_variable("CALLVEIL_MEDIA_ENGINE", "rtpengine")
                    .with_variable("CALLVEIL_MEDIA_RTPENGINE", &orders.to_string())
                    .with_variable("CALLVEIL_MEDIA_RTPENGINE_KEYS", &keys.to_string());
                return (engine, world);
            }
        }
        panic!("rtpengine does not start: {}", fs::read_to_string(world.path("rtpengine.log")).unwrap())
    }

    /// Waits until it answers an order, or has ended.
    fn answers(&mut self, orders: SocketAddr) -> bool {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut answer = [0; 64];
        for _ in 0..LOOKS {
            socket.send_to(b"1 d7:command4:pinge", orders).unwrap();
            if socket.recv(&mut answer).is_ok() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
        }
        false
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn no_number_crosses_from_one_leg_to_the_other() {
    let (_engine, world) = Engine::start(World::new());
    let mut stage = Stage::set_in(world, &["recording=off"]);
    // Each kind of call in both directions.
    for _ in 0..2 * KINDS.len() {
        let heard = stage.call();
        stage.search_legs(&heard);
    }

    let findings = stage.search();

    assert!(findings.is_empty(), "{} findings, such as {:#?}", findings.len(), findings.first());
}

/// What the log tells of the end of a call: packets from the caller, and from the called.
fn carried(server: &Server) -> Option<[u64; 2]> {
    let log = server.log();
    let ended = log.lines().find(|line| line.contains("from_caller"))?;
    let count = |name: &str| {
        let after = &ended[ended.find(name)? + name.len()..];
        let digits = after.trim_start_matches(['"', ':', '=', ' ']);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().ok()
    };
    Some([count("from_caller")?, count("from_called")?])
}

#[test]
fn sipp_speaks_to_sipp_which_echoes_it() {
    let (_engine, world) = Engine::start(World::new());
    let tenant = world.tenant("acme", 1);
    world.json(&["settings", "set", "--tenant", "acme", "intl_num_sup=true"]);
    let called = Sipp::ports();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, called.sip));
    add_trunk(&world, at, &[]);
    let server = world.serve();
    allocate(
        &server,
        &tenant,
        &json!({"aparty_numbers": ["+12025550101"], "bparty_numbers": ["+12025550102"]}),
    );
    fs::write(world.path("sound.ulaw"), [0x55; 16_000]).unwrap();

    let _callee = called.answers(&world, &["-rtp_echo"]);
    let mut calling = Command::new("sipp");
    calling.current_dir(world.path("")).arg("-sf").arg(scenario("caller_speaks.xml"));
    calling.args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", &Sipp::ports().sip.to_string()]);
    calling.args(["-m", "1", "-nostdin", "-timeout", "60", "-timeout_error"]).arg(server.sip().to_string());
    let ran = finish_within(calling.stdin(Stdio::null()), Duration::from_secs(90));
    assert!(ran.status.success(), "{}\n{}", ran.stdout, server.log());

    let mut counts = None;
    until("the end of the call", SOON, || {
        counts = carried(&server);
        counts.is_some()
    });
    // A second is 50 packets; the first ones may be lost until both ends are known.
    let [from_caller, from_called] = counts.unwrap();
    assert!(from_caller >= 20 && from_called >= 20, "{counts:?}\n{}", server.log());
}

#[test]
fn a_call_whose_called_falls_silent_ends() {
    let world = World::new().with_variable("CALLVEIL_MEDIA_SILENCE", "1s");
    let (_engine, world) = Engine::start(world);
    let tenant = world.tenant("acme", 1);
    let (mut caller, mut called) = (Phone::new(), Phone::new());
    add_trunk(&world, called.at, &[]);
    let server = world.serve();
    let [a, b] = [Side::A, Side::B].map(|side| Canary { side, call: 161_803 });
    allocate(
        &server,
        &tenant,
        &json!({"aparty_numbers": [a.number(PARTY)], "bparty_numbers": [b.number(PARTY)]}),
    );
    let there = server.sip();

    let mut calling = Dialog::call(a, caller.at, there, &virtual_number(1));
    let asserted = format!("P-Asserted-Identity: <sip:{}@carrier.example>\r\n", a.number(PARTY));
    let offer = description(a, caller.sound(), "sendrecv");
    caller.say(there, &calling.request("INVITE", &asserted, "application/sdp", &offer));
    let invite = called.hears("the INVITE", |m| m.method() == Some("INVITE"));
    let answering = Dialog::called(b, called.at, there, &invite);
    called.say(there, &answering.answer(&invite, 200, &description(b, called.sound(), "sendrecv")));
    let answered = caller.hears("the answer", |m| m.settles("INVITE"));
    calling.answered(&answered);
    caller.say(there, &calling.acknowledgement());

    // The caller goes on speaking; the called never says a word.
    let port = answered.sound().unwrap();
    let ended = (0..LOOKS as u16).find_map(|sequence| {
        caller.rtp.send_to(&sound(a, sequence), port).unwrap();
        caller.next().filter(|m| m.method() == Some("BYE"))
    });

    assert!(ended.is_some(), "the call is ended: {}", server.log());
    called.hears("the BYE", |m| m.method() == Some("BYE"));
}

#[test]
fn recording_is_refused_where_rtpengine_carries_the_sound() {
    let world = World::new();
    world.tenant("acme", 1);
    world.json(&["settings", "set", "--tenant", "acme", "recording=told"]);
    let (_engine, world) = Engine::start(world);

    let refused = world.serve_with(&[]).err().expect("it does not start");
    assert!(refused.stderr.contains("recording the calls of acme"), "{refused:?}");
    assert!(refused.stderr.contains("media.engine is rtpengine"), "{refused:?}");

    world.json(&["settings", "set", "--tenant", "acme", "recording=off"]);
    let _server = world.serve();
    let refused = world.run(&["settings", "set", "--tenant", "acme", "recording=on"]);
    assert!(!refused.status.success() && refused.stderr.contains("media.engine"), "{refused:?}");
}
