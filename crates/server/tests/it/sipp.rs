//! Telephones that SIPp plays.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::script::Script;
use crate::world::{SOON, try_until, until};

/// The longest that any scenario may take on a busy machine.
const LONGEST: Duration = Duration::from_secs(90);

/// What SIPp is to play, and how often.
#[derive(Clone)]
pub struct Play {
    scenario: PathBuf,
    script: Option<String>,
    calls: usize,
    udp: bool,
}

impl Play {
    /// A script, once, by `udp` or `tcp`.
    pub fn script(script: &Script, transport: &str) -> Play {
        let scenario = PathBuf::from("script.xml");
        Play { scenario, script: Some(script.xml()), calls: 1, udp: transport == "udp" }
    }

    /// One of the scenarios of the voice tests, so many times.
    pub fn file(name: &str, calls: usize, transport: &str) -> Play {
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../voice/tests/scenarios").join(name);
        Play { scenario, script: None, calls, udp: transport == "udp" }
    }

    /// Calls this address.
    pub fn calls(self, target: SocketAddr) -> Sipp {
        self.start(target.ip(), &[&target.to_string(), "-r", "10"])
    }

    /// Answers, at an address that is told when SIPp listens.
    pub fn answers(self, at: IpAddr) -> Sipp {
        let udp = self.udp;
        let sipp = self.start(at, &[]);
        let at = sipp.address;
        until("SIPp listens", SOON, || {
            if udp { UdpSocket::bind(at).is_err() } else { TcpListener::bind(at).is_err() }
        });
        sipp
    }

    fn start(self, at: IpAddr, more: &[&str]) -> Sipp {
        let directory = TempDir::new().unwrap();
        if let Some(script) = &self.script {
            fs::write(directory.path().join(&self.scenario), script).unwrap();
        }
        let port = free_port(at);
        let log = File::create(directory.path().join("errors")).unwrap();
        let child = Command::new("sipp")
            .current_dir(directory.path())
            .arg("-sf")
            .arg(&self.scenario)
            .args(["-i", &at.to_string(), "-p", &port.to_string(), "-t", if self.udp { "u1" } else { "t1" }])
            .args(["-m", &self.calls.to_string(), "-nostdin", "-trace_msg", "-message_file", "messages"])
            .args(["-timeout", &LONGEST.as_secs().to_string(), "-timeout_error"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sipp is installed (scripts/setup-tests)");
        Sipp { child, address: SocketAddr::new(at, port), directory }
    }
}

/// A SIPp that runs. It ends with its scenario, or when it is dropped.
pub struct Sipp {
    child: Child,
    /// Where it is.
    pub address: SocketAddr,
    directory: TempDir,
}

impl Sipp {
    /// Waits until the scenario has come out well; gives all messages that crossed the wire.
    #[track_caller]
    pub fn succeeds(mut self, what: &str) -> String {
        let ended = try_until(LONGEST + SOON, || self.child.try_wait().unwrap());
        let read = |name: &str| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        let messages = read("messages");
        let well = ended.is_some_and(|status| status.success());
        assert!(well, "{what} ended with {ended:?}\n{}\n{messages}", read("errors"));
        messages
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free by UDP and TCP, as is the one after it: below those that the system and callveil give to others.
pub fn free_port(at: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 499).unwrap();
    loop {
        let turn = NEXT.fetch_add(2, Ordering::Relaxed);
        let port = 10_000 + (process * 20 + turn) % 9_980;
        let is_free = |port| UdpSocket::bind((at, port)).is_ok() && TcpListener::bind((at, port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}
