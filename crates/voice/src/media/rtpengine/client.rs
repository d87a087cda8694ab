//! Orders to rtpengine over UDP (its ng protocol): a cookie, a space, and a coded dictionary, answered under the cookie.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::bencode::{Dictionary, Value};
use crate::media::MediaError;

/// How long each sending of an order waits for its answer. An order that comes twice is answered as it was the first
/// time, since its cookie is the same.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_millis(1500), Duration::from_millis(3000)];

/// The longest datagram there is.
const LONGEST: usize = 65_536;

/// Answers by the cookie of their order.
type Waiting = Arc<Mutex<BTreeMap<String, oneshot::Sender<Value>>>>;

/// A line to one rtpengine.
#[derive(Debug)]
pub struct Client {
    socket: Arc<UdpSocket>,
    waiting: Waiting,
    /// Makes our cookies unlike those of others, and of ourselves before a restart.
    prefix: String,
    count: AtomicU64,
    reader: AbortHandle,
}

impl Client {
    /// Opens a line. Nothing is sent yet.
    pub async fn open(at: SocketAddr, prefix: String) -> io::Result<Client> {
        let any = match at.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = Arc::new(UdpSocket::bind((any, 0)).await?);
        socket.connect(at).await?;
        let waiting = Waiting::default();
        let reader = tokio::spawn(read(socket.clone(), waiting.clone())).abort_handle();
        Ok(Client { socket, waiting, prefix, count: AtomicU64::new(0), reader })
    }

    /// Gives an order and answers with what came of it.
    pub async fn order(&self, command: &str, mut order: Dictionary) -> Result<Value, MediaError> {
        order.insert("command".to_owned(), Value::text(command));
        let cookie = format!("{}{}", self.prefix, self.count.fetch_add(1, Ordering::Relaxed));
        let datagram = [cookie.as_bytes(), b" ", &Value::Dictionary(order).to_bytes()].concat();
        let (sender, mut answer) = oneshot::channel();
        lock(&self.waiting).insert(cookie.clone(), sender);
        for patience in PATIENCE {
            // A refusal by the network comes as an error of a later call, and is no answer.
            let _ = self.socket.send(&datagram).await;
            if let Ok(Ok(answer)) = timeout(patience, &mut answer).await {
                return judged(command, answer);
            }
        }
        lock(&self.waiting).remove(&cookie);
        Err(MediaError::Failed(format!("rtpengine did not answer {command}")))
    }
}

/// An order's answer: what it is about, or why there is nothing.
fn judged(command: &str, answer: Value) -> Result<Value, MediaError> {
    if answer.get("result").and_then(Value::as_text) == Some("error") {
        let why = answer.get("error-reason").and_then(Value::as_text).unwrap_or("without a reason");
        return Err(MediaError::Failed(format!("rtpengine refused {command}: {why}")));
    }
    Ok(answer)
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(socket: Arc<UdpSocket>, waiting: Waiting) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // Errors tell that nobody listens there, which those who wait will notice by the time.
        let Ok(length) = socket.recv(&mut buffer).await else { continue };
        let Some((cookie, answer)) = split(&buffer[..length]) else { continue };
        if let Some(sender) = lock(&waiting).remove(cookie) {
            let _ = sender.send(answer);
        }
    }
}

fn split(datagram: &[u8]) -> Option<(&str, Value)> {
    let space = datagram.iter().position(|byte| *byte == b' ')?;
    Some((str::from_utf8(&datagram[..space]).ok()?, Value::parse(&datagram[space + 1..])?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
