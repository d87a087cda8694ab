//! SIPp on both sides, over each transport.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{add_trunk, allocate, records};
use crate::world::{Ran, SOON, World, finish_within, until};

/// How many calls are made over each transport.
const CALLS: usize = 20;

pub fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../voice/tests/scenarios").join(name)
}

fn sipp(world: &World, name: &str, port: u16, transport: &str) -> Command {
    let mut command = Command::new("sipp");
    command
        .current_dir(world.path(""))
        .arg("-sf")
        .arg(scenario(name))
        .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-t", transport])
        .args(["-m", &CALLS.to_string(), "-nostdin", "-timeout", "60", "-timeout_error"])
        .stdin(Stdio::null());
    command
}

/// A port that is free by UDP and TCP, below those that the system gives to others.
fn free_port(from: u16) -> u16 {
    let begin = from + u16::try_from(std::process::id() % 1_000).unwrap() * 3;
    (begin..begin + 4_000)
        .find(|port| {
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()
        })
        .unwrap()
}

/// The ports of a SIPp that answers one call.
pub struct Sipp {
    pub sip: u16,
    sound: u16,
}

impl Sipp {
    pub fn ports() -> Sipp {
        Sipp { sip: free_port(12_000), sound: free_port(6_000) }
    }

    /// Starts one that answers as many calls as come, and waits until it listens.
    pub fn answers_all(&self, world: &World) -> Running {
        let mut called = Command::new("sipp");
        called.current_dir(world.path("")).arg("-sf").arg(scenario("callee.xml"));
        called.args(["-i", "127.0.0.1", "-p", &self.sip.to_string(), "-nostdin"]).stdin(Stdio::null());
        self.listens(called)
    }

    /// Starts it, and waits until it listens.
    pub fn answers(&self, world: &World, more: &[&str]) -> Running {
        let mut called = sipp(world, "callee.xml", self.sip, "u1");
        called.args(["-mi", "127.0.0.1", "-mp", &self.sound.to_string()]).args(more);
        self.listens(called)
    }

    fn listens(&self, mut called: Command) -> Running {
        let called = called.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let called = Running(called.expect("sipp is installed (scripts/setup-tests)"));
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.sip));
        until("SIPp listens", SOON, || UdpSocket::bind(at).is_err());
        called
    }
}

/// A SIPp that runs. It ends with this value.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn calls_go_through(transport: &str, t: &str) {
    let world = World::new();
    let tenant = world.tenant("acme", 3);
    world.json(&["settings", "set", "--tenant", "acme", "intl_num_sup=true"]);
    let (callee, caller) = (free_port(12_000), free_port(20_000));
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, callee));
    add_trunk(&world, at, &[("transport", transport)]);
    let server = world.serve();
    let parties = json!({"aparty_numbers": ["+12025550101"], "bparty_numbers": ["+12025550102"]});
    allocate(&server, &tenant, &parties);

    let mut called = sipp(&world, "callee.xml", callee, t);
    let called =
        Running(called.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sipp is installed"));
    let taken = || match transport {
        "udp" => UdpSocket::bind(at).is_err(),
        _ => TcpListener::bind(at).is_err(),
    };
    until("SIPp listens", SOON, taken);
    let mut calling = sipp(&world, "caller.xml", caller, t);
    calling.arg(server.sip().to_string()).args(["-r", "10"]);
    let ran: Ran = finish_within(&mut calling, std::time::Duration::from_secs(90));
    assert!(ran.status.success(), "{}\n{}", ran.stdout, server.log());

    let answered =
        || records(&world).iter().filter(|r| r.answered_at.is_some() && r.ended_at().is_some()).count();
    until("a record of every call", SOON, || answered() == CALLS);
    drop(called);
}

#[test]
fn sipp_calls_sipp_by_udp() {
    calls_go_through("udp", "u1");
}

#[test]
fn sipp_calls_sipp_by_tcp() {
    calls_go_through("tcp", "t1");
}
