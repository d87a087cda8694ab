//! What both telephones have: a socket for SIP, one for sound, and a memory of every byte that came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rand::RngExt;

use super::ladder::{Ladder, Who};
use super::message::Message;
use crate::clock::{generator, stopwatch};

/// A telephone.
pub struct Telephone {
    sip: UdpSocket,
    sound: UdpSocket,
    who: Who,
    ladder: Ladder,
    /// Every datagram of SIP that came.
    pub received: Vec<Vec<u8>>,
}

/// How long sound that the other side has sent may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(3);

/// How long one look at the socket waits.
const LOOK: Duration = Duration::from_millis(20);

impl Telephone {
    /// A telephone at this address.
    pub fn new(who: Who, at: Ipv4Addr, ladder: Ladder) -> io::Result<Telephone> {
        let [sip, sound] = [UdpSocket::bind((at, 0))?, UdpSocket::bind((at, 0))?];
        sip.set_read_timeout(Some(LOOK))?;
        sound.set_read_timeout(Some(LOOK))?;
        Ok(Telephone { sip, sound, who, ladder, received: Vec::new() })
    }

    /// Where it takes SIP.
    pub fn address(&self) -> SocketAddr {
        self.sip.local_addr().expect("law: a bound socket has an address")
    }

    /// Sends a message.
    pub fn send(&self, text: &str, to: SocketAddr) -> io::Result<()> {
        self.ladder.write(self.who, true, &told(text));
        self.sip.send_to(text.as_bytes(), to).map(drop)
    }

    /// The next message, unless none comes in a moment.
    pub fn look(&mut self) -> io::Result<Option<(Message, SocketAddr)>> {
        let mut datagram = vec![0; 65_535];
        match self.sip.recv_from(&mut datagram) {
            Ok((length, from)) => {
                datagram.truncate(length);
                let Some(message) = Message::read(&datagram) else { return Ok(None) };
                self.ladder.write(self.who, false, &told(&String::from_utf8_lossy(&datagram)));
                self.received.push(datagram);
                Ok(Some((message, from)))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A description of its sound: G.711 and keys.
    pub fn describe(&self) -> String {
        let sound = self.sound.local_addr().expect("law: a bound socket has an address");
        let (at, port) = (sound.ip(), sound.port());
        format!(
            "v=0\r\no=- {} 1 IN IP4 {at}\r\ns=-\r\nc=IN IP4 {at}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\na=sendrecv\r\n",
            self.address().port()
        )
    }

    /// Sends packets of 20 ms of sound, each with this byte alone, and counts those that come, up to as many, and carry
    /// `expected` alone.
    pub fn talk(&self, to: SocketAddr, packets: u16, byte: u8, expected: u8) -> io::Result<u16> {
        let mut heard = 0;
        let ssrc: u32 = generator().random();
        for n in 0..packets {
            let mut packet = rtp(0, n, u32::from(n) * 160, ssrc, n == 0);
            packet.extend([byte; 160]);
            self.sound.send_to(&packet, to)?;
            heard += self.hear(expected)?;
        }
        let began = stopwatch();
        while heard < packets && began.elapsed() < ON_ITS_WAY {
            heard += self.hear(expected)?;
        }
        Ok(heard)
    }

    /// Counts the packets of one look.
    fn hear(&self, expected: u8) -> io::Result<u16> {
        let mut heard = 0;
        let mut packet = [0; 2_048];
        let began = stopwatch();
        while began.elapsed() < LOOK {
            match self.sound.recv_from(&mut packet) {
                Ok((length, _)) if length > 12 && packet[12..length].iter().all(|b| *b == expected) => {
                    heard += 1;
                }
                Ok(_) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(heard)
    }

    /// Presses keys as RFC 4733 tells them: each three times begun and three times ended.
    pub fn press(&self, to: SocketAddr, keys: &str) -> io::Result<()> {
        let ssrc: u32 = generator().random();
        let mut sequence = 0;
        for (place, key) in (1_u32..).zip(keys.chars()) {
            let event = match key {
                '*' => 10,
                '#' => 11,
                digit => digit.to_digit(10).and_then(|d| u8::try_from(d).ok()).unwrap_or_default(),
            };
            for (n, end) in [false, false, false, true, true, true].into_iter().enumerate() {
                let mut packet = rtp(101, sequence, place * 1_600, ssrc, n == 0);
                let duration = if end { 800_u16 } else { 160 * (u16::try_from(n).unwrap_or(0) + 1) };
                packet.extend([event, if end { 0x8a } else { 0x0a }]);
                packet.extend(duration.to_be_bytes());
                self.sound.send_to(&packet, to)?;
                sequence += 1;
                self.hear(0)?;
            }
        }
        Ok(())
    }
}

fn rtp(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, marker: bool) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type | (u8::from(marker) << 7)];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet
}

/// A message as a rung of the ladder tells it.
fn told(text: &str) -> String {
    let start = text.lines().next().unwrap_or_default();
    let told = match start.strip_prefix("SIP/2.0 ") {
        Some(status) => status.to_owned(),
        None => start.split(' ').next().unwrap_or_default().to_owned(),
    };
    let with = if text.contains("\r\nm=audio") { " (sound)" } else { "" };
    format!(" {told}{with} ")
}

/// A word that nobody else has.
pub fn token() -> String {
    format!("{:016x}", generator().random::<u64>())
}
