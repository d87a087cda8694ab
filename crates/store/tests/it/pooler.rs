//! A PgBouncer in transaction mode before the PostgreSQL of the tests: one for all tests of a run, with which it ends.
//!
//! Nodes have more connections to it than it has sessions, and it gives the session that has waited longest: two
//! transactions of a connection are hardly ever of one session.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::cluster::{Cluster, give_to_postgres, postgres, succeed, unprivileged};

/// Where the Debian package has it: other users than root seldom look there.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A running PgBouncer.
#[derive(Debug)]
pub struct Pooler {
    directory: PathBuf,
}

impl Pooler {
    /// The pooler that all tests of this run share, before the cluster that they share.
    pub fn shared(cluster: &Cluster) -> Pooler {
        let lock = File::create(cluster.beside("pooler.lock")).unwrap();
        lock.lock().unwrap();
        let pooler = Pooler { directory: cluster.beside("pooler") };
        let ready = pooler.directory.join("ready");
        if !ready.exists() {
            pooler.start(cluster);
            fs::write(&ready, "").unwrap();
        }
        pooler
    }

    /// How a database of the cluster is named by those who come to it through the pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://callveil@/{database}?host={}&pgbouncer=true", self.directory.display())
    }

    /// It listens in its directory alone, where nobody else can have taken its place.
    fn start(&self, cluster: &Cluster) {
        assert!(Path::new(PROGRAM).exists(), "{PROGRAM} is there: scripts/setup-tests installs it");
        fs::create_dir_all(&self.directory).unwrap();
        give_to_postgres(&self.directory);
        fs::write(self.directory.join("users"), "\"callveil\" \"\"\n").unwrap();
        let text = format!(
            "
            [databases]
            * = host=127.0.0.1 port={port}

            [pgbouncer]
            pool_mode = transaction
            default_pool_size = 6
            server_round_robin = 1
            max_client_conn = 500
            ; Each test has a database of its own, and leaves its sessions behind.
            server_idle_timeout = 2
            auth_type = trust
            auth_file = {directory}/users
            unix_socket_dir = {directory}
            listen_port = 5432
            logfile = {directory}/log
            pidfile = {directory}/pid
            ",
            directory = self.directory.display(),
            port = cluster.port,
        );
        let settings = self.directory.join("pgbouncer.ini");
        fs::write(&settings, text).unwrap();
        succeed(unprivileged(Path::new(PROGRAM)).arg("--quiet").arg("--daemon").arg(&settings));
        self.wait_until_ready();
    }

    #[expect(clippy::disallowed_methods, reason = "a server tells nobody that it has begun to listen")]
    fn wait_until_ready(&self) {
        for _ in 0..300 {
            let mut look = postgres("pg_isready");
            look.args(["--quiet", "--username=callveil", "--dbname=postgres", "--host"]).arg(&self.directory);
            if look.status().unwrap().success() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        panic!("PgBouncer did not answer for 30 seconds: {log}");
    }
}
