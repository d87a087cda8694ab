//! Telephones that SIPp plays, one scenario each, on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::script::Script;

/// The longest that any scenario may take on a busy machine.
pub const LONGEST: Duration = Duration::from_secs(60);

/// What SIPp plays.
pub enum Scenario<'a> {
    /// One of `tests/scenarios`.
    File(&'a str),
    /// One that the test has written.
    Script(&'a Script),
}

impl<'a> From<&'a str> for Scenario<'a> {
    fn from(name: &'a str) -> Scenario<'a> {
        Scenario::File(name)
    }
}

impl<'a> From<&'a Script> for Scenario<'a> {
    fn from(script: &'a Script) -> Scenario<'a> {
        Scenario::Script(script)
    }
}

/// A SIPp that runs. It ends with its scenario, or when it is dropped.
pub struct Sipp {
    child: Child,
    directory: Directory,
    scenario: String,
}

/// Where SIPp runs. What it heard is shown when the test has failed.
struct Directory(tempfile::TempDir);

impl Directory {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.read("errors"), self.read("messages"));
        }
    }
}

impl Sipp {
    /// Calls `target` so many times, one after the other.
    pub fn calls<'a>(
        scenario: impl Into<Scenario<'a>>,
        target: SocketAddr,
        calls: u32,
        more: &[&str],
    ) -> Sipp {
        let address = target.to_string();
        let calls = calls.to_string();
        let port = free_port(target.ip()).to_string();
        let mut arguments = vec![address.as_str(), "-m", &calls, "-p", &port];
        arguments.extend(more);
        Sipp::run(scenario.into(), target.ip(), &arguments)
    }

    /// Answers at a port of its own, until it has had so many calls. Comes back when it listens.
    pub async fn answers<'a>(
        scenario: impl Into<Scenario<'a>>,
        calls: u32,
        more: &[&str],
    ) -> (Sipp, SocketAddr) {
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let port = free_port(address);
        let (calls, text) = (calls.to_string(), port.to_string());
        let mut arguments = vec!["-m", calls.as_str(), "-p", &text];
        arguments.extend(more);
        let sipp = Sipp::run(scenario.into(), address, &arguments);
        let at = SocketAddr::new(address, port);
        let by_tcp = more.contains(&"t1");
        let taken = || match by_tcp {
            true => TcpListener::bind(at).is_err(),
            false => UdpSocket::bind(at).is_err(),
        };
        until("SIPp listens", taken).await;
        (sipp, at)
    }

    fn run(scenario: Scenario<'_>, address: IpAddr, arguments: &[&str]) -> Sipp {
        let directory = Directory(tempfile::tempdir().unwrap());
        let (scenario, file) = match scenario {
            Scenario::File(name) => {
                (name, Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name))
            }
            Scenario::Script(script) => {
                let file = directory.path().join("script.xml");
                std::fs::write(&file, script.xml()).unwrap();
                ("a script", file)
            }
        };
        let child = Command::new("sipp")
            .current_dir(directory.path())
            .arg("-sf")
            .arg(file)
            .args([
                "-i",
                &address.to_string(),
                "-nostdin",
                "-trace_err",
                "-trace_msg",
                "-message_file",
                "messages",
            ])
            .args(["-error_file", "errors", "-timeout", &LONGEST.as_secs().to_string(), "-timeout_error"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("sipp is installed (scripts/setup-tests)");
        Sipp { child, directory, scenario: scenario.to_owned() }
    }

    /// Waits until the scenario has come out well; gives all messages that crossed the wire.
    pub async fn succeeds(self) -> String {
        let Sipp { child, directory, scenario } = self;
        let ended = timeout(LONGEST + Duration::from_secs(10), child.wait_with_output()).await;
        let output = ended.expect("SIPp ends").unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{scenario} ended with {}\n{told}", output.status);
        directory.read("messages")
    }

    /// The file of the messages so far.
    pub fn messages(&self) -> PathBuf {
        self.directory.path().join("messages")
    }
}

/// Waits for a condition, for at most as long as any scenario takes.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            turns.tick().await;
        }
    };
    assert!(timeout(LONGEST, waiting).await.is_ok(), "never: {what}");
}

/// A port that is free by UDP and TCP, below those that the system gives to others.
fn free_port(address: IpAddr) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 1_999).unwrap();
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (process * 11 + turn) % 22_000;
        let at = SocketAddr::new(address, port);
        if UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok() {
            return port;
        }
    }
}
