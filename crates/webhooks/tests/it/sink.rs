//! A receiver of webhooks that answers as it is told, and remembers what it got.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::interval;

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers, with these headers and a short body.
    Status(u16, Vec<(&'static str, String)>),
    /// Answers 200 with a body that has no end.
    Endless,
    /// Takes the request and says nothing.
    Hang,
    /// Closes the connection.
    Close,
    /// Answers a byte a second.
    Drip,
    /// Answers something else than HTTP.
    Babble,
}

pub const OK: Reply = Reply::Status(200, Vec::new());

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }
}

type Replies = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A running receiver. It is gone when it is dropped.
pub struct Sink {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Sink {
    pub async fn start(replies: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Sink {
        Sink::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), replies)
    }

    pub fn on(listener: TcpListener, replies: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Sink {
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let replies: Replies = Arc::new(replies);
        let (seen, count) = (Arc::clone(&requests), Arc::clone(&connections));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&replies), Arc::clone(&seen)));
            }
        });
        Sink { address, requests, connections, listening }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(stream: TcpStream, replies: Replies, seen: Arc<Mutex<Vec<Request>>>) {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    while let Some(request) = read(&mut reading).await {
        let reply = replies(&request);
        seen.lock().unwrap().push(request);
        if !answer(&mut writing, reply).await {
            return;
        }
    }
}

async fn read(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok().filter(|n| *n > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(Request { line: line.trim_end().to_owned(), headers, body })
}

/// Whether the connection may be used again.
async fn answer(stream: &mut (impl AsyncWriteExt + Unpin), reply: Reply) -> bool {
    match reply {
        Reply::Status(status, headers) => {
            let mut head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 5\r\n");
            for (name, value) in &headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            let closes = headers.iter().any(|(name, _)| *name == "connection");
            stream.write_all(format!("{head}\r\nhello").as_bytes()).await.is_ok() && !closes
        }
        Reply::Endless => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            let mut going = stream.write_all(head.as_bytes()).await.is_ok();
            while going {
                going = stream.write_all(chunk.as_bytes()).await.is_ok();
            }
            false
        }
        Reply::Hang => std::future::pending().await,
        Reply::Close => false,
        Reply::Drip => {
            let mut seconds = interval(Duration::from_secs(1));
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" {
                seconds.tick().await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            false
        }
        Reply::Babble => {
            let _ = stream.write_all(b"220 mail ready\r\n").await;
            false
        }
    }
}
