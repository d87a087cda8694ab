//! Sound: calls of two G.711 streams through the relay, how late their packets come out, and at what price.
//!
//! Generator and relay share the machine's cores; a packet's price is the processor time of the relay's threads alone.
//! Beside it stands the ceiling: the same packets from socket to socket, with nothing between.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use callveil_domain::call::CallId;
use callveil_domain::time::Timestamp;
use callveil_voice::media::prompt::Prompts;
use callveil_voice::media::recorder::Recorder;
use callveil_voice::media::relay::{Address, Config, Relay};
use callveil_voice::media::rtpengine::{self, Rtpengine};
use callveil_voice::media::stream::Sources;
use callveil_voice::media::{Engine, LegNumber, Session};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::runtime::{Builder, Runtime};

use crate::figures::{Latencies, report, say};
use crate::load::now;
use crate::signalling::free_udp_port;

/// The calls that are aimed at, and how many of them are recorded.
const CALLS: usize = 1000;
const RECORDED: usize = 300;

/// How long sound flows.
const LENGTH: Duration = Duration::from_secs(10);

/// A packet holds 20 ms, and these are sent in so many bursts.
const BURSTS: usize = 20;
const BURST: Duration = Duration::from_millis(1);
const PAYLOAD: usize = 160;
const HEADER: usize = 12;

/// The threads of the relay, by which their processor time is told from the generator's.
const THREADS: &str = "relay";

/// Measures with this many calls, of which some are recorded.
pub fn media(arguments: &[String]) -> anyhow::Result<()> {
    let number = |at: usize, usual: usize| arguments.get(at).map_or(Ok(usual), |text| text.parse());
    let (calls, recorded) = (number(0, CALLS)?, number(1, RECORDED)?);
    allow_open_files(calls)?;
    say(&format!("sound: {calls} calls of G.711 for {} s, {recorded} of them recorded", LENGTH.as_secs()));

    let mut ceiling = direct(calls)?;
    tell("from socket to socket", &mut ceiling);
    let mut plain = relayed(calls, 0)?;
    tell("through the relay", &mut plain);
    let mut kept = relayed(calls, recorded.min(calls))?;
    tell("through the relay, recorded", &mut kept);
    let mut peer = by_rtpengine(calls)?;
    say(&format!(
        "  the same by rtpengine in userspace, which makes packets anew as we order it: {}",
        peer.measured()
    ));
    Ok(())
}

/// What was measured.
struct Flow {
    sent: u64,
    heard: u64,
    delays: Latencies,
    /// Processor time of the relay for each packet, in microseconds.
    price: Option<f64>,
}

impl Flow {
    fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.heard)
    }

    fn measured(&mut self) -> String {
        let price = self.price.map(|price| format!(", {price:.1} us a packet")).unwrap_or_default();
        let p99 = self.delays.percentile(0.99);
        format!("{} of {} lost, p99 {p99:.2} ms{price}", self.lost(), self.sent)
    }
}

fn tell(what: &str, flow: &mut Flow) {
    let p99 = flow.delays.percentile(0.99);
    let reached = flow.lost() == 0 && p99 < 5.0 && flow.price.is_none_or(|price| price <= 6.0);
    report(what, &flow.measured(), "0 lost, p99 < 5 ms, at most 6 us", reached);
}

/// The ceiling: what the caller sends goes to the called at once.
fn direct(calls: usize) -> anyhow::Result<Flow> {
    let (caller, called) = (socket()?, socket()?);
    let (to_called, to_caller) = (called.local_addr()?, caller.local_addr()?);
    flow(caller, called, &vec![(to_called, to_caller); calls], || None)
}

/// Calls through the relay, which has a runtime of its own with as many threads as there are cores.
fn relayed(calls: usize, recorded: usize) -> anyhow::Result<Flow> {
    let directory = tempfile::tempdir()?;
    let runtime = Builder::new_multi_thread().enable_all().thread_name(THREADS).build()?;
    let (caller, called) = (socket()?, socket()?);
    let config = Config {
        addresses: vec![Address::plain(Ipv4Addr::LOCALHOST.into())],
        ports: None,
        sources: Sources::Described,
        silence: Duration::from_secs(60),
        prompts: Prompts::default(),
        recorder: Some(Recorder::new(directory.path().join("recordings"))?),
    };
    let relay = Relay::new(config, Box::new(StdRng::seed_from_u64(1)));
    let calls = open(&runtime, &relay, (&caller, &called), calls, recorded)?;
    let flow = priced(caller, called, &calls.ways, || processor_time("self", THREADS))?;
    drop(calls);
    runtime.shutdown_timeout(Duration::from_secs(5));
    Ok(flow)
}

/// The same calls through Debian's rtpengine, which is ordered as callveil orders it.
fn by_rtpengine(calls: usize) -> anyhow::Result<Flow> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let (caller, called) = (socket()?, socket()?);
    let orders = free_udp_port()?;
    let config = rtpengine::Config {
        orders,
        digits: (Ipv4Addr::LOCALHOST, 0).into(),
        prompts: Prompts::default(),
        silence: Duration::from_secs(60),
    };
    let rng = Box::new(StdRng::seed_from_u64(1));
    let engine = runtime.block_on(Rtpengine::connect(config, rng))?;
    let daemon = Daemon::start(orders, engine.digits()?)?;
    while runtime.block_on(engine.ping()).is_err() {}
    let calls = open(&runtime, &engine, (&caller, &called), calls, 0)?;
    let process = daemon.0.id().to_string();
    let flow = priced(caller, called, &calls.ways, || processor_time(&process, ""))?;
    drop(calls);
    Ok(flow)
}

/// An rtpengine that runs until it is dropped.
struct Daemon(Child);

impl Daemon {
    fn start(orders: SocketAddr, digits: SocketAddr) -> anyhow::Result<Daemon> {
        let started = Command::new("rtpengine")
            .args(["--config-file=none", "--table=-1", "--interface=127.0.0.1", "--foreground"])
            .args(["--log-stderr", "--log-level=1", "--num-threads=2", "-m", "40000", "-M", "60998"])
            .arg(format!("--listen-ng={orders}"))
            .arg(format!("--dtmf-log-dest={digits}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Daemon(started.context("starting rtpengine (Debian's rtpengine-daemon)")?))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets sound flow, and tells its price by what `used` says before and after.
fn priced(
    caller: UdpSocket,
    called: UdpSocket,
    ways: &[Way],
    used: impl Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<Flow> {
    let before = used()?;
    let mut flow = flow(caller, called, ways, || used().ok())?;
    if let Some(after) = flow.price {
        flow.price = Some((after - before) * 1e6 / flow.heard.max(1) as f64);
    }
    Ok(flow)
}

/// A call's two ports at the relay: where the caller sends, and where the called does.
type Way = (SocketAddr, SocketAddr);

/// Calls that go on until they are dropped.
struct Calls {
    ways: Vec<Way>,
    _sessions: Vec<Box<dyn Session>>,
}

/// Calls that are agreed on and joined. All callers share a socket and all called another: the relay tells calls apart
/// by its own ports.
fn open(
    runtime: &Runtime,
    engine: &dyn Engine,
    (caller, called): (&UdpSocket, &UdpSocket),
    calls: usize,
    recorded: usize,
) -> anyhow::Result<Calls> {
    let (caller, called) = (description(caller)?, description(called)?);
    let mut rng = StdRng::seed_from_u64(2);
    runtime.block_on(async {
        let (mut sessions, mut ways) = (Vec::new(), Vec::new());
        for number in 0..calls {
            let id = CallId::new(Timestamp::from_micros(number as i64), &mut rng);
            let (mut session, _) = engine.open(id).await?;
            if number < recorded {
                session.record().await?;
            }
            let to_caller = session.answer(LegNumber::CALLER, caller.clone().into()).await?;
            let to_called = session.offer(LegNumber(1), false).await?;
            session.accept(LegNumber(1), called.clone().into()).await?;
            session.join(LegNumber::CALLER, LegNumber(1)).await?;
            ways.push((port(&to_caller)?, port(&to_called)?));
            sessions.push(session);
        }
        Ok(Calls { ways, _sessions: sessions })
    })
}

fn description(socket: &UdpSocket) -> anyhow::Result<String> {
    let port = socket.local_addr()?.port();
    Ok(format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    ))
}

fn port(description: &[u8]) -> anyhow::Result<SocketAddr> {
    let text = str::from_utf8(description)?;
    let line = text.lines().find_map(|line| line.strip_prefix("m=audio ")).context("no sound")?;
    let port = line.split(' ').next().context("no port")?.parse()?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// Lets sound flow both ways of every call, and measures what comes out. `at_end` is asked while all still runs.
fn flow(
    caller: UdpSocket,
    called: UdpSocket,
    ways: &[Way],
    at_end: impl FnOnce() -> Option<f64>,
) -> anyhow::Result<Flow> {
    let begun = now();
    let (caller, called) = (Arc::new(caller), Arc::new(called));
    let ended = Arc::new(AtomicBool::new(false));
    let heard = Arc::new(AtomicU64::new(0));
    let ears = [&caller, &called].map(|socket| listen(socket.clone(), begun, ended.clone(), heard.clone()));

    let mut sent = 0;
    let frames = LENGTH.as_millis() as usize / (BURSTS * BURST.as_millis() as usize);
    let share = ways.len().div_ceil(BURSTS).max(1);
    for frame in 0..frames {
        for burst in 0..BURSTS {
            wait_until(begun + BURST * (frame * BURSTS + burst) as u32);
            for (to_called, to_caller) in ways.iter().skip(burst * share).take(share) {
                let packet = packet(frame, begun);
                sent += u64::from(caller.send_to(&packet, to_called).is_ok());
                sent += u64::from(called.send_to(&packet, to_caller).is_ok());
            }
        }
    }
    // What is still under way may take a while on a machine that is busy.
    let patience = now() + Duration::from_secs(2);
    while heard.load(Ordering::Relaxed) < sent && now() < patience {
        wait_until(now() + BURST);
    }
    let price = at_end();
    ended.store(true, Ordering::Relaxed);
    let mut delays = Latencies::default();
    for ear in ears {
        delays.add(ear.join().map_err(|_| anyhow::anyhow!("a listener failed"))?);
    }
    Ok(Flow { sent, heard: heard.load(Ordering::Relaxed), delays, price })
}

/// A packet that tells when it was sent.
fn packet(frame: usize, begun: Instant) -> [u8; HEADER + PAYLOAD] {
    let mut packet = [0xff; HEADER + PAYLOAD];
    packet[..HEADER].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(frame as u32 * PAYLOAD as u32).to_be_bytes());
    let micros = (now() - begun).as_micros() as u64;
    packet[HEADER..HEADER + 8].copy_from_slice(&micros.to_be_bytes());
    packet
}

fn listen(
    socket: Arc<UdpSocket>,
    begun: Instant,
    ended: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
) -> JoinHandle<Vec<u32>> {
    thread::spawn(move || {
        let mut delays = Vec::new();
        let mut buffer = [0; 2048];
        while !ended.load(Ordering::Relaxed) {
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            // Reports come from other ports and are shorter.
            if length != HEADER + PAYLOAD {
                continue;
            }
            let mut sent = [0; 8];
            sent.copy_from_slice(&buffer[HEADER..HEADER + 8]);
            let delay = ((now() - begun).as_micros() as u64).saturating_sub(u64::from_be_bytes(sent));
            delays.push(u32::try_from(delay).unwrap_or(u32::MAX));
            heard.fetch_add(1, Ordering::Relaxed);
        }
        delays
    })
}

fn socket() -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    Ok(socket)
}

/// The processor time of a process's threads whose names end so, since they began, in seconds.
fn processor_time(process: &str, names: &str) -> anyhow::Result<f64> {
    let mut ticks = 0_u64;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once(") ") else { continue };
        if name.ends_with(names) {
            // Fields 14 and 15 of proc_pid_stat(5): what follows the name begins with the third.
            let fields: Vec<&str> = rest.split(' ').collect();
            ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        }
    }
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn allow_open_files(calls: usize) -> anyhow::Result<()> {
    let wanted = calls as u64 * 8 + 1024;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|now| now < wanted) {
        let most = maximum.map_or(wanted, |most| most.min(wanted));
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).context("raising open files")?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a load generator keeps time")]
fn wait_until(moment: Instant) {
    if let Some(rest) = moment.checked_duration_since(now()) {
        thread::sleep(rest);
    }
}
