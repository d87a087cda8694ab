//! A telephone of a test's own: a SIP socket whose every byte is kept, and a pair of sockets for sound.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long one look at a socket takes when nothing comes.
const LOOK: Duration = Duration::from_millis(20);

/// So often a telephone looks before it gives up: for half a minute.
pub const LOOKS: usize = 1_500;

/// So often before it says again what may have been lost.
const A_FEW: usize = 25;

/// A telephone.
pub struct Phone {
    pub sip: UdpSocket,
    /// The address of its SIP.
    pub at: SocketAddr,
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    /// All that it has heard by SIP, RTP and RTCP.
    pub heard: Vec<u8>,
    /// What came while something else was waited for.
    waiting: Vec<Message>,
}

impl Phone {
    pub fn new() -> Phone {
        let sip = socket(0);
        let (rtp, rtcp) = sound();
        Phone { at: sip.local_addr().unwrap(), sip, rtp, rtcp, heard: Vec::new(), waiting: Vec::new() }
    }

    /// Its port for sound.
    pub fn sound(&self) -> u16 {
        self.rtp.local_addr().unwrap().port()
    }

    /// Gives what it heard of a call, and forgets what came late.
    pub fn forget(&mut self) -> Vec<u8> {
        self.waiting.clear();
        std::mem::take(&mut self.heard)
    }

    pub fn say(&self, to: SocketAddr, text: &str) {
        self.sip.send_to(text.as_bytes(), to).unwrap();
    }

    /// Waits for the message that it is to hear next; what is another is kept for later.
    #[track_caller]
    pub fn hears(&mut self, what: &str, mut is: impl FnMut(&Message) -> bool) -> Message {
        if let Some(at) = self.waiting.iter().position(&mut is) {
            return self.waiting.remove(at);
        }
        let mut others = String::new();
        for _ in 0..LOOKS {
            let Some(message) = self.next() else { continue };
            if is(&message) {
                return message;
            }
            writeln!(others, "{}", message.start).unwrap();
            self.waiting.push(message);
        }
        panic!("{what} was not heard, but\n{others}")
    }

    /// The message, if it comes within a few looks.
    pub fn hears_soon(&mut self, mut is: impl FnMut(&Message) -> bool) -> Option<Message> {
        for _ in 0..A_FEW {
            if let Some(message) = self.next()
                && is(&message)
            {
                return Some(message);
            }
        }
        None
    }

    /// Says something again and again until it hears the answer.
    #[track_caller]
    pub fn insists(&mut self, to: SocketAddr, text: &str, mut is: impl FnMut(&Message) -> bool) -> Message {
        for _ in 0..LOOKS / A_FEW {
            self.say(to, text);
            if let Some(message) = self.hears_soon(&mut is) {
                return message;
            }
        }
        panic!("no answer to {text}")
    }

    /// The next message, if one comes soon.
    pub fn next(&mut self) -> Option<Message> {
        let mut buffer = [0; 65_536];
        let length = self.sip.recv(&mut buffer).ok()?;
        self.heard.extend(&buffer[..length]);
        Message::read(&buffer[..length])
    }

    /// The next packet of sound, if one comes soon.
    pub fn next_sound(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2_048];
        let length = self.rtp.recv(&mut buffer).ok()?;
        self.heard.extend(&buffer[..length]);
        Some(buffer[..length].to_vec())
    }

    /// What came of reports, without waiting for more.
    pub fn reports(&mut self) {
        let mut buffer = [0; 2_048];
        self.rtcp.set_nonblocking(true).unwrap();
        while let Ok(length) = self.rtcp.recv(&mut buffer) {
            self.heard.extend(&buffer[..length]);
        }
        self.rtcp.set_nonblocking(false).unwrap();
    }
}

fn socket(port: u16) -> UdpSocket {
    try_socket(port).unwrap()
}

fn try_socket(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(socket)
}

/// Sockets for RTP and RTCP, at a port and at the one after it.
fn sound() -> (UdpSocket, UdpSocket) {
    loop {
        let rtp = socket(0);
        let port = rtp.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = try_socket(port + 1)
        {
            return (rtp, rtcp);
        }
    }
}

/// A message of SIP, as far as a telephone needs it.
#[derive(Clone, Debug)]
pub struct Message {
    pub start: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    fn read(bytes: &[u8]) -> Option<Message> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
        Some(Message { start, fields, body: body.to_owned() })
    }

    /// The first field of a name.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub fn find(&self, name: &str) -> Option<&str> {
        let named = self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Its method; none of a response.
    pub fn method(&self) -> Option<&str> {
        self.start.strip_suffix(" SIP/2.0")?.split(' ').next()
    }

    /// Its status; none of a request.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method that CSeq tells.
    pub fn of(&self) -> &str {
        self.field("CSeq").split(' ').nth(1).unwrap()
    }

    /// The address in a field, without its brackets.
    pub fn address(&self, name: &str) -> &str {
        let value = self.field(name);
        let inside = value.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        inside.map_or(value, |(inside, _)| inside)
    }

    /// Where its sound is to be sent.
    pub fn sound(&self) -> Option<SocketAddr> {
        let line = |begin: &str| self.body.lines().find_map(|line| line.strip_prefix(begin));
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        let address: Ipv4Addr = line("c=IN IP4 ")?.trim().parse().ok()?;
        Some(SocketAddr::from((address, port)))
    }

    /// Is it a final answer to this method?
    pub fn settles(&self, method: &str) -> bool {
        self.status().is_some_and(|status| status >= 200) && self.of() == method
    }
}
