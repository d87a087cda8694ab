//! A PostgreSQL for tests: one for all tests of a run, which a watchdog ends with the run, and others that a test has
//! to itself and may maltreat.
//!
//! Nothing of a PostgreSQL that the machine has already is touched: only its programs are used.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// How often a port is looked for that nobody takes meanwhile.
const TRIES: u32 = 20;

/// The role of the shared cluster that reads what is one tenant's.
pub const TENANT_ROLE: &str = "callveil_tenant";

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    pub port: u16,
    /// Whether it ends with this value.
    own: bool,
}

/// How much a cluster does for what it is told to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing outlives a crash of the machine: what most tests do not ask about.
    None,
    /// As in earnest.
    Full,
}

/// The cluster that all tests of this run share, with a database `template` that `prepare` has filled.
pub fn shared(prepare: impl FnOnce(&str)) -> Cluster {
    let run = Run::this();
    let directory = std::env::temp_dir().join(format!("callveil-test-postgres-{}-{}", run.pid, run.began));
    fs::create_dir_all(&directory).unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let ready = directory.join("ready");
    if let Ok(port) = fs::read_to_string(&ready) {
        return Cluster { directory: directory.join("cluster"), port: port.parse().unwrap(), own: false };
    }
    watch(&run, &directory);
    let mut cluster = Cluster::make(&directory.join("cluster"), Durability::None);
    cluster.own = false;
    cluster.run("postgres", &format!("create role {TENANT_ROLE} nologin"));
    cluster.create_database("template", None);
    prepare(&cluster.url("template"));
    fs::write(&ready, cluster.port.to_string()).unwrap();
    cluster
}

/// What runs the tests: when it ends, the tests have ended.
struct Run {
    pid: u32,
    /// When it began: another process may have the same number later.
    began: String,
}

impl Run {
    fn this() -> Run {
        let parent = std::os::unix::process::parent_id();
        let pid = if parent > 1 { parent } else { std::process::id() };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let began = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19)).unwrap();
        Run { pid, began: began.to_owned() }
    }
}

/// Ends the shared cluster and removes its files when the run is over, however it ended.
fn watch(run: &Run, directory: &Path) {
    const WATCHDOG: &str = r#"
        while [ "$(sed 's/.*)//' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f21)" = "$2" ]; do sleep 1; done
        kill "$(cat "$3/pooler/pid")"
        kill -QUIT "$(head -n 1 "$3/cluster/data/postmaster.pid")"
        sleep 1
        rm -rf "$3""#;
    let started = Command::new("setsid")
        .args(["--fork", "sh", "-c", WATCHDOG, "watchdog", &run.pid.to_string(), &run.began])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(started.expect("setsid is there: it is of util-linux").success());
}

impl Cluster {
    /// Makes a cluster in a directory of its own and starts it.
    pub fn make(directory: &Path, durability: Durability) -> Cluster {
        fs::create_dir_all(directory).unwrap();
        give_to_postgres(directory);
        let mut initdb = postgres("initdb");
        initdb.args(["--username=callveil", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"]);
        succeed(initdb.arg("--pgdata").arg(directory.join("data")));
        let mut settings = "
            max_connections = 300
            shared_buffers = 64MB
            logging_collector = off
            log_min_messages = warning
            log_checkpoints = off
            wal_level = replica
            "
        .to_owned();
        if durability == Durability::None {
            settings.push_str("fsync = off\nfull_page_writes = off\n");
        }
        let mut cluster = Cluster { directory: directory.to_owned(), port: 0, own: true };
        cluster.configure(&settings);
        cluster.start();
        cluster
    }

    /// A standby that follows this cluster, in a directory of its own, started.
    pub fn standby(&self, directory: &Path) -> Cluster {
        fs::create_dir_all(directory).unwrap();
        give_to_postgres(directory);
        let source = format!("host=127.0.0.1 port={} user=callveil", self.port);
        let mut copy = postgres("pg_basebackup");
        copy.args(["--dbname", &source, "--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf"]);
        succeed(copy.arg("--pgdata").arg(directory.join("data")));
        let mut standby = Cluster { directory: directory.to_owned(), port: 0, own: true };
        standby.start();
        standby
    }

    /// Adds settings.
    pub fn configure(&self, settings: &str) {
        let file = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text + "\n" + settings).unwrap();
    }

    /// Starts it on the port that it had, or on a free one.
    pub fn start(&mut self) {
        for _ in 0..TRIES {
            let port = match self.port {
                0 => free_port(),
                known => known,
            };
            let options = format!(
                "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={}",
                self.directory.display()
            );
            let mut start = self.pg_ctl("start");
            start.arg("--log").arg(self.directory.join("log")).args(["--options", &options]);
            let started = start.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            if started.success() {
                self.port = port;
                return;
            }
            // Somebody else may have taken the port meanwhile.
        }
        panic!("PostgreSQL does not start: {}", self.log());
    }

    /// Ends it at once, as if its process had been killed.
    pub fn crash(&self) {
        succeed(self.pg_ctl("stop").arg("--mode=immediate"));
    }

    /// Stops all of it where it is: it takes connections, and says nothing any more. It ends as any other.
    pub fn hang(&self) {
        self.signal("-STOP");
    }

    fn signal(&self, signal: &str) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(postmaster) = file.lines().next() else { return };
        // The postmaster first: it makes no more processes then.
        let _ = Command::new("kill").args([signal, postmaster]).stderr(Stdio::null()).status();
        let _ = Command::new("pkill").args([signal, "-P", postmaster]).status();
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        succeed(&mut self.pg_ctl("promote"));
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = postgres("pg_ctl");
        command.arg(action).arg("--pgdata").arg(self.data()).args(["--wait", "--timeout=100"]);
        command
    }

    /// Makes a database, empty or like another one.
    pub fn create_database(&self, name: &str, like: Option<&str>) {
        let template = like.map(|like| format!(" template {like}")).unwrap_or_default();
        self.run("postgres", &format!("create database {name}{template}"));
    }

    /// A database of which nobody else knows, like the template of the shared cluster.
    pub fn fresh_database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.create_database(&name, Some("template"));
        name
    }

    /// Runs a statement as the superuser, and answers with its rows as text.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let mut psql = postgres("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--dbname", &self.url(database), "--command", sql]);
        let told = succeed(&mut psql);
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    }

    /// How a database of this cluster is named.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://callveil@127.0.0.1:{}/{database}", self.port)
    }

    /// A place for what belongs to this cluster.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.with_file_name(name)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.own {
            // One that hangs could not end, and one that has ended already is as good.
            self.signal("-CONT");
            let mut stop = self.pg_ctl("stop");
            let _ = stop.arg("--mode=immediate").stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of PostgreSQL's.
pub fn postgres(program: &str) -> Command {
    unprivileged(&programs().join(program))
}

/// A program that refuses to run as root, so root runs it as the user of PostgreSQL's Debian package.
pub fn unprivileged(path: &Path) -> Command {
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("runuser");
            command.args(["--user", "postgres", "--"]).arg(path);
            command
        }
        false => Command::new(path),
    };
    command.stdin(Stdio::null()).current_dir("/");
    command
}

fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .expect("PostgreSQL is there: scripts/setup-tests installs it");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Makes a directory that of the user who runs those programs.
pub fn give_to_postgres(directory: &Path) {
    if is_root() {
        succeed(Command::new("chown").arg("postgres:").arg(directory));
        // The way there must be open to that user too.
        for above in directory.ancestors().skip(1).take_while(|above| above.starts_with(std::env::temp_dir()))
        {
            if above != std::env::temp_dir() {
                fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

/// Runs a command to its good end.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e: io::Error| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
