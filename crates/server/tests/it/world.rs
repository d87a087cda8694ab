//! A small made world: a directory with a database, the program, and servers that are gone when the test is.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::http::Client;

/// How long anything may take that has no reason to take long.
pub const SOON: Duration = Duration::from_secs(20);

/// A directory of its own, and the program pointed at a database in it.
pub struct World {
    directory: TempDir,
    database: String,
    /// More variables for the program.
    variables: Vec<(String, String)>,
}

impl World {
    pub fn new() -> World {
        World::with_database(Path::new("callveil.db"))
    }

    /// A world whose database is elsewhere.
    pub fn with_database(path: &Path) -> World {
        World::on(&format!("sqlite:{}", path.display()))
    }

    /// A world on any database.
    pub fn on(database: &str) -> World {
        World { directory: TempDir::new().unwrap(), database: database.to_owned(), variables: Vec::new() }
    }

    /// The same world with another variable for the program.
    pub fn with_variable(mut self, name: &str, value: &str) -> World {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with no configuration but this world's.
    pub fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callveil"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CALLVEIL_"))
        {
            command.env_remove(name);
        }
        command
            .current_dir(&self.directory)
            .env("CALLVEIL_DATABASE", &self.database)
            .env("CALLVEIL_HTTP_LISTEN", "127.0.0.1:0")
            .env("CALLVEIL_METRICS_LISTEN", "127.0.0.1:0")
            .env("CALLVEIL_SIP_LISTEN", "127.0.0.1:0")
            .envs(self.variables.clone())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.program().args(arguments))
    }

    /// Runs a command that is expected to do what it is asked, and answers with its JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        assert!(ran.status.success(), "callveil {arguments:?}: {ran:?}");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("callveil {arguments:?}: {e}: {ran:?}"))
    }

    /// A tenant with a pool of `numbers` virtual numbers, +918000000001 and on.
    pub fn tenant(&self, sid: &str, numbers: usize) -> Tenant {
        let made = self.json(&["tenant", "create", sid]);
        let rows: String = (1..=numbers).map(|n| format!("{},KA,mobile\n", virtual_number(n))).collect();
        let file = self.write("numbers.csv", &rows);
        self.json(&["number", "import", "--tenant", sid, file.to_str().unwrap()]);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Tenant { sid: sid.to_owned(), key: text("api_key"), token: text("api_token") }
    }

    /// Starts a server and waits until it takes connections.
    pub fn serve(&self) -> Server {
        self.serve_with(&[]).unwrap_or_else(|refused| panic!("the server did not start: {refused:?}"))
    }

    /// Starts a server with these arguments; answers with what it said if it ended instead.
    pub fn serve_with(&self, arguments: &[&str]) -> Result<Server, Ran> {
        let log = self.path("server.log");
        let mut child = self
            .program()
            .args(["serve", "--json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        let first = first_line(&mut child);
        if first.is_empty() {
            let status = child.wait().unwrap();
            return Err(Ran { status, stdout: first, stderr: fs::read_to_string(&log).unwrap() });
        }
        let started: Value = serde_json::from_str(&first).unwrap();
        let address = |name: &str| -> SocketAddr {
            let url = started[name].as_str().unwrap().strip_prefix("http://").unwrap();
            url.split('/').next().unwrap().parse().unwrap()
        };
        Ok(Server { http: address("api"), metrics: address("metrics"), started, log, child })
    }

    /// What `call simulate` says.
    pub fn call(&self, from: &str, to: &str, more: &[&str]) -> Value {
        self.json(&[&["call", "simulate", "--from", from, "--to", to], more].concat())
    }
}

/// The nth made-up virtual number.
pub fn virtual_number(n: usize) -> String {
    format!("+91800000{n:04}")
}

/// The nth made-up telephone number of a party.
pub fn party(n: usize) -> String {
    format!("+9199{n:08}")
}

/// A tenant's credentials.
#[derive(Clone)]
pub struct Tenant {
    pub sid: String,
    pub key: String,
    pub token: String,
}

impl Tenant {
    /// A client of this tenant's GreenVN API: paths begin after `/greenvn`.
    pub fn client(&self, server: &Server) -> Client {
        self.client_at(server.http)
    }

    pub fn client_at(&self, address: SocketAddr) -> Client {
        Client::new(address, &format!("/v1/tenants/{}/greenvn", self.sid), &self.key, &self.token)
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs a command to its end, within [`SOON`].
pub fn finish(command: &mut Command) -> Ran {
    finish_within(command, SOON)
}

pub fn finish_within(command: &mut Command, bound: Duration) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = drain(child.stdout.take().unwrap());
    let stderr = drain(child.stderr.take().unwrap());
    let status = wait(&mut child, bound).unwrap_or_else(|| {
        child.kill().unwrap();
        panic!("{command:?} took longer than {bound:?}")
    });
    Ran { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn first_line(child: &mut Child) -> String {
    let stdout = child.stdout.take().unwrap();
    let (line, said) = mpsc::channel();
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut first = String::new();
        let _ = stdout.read_line(&mut first).map(|_| line.send(first));
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    said.recv_timeout(SOON).unwrap_or_else(|e| {
        let _ = child.kill();
        panic!("the server neither started nor ended within {SOON:?}: {e}")
    })
}

/// A running server. It is killed when the test is over.
pub struct Server {
    pub http: SocketAddr,
    pub metrics: SocketAddr,
    /// What it said when it was ready.
    pub started: Value,
    log: PathBuf,
    child: Child,
}

impl Server {
    /// A client without credentials or prefix, of the API's listener.
    pub fn stranger(&self) -> Client {
        Client::new(self.http, "", "", "")
    }

    /// Where it takes calls.
    pub fn sip(&self) -> SocketAddr {
        self.started["sip"][0].as_str().unwrap().parse().unwrap()
    }

    /// How much memory it holds, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// The file of its log.
    pub fn log_file(&self) -> PathBuf {
        self.log.clone()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// As a power cut ends it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an operator ends it.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child, SOON).unwrap_or_else(|| panic!("the server did not end within {SOON:?}"))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child, bound: Duration) -> Option<ExitStatus> {
    try_until(bound, || child.try_wait().unwrap())
}

/// Waits until something holds.
#[track_caller]
pub fn until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) {
    let came = try_until(bound, || holds().then_some(()));
    assert!(came.is_some(), "{what} did not come within {bound:?}");
}

/// What a look finds, unless it finds nothing for so long.
#[expect(clippy::disallowed_methods, reason = "awaits a condition, with a bound, that nothing else tells of")]
pub fn try_until<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
