//! A client of HTTP/1.1 that keeps its connection, waits no longer than it is told, and tells a request that was
//! answered from one that may or may not have been heard.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection, opened when it is needed.
pub struct Client {
    server: SocketAddr,
    /// What comes before each path.
    base: String,
    user: String,
    password: String,
    open: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(server: SocketAddr, base: &str, user: &str, password: &str) -> Client {
        Client {
            server,
            base: base.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            open: None,
        }
    }

    /// Asks, and insists on an answer.
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_ask(method, path, body).unwrap_or_else(|e| panic!("{method} {path} got no answer: {e}"))
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some(body))
    }

    pub fn put(&mut self, path: &str, body: &Value) -> Answer {
        self.ask("PUT", path, Some(body))
    }

    pub fn delete(&mut self, path: &str) -> Answer {
        self.ask("DELETE", path, None)
    }

    /// Asks. An error means that nobody knows whether the request was acted on.
    pub fn try_ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let answer = self.exchange(method, path, body);
        if !answer.as_ref().is_ok_and(Answer::keeps_connection) {
            self.open = None;
        }
        answer
    }

    fn exchange(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.base,
            self.server,
            base64(&format!("{}:{}", self.user, self.password)),
            body.len(),
        );
        let connection = match &mut self.open {
            Some(connection) => connection,
            none => none.insert(BufReader::new(connect(self.server)?)),
        };
        connection.get_mut().write_all(request.as_bytes())?;
        read_answer(connection)
    }

    /// Sends the beginning of a request and hands over the connection.
    pub fn begin(
        &self,
        method: &str,
        path: &str,
        body: &str,
        sent: usize,
    ) -> io::Result<BufReader<TcpStream>> {
        let mut stream = connect(self.server)?;
        let credentials = base64(&format!("{}:{}", self.user, self.password));
        write!(
            stream,
            "{method} {}{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\n\
             Content-Length: {}\r\n\r\n{}",
            self.base,
            self.server,
            body.len(),
            &body[..sent]
        )?;
        Ok(BufReader::new(stream))
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What came back.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned());
    let mut line = || {
        let mut line = String::new();
        match connection.read_line(&mut line)? {
            0 => Err(broken("the connection ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let status_line = line()?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status: status.ok_or_else(|| broken("no status"))?, headers, body: Vec::new() };
    let length: usize = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    answer.body.resize(length, 0);
    connection.read_exact(&mut answer.body)?;
    Ok(answer)
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{self:?} is not JSON: {e}"))
    }

    /// What the request was about, if it was granted.
    #[track_caller]
    pub fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["data"].clone()
    }

    fn keeps_connection(&self) -> bool {
        !self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| -> [char; 4] {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        std::array::from_fn(|i| match i <= chunk.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]),
            false => '=',
        })
    };
    text.as_bytes().chunks(3).flat_map(digits).collect()
}

#[test]
fn base64_is_what_it_is() {
    for (text, encoded) in [("", ""), ("k", "aw=="), ("k:", "azo="), ("k:t", "azp0"), ("k:tt", "azp0dA==")] {
        assert_eq!(base64(text), encoded);
    }
}
