//! A load generator for HTTP/1.1 on loopback: so many connections, each with one request under way, for so long.
//!
//! It shares the machine's cores with what it measures, so it does as little as it can: a request is one buffer
//! written whole, an answer is read until its `Content-Length` is there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::figures::Latencies;

/// Writes the n-th request of all into the buffer.
pub type Requests = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

/// What a load met.
pub struct Load {
    /// Answers of status 200 in a second.
    pub rate: f64,
    /// How long each took.
    pub latencies: Latencies,
    /// Answers of another status.
    pub others: u64,
}

/// Sends requests for `length` over `connections` and waits for each answer.
pub async fn run(
    address: SocketAddr,
    connections: usize,
    length: Duration,
    requests: Requests,
) -> anyhow::Result<Load> {
    let serial = Arc::new(AtomicU64::new(0));
    let begin = now();
    let workers: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(worker(address, begin + length, Arc::clone(&serial), Arc::clone(&requests))))
        .collect();
    Load::gather(workers, begin).await
}

/// What one worker met: how long each granted request took, in microseconds, and how many were not.
pub type Met = anyhow::Result<(Vec<u32>, u64)>;

impl Load {
    /// Waits for all workers and puts together what they met since `begin`.
    pub async fn gather(workers: Vec<JoinHandle<Met>>, begin: Instant) -> anyhow::Result<Load> {
        let mut latencies = Latencies::default();
        let mut others = 0;
        for worker in workers {
            let (mine, other) = worker.await??;
            latencies.add(mine);
            others += other;
        }
        Ok(Load { rate: latencies.count() as f64 / begin.elapsed().as_secs_f64(), latencies, others })
    }
}

async fn worker(address: SocketAddr, end: Instant, serial: Arc<AtomicU64>, requests: Requests) -> Met {
    let mut stream = TcpStream::connect(address).await.context("connecting to the server")?;
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(1_024);
    let mut answer = Vec::with_capacity(2_048);
    let mut latencies = Vec::new();
    let mut others = 0;
    loop {
        let sent = now();
        if sent >= end {
            return Ok((latencies, others));
        }
        request.clear();
        requests(serial.fetch_add(1, Ordering::Relaxed), &mut request);
        stream.write_all(&request).await?;
        let status = read_answer(&mut stream, &mut answer).await?;
        let micros = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
        if status == 200 { latencies.push(micros) } else { others += 1 }
    }
}

async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<u16> {
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            bail!("the server closed a connection");
        }
        let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head])?;
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .context("an answer without a length")?;
        if answer.len() >= head + 4 + length {
            return text.get(9..12).and_then(|s| s.parse().ok()).context("an answer without a status");
        }
    }
}

/// A driver's clock: figures are taken with it.
#[expect(clippy::disallowed_methods, reason = "a load generator measures the time that passes")]
pub fn now() -> Instant {
    Instant::now()
}
