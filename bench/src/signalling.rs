//! Calls a second: callveil with a record for each call, beside SIPp to SIPp and a Kamailio that masks from a table.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::figures::{median, report, say};
use crate::sipp::{self, Became, Called, Calls};
use crate::world::{Server, World, pause};

/// How long each call talks.
const TALK: Duration = Duration::from_millis(300);

/// How long each rate is held.
const SECONDS: u32 = 8;

/// The rates that are tried, in this order, until one is not clean.
const RATES: [u32; 7] = [500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000];

/// What a world of calls needs: the server on a pool, a carrier's file of callers, and the telephone.
pub struct Lines {
    world: World,
    people: std::path::PathBuf,
    /// Where the telephone answers.
    pub called: SocketAddr,
}

impl Lines {
    /// A world whose trunk leads to a telephone of its own.
    pub async fn new(live: u64) -> anyhow::Result<Lines> {
        let world = World::with(live).await?;
        let pairs = world.pairs().await?;
        let people = sipp::people(world.path(), pairs.iter().map(|p| (p.caller, p.dialled)))?;
        Ok(Lines { world, people, called: free_udp_port()? })
    }

    /// Starts callveil with a trunk to the telephone.
    pub async fn serve(&self) -> anyhow::Result<(Server, SocketAddr)> {
        let sip = free_udp_port()?;
        Ok((self.world.serve_calls(sip, self.called).await?, sip))
    }

    /// Makes calls at a rate.
    pub async fn call(&self, to: SocketAddr, rate: u32, count: u32) -> anyhow::Result<Became> {
        let calls = Calls { to, rate, count, talk: TALK, people: &self.people };
        sipp::make(&calls, free_udp_port()?, self.world.path()).await
    }

    /// The directory of the world.
    pub fn path(&self) -> &Path {
        self.world.path()
    }

    /// How many calls the database has on record as ended.
    pub fn records(&self) -> anyhow::Result<u64> {
        self.world.records()
    }
}

/// Finds the highest clean rate of each in alternating rounds.
pub async fn signalling(rounds: u64) -> anyhow::Result<()> {
    say("\nSignalling: SIPp at both ends on the same cores, 300 ms a call, a durable record a call");
    let (mut bare, mut peer, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cost, mut peer_cost) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let lines = Lines::new(20_000).await?;
        let _called = Called::start(lines.called, lines.path())?;
        pause(Duration::from_secs(1)).await;
        bare.push(climb(&lines, lines.called, "SIPp to SIPp", None, &mut Vec::new()).await?);
        {
            let kamailio = Kamailio::start(lines.called, lines.path()).await?;
            let pids = Some(kamailio.child.id());
            peer.push(climb(&lines, kamailio.address, "Kamailio", pids, &mut peer_cost).await?);
        }
        let (server, sip) = lines.serve().await?;
        ours.push(climb(&lines, sip, "callveil", Some(server.id()), &mut cost).await?);
    }
    let (bare, peer, ours) = (median(bare), median(peer), median(ours));
    say(&format!("ceiling: SIPp to SIPp, clean up to                         {bare:.0} calls/s"));
    say(&format!(
        "Kamailio with dialog, masking from a table, clean up to    {peer:.0} calls/s, {:.0} us a call at 1,000/s",
        median(peer_cost)
    ));
    report(
        "callveil, a record a call, clean up to",
        &format!("{ours:.0} calls/s, {:.0} us a call at 1,000/s", median(cost)),
        "ahead of Kamailio",
        ours > peer,
    );
    Ok(())
}

/// Calls at a steady rate: none may fail, and each leaves its record.
pub async fn steady(rate: u32, count: u32) -> anyhow::Result<()> {
    say(&format!("\nSteady: {count} calls at {rate}/s"));
    let lines = Lines::new(20_000).await?;
    let _called = Called::start(lines.called, lines.path())?;
    let (server, sip) = lines.serve().await?;
    let warm = lines.call(sip, 200, 400).await?;
    if !warm.clean() {
        bail!("the calls that warm up are not clean: {warm:?}");
    }
    let before = server.processor_seconds()?;
    let idle = server.resident_mib()?;
    let became = lines.call(sip, rate, count).await?;
    let used = (server.processor_seconds()? - before) / f64::from(count) * 1e6;
    let memory = server.resident_mib()?;
    pause(Duration::from_secs(2)).await;
    let records = lines.records()?;
    report(
        &format!("{rate} calls/s, {count} calls"),
        &format!("{} failed, {} sent again, {records} records", became.failed, became.sent_again),
        "0 failed, 0 sent again",
        became.clean() && records >= u64::from(count) + 400,
    );
    // The calls of the last 32 s (64 x T1) are what their timers keep.
    let kept = (memory - idle) * 1_024.0 / (f64::from(rate) * became.seconds.min(32.0));
    report(
        "memory a call in its 32 s",
        &format!("{kept:.1} KiB, {memory:.0} MiB in all, {used:.0} us of processor a call"),
        "at most 16 KiB",
        kept <= 16.0,
    );
    Ok(())
}

/// Climbs the rates while they are clean and tells the last clean one.
async fn climb(
    lines: &Lines,
    to: SocketAddr,
    what: &str,
    process: Option<u32>,
    cost: &mut Vec<f64>,
) -> anyhow::Result<f64> {
    let warm = lines.call(to, 100, 200).await?;
    let mut clean = 0;
    for rate in RATES {
        let before = process.map(processor_seconds).transpose()?;
        let became = lines.call(to, rate, rate * SECONDS).await?;
        if let (Some(process), Some(before), 1_000) = (process, before, rate) {
            cost.push((processor_seconds(process)? - before) / f64::from(rate * SECONDS) * 1e6);
        }
        say(&format!(
            "  {what:<14} {rate:>5}/s: {} whole, {} failed, {} sent again",
            became.whole, became.failed, became.sent_again
        ));
        if !became.clean() {
            break;
        }
        clean = rate;
    }
    if clean == 0 && !warm.clean() {
        bail!("{what} is not clean even at 100/s: {warm:?}");
    }
    Ok(f64::from(clean))
}

/// Debian's Kamailio as a masking proxy.
struct Kamailio {
    child: Child,
    address: SocketAddr,
}

impl Kamailio {
    async fn start(called: SocketAddr, directory: &Path) -> anyhow::Result<Kamailio> {
        let address = free_udp_port()?;
        let written = include_str!("../sipp/mask.cfg")
            .replace("LISTENHOST", &address.to_string())
            .replace("LISTEN", &address.to_string())
            .replace("CALLED", &called.to_string());
        let path = directory.join("kamailio.cfg");
        std::fs::write(&path, written)?;
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "1024", "-M", "16", "-f"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting kamailio (Debian's package of this name)")?;
        pause(Duration::from_secs(2)).await;
        Ok(Kamailio { child, address })
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // The first process ends its workers on SIGTERM, and cannot on SIGKILL.
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The processor time that a process and its children have used, in seconds.
fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    let mut ticks = ticks_of(process)?;
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    for child in children.split_whitespace() {
        ticks += ticks_of(child.parse()?)?;
    }
    Ok(ticks / 100.0)
}

fn ticks_of(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    Ok(fields[11].parse::<f64>()? + fields[12].parse::<f64>()?)
}

/// A UDP port of loopback that nobody has now.
pub fn free_udp_port() -> anyhow::Result<SocketAddr> {
    Ok(UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?)
}
