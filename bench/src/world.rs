//! A database with so many live allocations, and the real server on it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use callveil_api::Credentials;
use callveil_domain::admin;
use callveil_domain::allocation::create::{NewAllocation, NewParty, Preferences, create};
use callveil_domain::allocation::{AllocationId, ConnectionId, Usage};
use callveil_domain::node::Node;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::Store;
use callveil_domain::tenant::{ApiKey, Sid};
use callveil_domain::virtual_number::{Lending, NumberType, Region, VirtualNumber};
use callveil_domain::{Effect, Failure};
use callveil_server::clock::{WallClock, randomness};
use callveil_store::sqlite::{Mode, SqliteStore};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

/// How many virtual numbers the pool has.
pub const POOL: u64 = 2_000;

/// The tenant of all figures.
pub const TENANT: &str = "bench";

/// A database with live allocations, in a directory of its own on a real disk.
pub struct World {
    directory: TempDir,
    /// Where the database is.
    url: String,
    /// The `Authorization` header of the tenant's key.
    pub authorization: String,
    /// The ids of the allocations that were made first; at most 100,000.
    pub ids: Vec<AllocationId>,
}

impl World {
    /// Makes a file with `live` allocations, through the use case that serves requests.
    pub async fn with(live: u64) -> anyhow::Result<World> {
        let directory = directory()?;
        let path = directory.path().join("bench.db");
        let url = format!("sqlite:{}", path.display());
        World::on(open(&path)?, url, directory, live).await
    }

    /// The same in any store.
    pub async fn on(
        store: Arc<dyn Store>,
        url: String,
        directory: TempDir,
        live: u64,
    ) -> anyhow::Result<World> {
        let mut rng = StdRng::seed_from_u64(1);
        let Credentials { key_id: id, token } = callveil_api::new_credentials(&mut rng);
        let tenant = Sid::parse(TENANT)?;
        let node = node(store).await?;
        let mut rng = node.rng();
        let ctx = node.ctx(&mut *rng, Effect::Keep);
        let token_hash = callveil_api::hash_token(&token);
        let key = ApiKey {
            id: id.clone(),
            tenant: tenant.clone(),
            token_hash,
            created_at: node.now(),
            revoked_at: None,
        };
        admin::add_tenant(&ctx, key).await.map_err(told)?;
        for part in virtual_numbers().chunks(admin::NUMBERS_AT_ONCE) {
            admin::put_numbers(&ctx, &tenant, part.to_vec()).await.map_err(told)?;
        }
        node.refresh().await?;
        let ids = fill(&Arc::new(node), live).await?;
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{token}"));
        Ok(World { directory, url, authorization: format!("Basic {credentials}"), ids })
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.directory.path().join("bench.db")
    }

    /// The directory that holds the database.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the real server on it.
    pub async fn serve(&self) -> anyhow::Result<Server> {
        self.serve_with(&[]).await
    }

    /// Starts the real server on it, listening for calls, with a trunk that leads to `called`.
    pub async fn serve_calls(&self, sip: SocketAddr, called: SocketAddr) -> anyhow::Result<Server> {
        let added = self
            .callveil()?
            .args(["trunk", "add", "bench", "--source", "127.0.0.1/32", "--target", &called.to_string()])
            .stdout(Stdio::null())
            .status()
            .context("adding the trunk")?;
        if !added.success() {
            bail!("the trunk was not added: {added}");
        }
        self.serve_with(&[("CALLVEIL_SIP_LISTEN", sip.to_string())]).await
    }

    /// Starts the real server on it, with these variables beside the usual ones.
    pub async fn serve_with(&self, more: &[(&str, String)]) -> anyhow::Result<Server> {
        let (http, metrics) = (free_port()?, free_port()?);
        let mut command = self.callveil()?;
        command
            .arg("serve")
            .env("CALLVEIL_HTTP_LISTEN", http.to_string())
            .env("CALLVEIL_METRICS_LISTEN", metrics.to_string())
            .env("CALLVEIL_SIP_LISTEN", "none")
            .stdout(Stdio::null());
        for (name, value) in more {
            command.env(name, value);
        }
        Server::ready(command.spawn().context("starting callveil")?, http).await
    }

    fn callveil(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(program("callveil")?);
        command.env("CALLVEIL_DATABASE", &self.url).env("CALLVEIL_LOG_LEVEL", "warn");
        Ok(command)
    }

    /// How many calls are on record as ended.
    pub fn records(&self) -> anyhow::Result<u64> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(self.database(), flags)?;
        let ended: i64 =
            db.query_row("select count(*) from call where ended_at is not null", [], |row| row.get(0))?;
        Ok(u64::try_from(ended)?)
    }

    /// Who may call whom: a pair for each of the allocations made first, at most 20,000.
    pub async fn pairs(&self) -> anyhow::Result<Vec<Pair>> {
        let store = open(&self.database())?;
        let tenant = Sid::parse(TENANT)?;
        let mut pairs = Vec::new();
        for id in self.ids.iter().take(20_000) {
            let allocation = store.allocation(&tenant, *id).await?.context("it was made")?;
            pairs.push(Pair {
                caller: allocation.parties.a.numbers[0].expose_digits(),
                dialled: allocation.virtual_number.expose_digits(),
                called: allocation.parties.b.numbers[0].expose_digits(),
            });
        }
        Ok(pairs)
    }
}

/// Somebody who may call, what is dialled, and whose telephone rings.
pub struct Pair {
    /// The digits of the caller's number.
    pub caller: u64,
    /// Of the virtual number.
    pub dialled: u64,
    /// Of the other party's number.
    pub called: u64,
}

/// The virtual numbers of the pool.
pub fn virtual_numbers() -> Vec<VirtualNumber> {
    let region = Region::parse("KA").ok();
    (0..POOL)
        .map(|n| VirtualNumber {
            number: PhoneNumber::from_digits(918_000_000_000 + n).expect("a number of 12 digits"),
            region: region.clone(),
            number_type: Some(NumberType::Mobile),
            flow: None,
            state: Lending::Open,
        })
        .collect()
}

/// The two people of the n-th allocation: of fifty million, drawn by a multiplicative hash.
pub fn people(n: u64) -> (u64, u64) {
    let person = |n: u64| 919_900_000_000 + n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 50_000_000;
    (person(2 * n + 1), person(2 * n + 2))
}

/// A directory on a real disk.
pub fn directory() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("callveil-bench").tempdir_in(std::env::current_dir()?)?)
}

/// Opens a store on a database file.
pub fn open(path: &Path) -> anyhow::Result<Arc<dyn Store>> {
    Ok(Arc::new(SqliteStore::open(path, Mode::Serve)?))
}

/// A node on a store.
pub async fn node(store: Arc<dyn Store>) -> anyhow::Result<Node> {
    let clock = WallClock::starting_at(store.latest_moment().await?);
    Ok(Node::open(store, Arc::new(clock), randomness()).await?)
}

async fn fill(node: &Arc<Node>, live: u64) -> anyhow::Result<Vec<AllocationId>> {
    let serial = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..512)
        .map(|_| {
            let (node, serial) = (Arc::clone(node), Arc::clone(&serial));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let n = serial.fetch_add(1, Ordering::Relaxed);
                    if n >= live {
                        return Ok::<_, anyhow::Error>(ids);
                    }
                    ids.push(create_one(&node, n).await?);
                }
            })
        })
        .collect();
    let mut ids = Vec::new();
    for worker in workers {
        ids.extend(worker.await??);
    }
    ids.sort();
    ids.truncate(100_000);
    Ok(ids)
}

async fn create_one(node: &Node, n: u64) -> anyhow::Result<AllocationId> {
    let (a, b) = people(n);
    let party = |digits| NewParty {
        numbers: PhoneNumber::from_digits(digits).into_iter().collect(),
        ..NewParty::default()
    };
    let new = NewAllocation {
        connection: ConnectionId::parse(&format!("fill-{n}"))?,
        a: party(a),
        b: party(b),
        usage: Usage::TwoWay,
        lifetime: Some(Duration::from_secs(86_400)),
        flow: None,
        preferences: Preferences::default(),
    };
    let directory = node.directory();
    let tenant = directory.tenant(TENANT).context("the tenant was made")?;
    let mut rng = node.rng();
    let mut ctx = node.ctx(&mut *rng, Effect::Keep);
    Ok(create(&mut ctx, tenant, new, None).await.map_err(told)?.allocation.id)
}

/// A server process, stopped when dropped.
pub struct Server {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Server {
    /// Waits until a server that was started answers.
    pub async fn ready(mut child: Child, address: SocketAddr) -> anyhow::Result<Server> {
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(Server { child, address });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended at once: {status}");
            }
            pause(Duration::from_millis(50)).await;
        }
        Err(anyhow!("the server did not answer within 30 s"))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1_024.0)
    }

    /// The processor time that it has used, in seconds.
    pub fn processor_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        // utime and stime, in ticks of a hundredth of a second.
        Ok((ticks(11) + ticks(12)) / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that stands beside this one.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not there: build it first, as `make bench` does", path.display());
    }
    Ok(path)
}

/// A port of loopback that nobody has now.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

#[expect(clippy::disallowed_methods, reason = "a driver of a bench waits")]
pub async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

fn told<R: std::fmt::Debug>(failure: Failure<R>) -> anyhow::Error {
    anyhow!("{failure:?}")
}
