//! SIPp at both ends: a carrier that calls, and a telephone that answers.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::world::pause;

/// A telephone that answers every call, until dropped.
pub struct Called {
    child: Child,
}

impl Called {
    /// Starts it.
    pub fn start(address: SocketAddr, directory: &Path) -> anyhow::Result<Called> {
        let child = sipp("uas.xml", address, directory)?
            .args(["-rtp_echo", "-skip_rlimit"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .context("starting SIPp (Debian's sip-tester)")?;
        Ok(Called { child })
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A load of calls.
pub struct Calls<'a> {
    /// Whom to send them to.
    pub to: SocketAddr,
    /// How many begin in a second.
    pub rate: u32,
    /// How many there are in all.
    pub count: u32,
    /// How long each talks.
    pub talk: Duration,
    /// The file with the callers and what they dial.
    pub people: &'a Path,
}

/// What became of the calls.
#[derive(Clone, Copy, Debug)]
pub struct Became {
    /// Calls that went through from INVITE to the answer to BYE.
    pub whole: u64,
    /// Calls that did not.
    pub failed: u64,
    /// Messages that SIPp had to send again.
    pub sent_again: u64,
    /// How long it took in all, in seconds.
    pub seconds: f64,
}

impl Became {
    /// Whether nothing failed and nothing was sent again.
    pub fn clean(&self) -> bool {
        self.failed == 0 && self.sent_again == 0
    }
}

/// Makes calls and waits until the last has ended.
pub async fn make(calls: &Calls<'_>, from: SocketAddr, directory: &Path) -> anyhow::Result<Became> {
    let figures = directory.join(format!("calls-{}.csv", from.port()));
    let began = crate::load::now();
    let mut child = sipp("uac.xml", from, directory)?
        .arg(calls.to.to_string())
        .args(["-r", &calls.rate.to_string(), "-m", &calls.count.to_string()])
        .args(["-l", &(calls.rate * 20).to_string()])
        .args(["-d", &calls.talk.as_millis().to_string()])
        .arg("-inf")
        .arg(calls.people)
        .args(["-skip_rlimit", "-trace_stat", "-fd", "1", "-timeout", "300", "-stf"])
        .arg(&figures)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .context("starting SIPp")?;
    // SIPp waits by itself for no longer than its own time-out.
    while child.try_wait()?.is_none() {
        pause(Duration::from_millis(50)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let text = std::fs::read_to_string(&figures).context("reading SIPp's figures")?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
    let last: Vec<&str> = lines.last().context("SIPp wrote no figures")?.split(';').collect();
    let figure = |name: &str| -> anyhow::Result<u64> {
        let at = head.iter().position(|h| *h == name).with_context(|| format!("SIPp tells no {name}"))?;
        Ok(last.get(at).context("a short line of figures")?.trim().parse()?)
    };
    Ok(Became {
        whole: figure("SuccessfulCall(C)")?,
        failed: figure("FailedCall(C)")?,
        sent_again: figure("Retransmissions(C)")?,
        seconds,
    })
}

/// Writes a file of callers: who calls, and what is dialled.
pub fn people(directory: &Path, pairs: impl Iterator<Item = (u64, u64)>) -> anyhow::Result<PathBuf> {
    let path = directory.join("people.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    writeln!(file, "SEQUENTIAL")?;
    for (caller, dialled) in pairs {
        writeln!(file, "{caller};{dialled};")?;
    }
    file.flush()?;
    Ok(path)
}

fn sipp(scenario: &str, local: SocketAddr, directory: &Path) -> anyhow::Result<Command> {
    let scenario = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/sipp")).join(scenario);
    if !scenario.exists() {
        bail!("{} is not there", scenario.display());
    }
    let mut command = Command::new("sipp");
    command
        .current_dir(directory)
        .arg("-sf")
        .arg(scenario)
        .args(["-i", &local.ip().to_string(), "-p", &local.port().to_string()])
        .args(["-buff_size", "4194304", "-nostdin"]);
    Ok(command)
}
