//! A telephone for tests: it says and hears packets on a socket of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::leg::Description;
use crate::media::codec::Codec;
use crate::media::rtp::{self, Header, Packet};
use crate::media::sdp::{Direction, Format, Kind, Meaning, Media, Profile, Sdp};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Nothing here takes this long but on a machine that does something else.
const BOUND: Duration = Duration::from_secs(30);

/// Mu-law under its own number.
pub const PCMU: Format = Format { payload_type: 0, meaning: Meaning::Sound(Codec::Pcmu) };
/// A-law under its own number.
pub const PCMA: Format = Format { payload_type: 8, meaning: Meaning::Sound(Codec::Pcma) };

/// A telephone: a socket, and where it was told to send.
pub struct Phone {
    /// Where it was told to send.
    pub relay: SocketAddr,
    rtp: UdpSocket,
    payload_type: u8,
    sent: u16,
}

impl Phone {
    /// A telephone that sends under this payload type.
    pub async fn new(payload_type: u8) -> Phone {
        let rtp = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
        Phone { relay: rtp.local_addr().unwrap(), rtp, payload_type, sent: 0 }
    }

    /// What it offers or answers.
    pub fn description(&self, formats: &[Format]) -> Description {
        let at = self.rtp.local_addr().unwrap();
        let media = Media {
            kind: Kind::Audio,
            profile: Profile::Plain,
            at,
            rtcp: at,
            mux: true,
            formats: formats.to_vec(),
            direction: Direction::Both,
            ptime: Some(20),
            keys: Vec::new(),
        };
        Bytes::from(Sdp { id: 1, version: 1, media: vec![media] }.to_string())
    }

    /// Reads where to send from our description.
    pub fn learn(&mut self, description: &Description) {
        self.relay = Sdp::parse(description).unwrap().media[0].at;
    }

    /// Sends a packet of sound.
    pub async fn say(&mut self, payload: &[u8]) {
        self.sent += 1;
        let header = Header {
            marker: false,
            payload_type: self.payload_type,
            sequence: self.sent,
            timestamp: u32::from(self.sent) * 160,
            ssrc: self.ssrc(),
        };
        let packet = [&header.to_bytes()[..], payload].concat();
        self.rtp.send_to(&packet, self.relay).await.unwrap();
    }

    /// Presses a key: three packets while it lasts, three that say its end.
    pub async fn press(&mut self, event: u8) {
        let timestamp = u32::from(self.sent + 1) * 160;
        for packet in 0..6_u8 {
            self.sent += 1;
            let sequence = self.sent;
            let (end, lasted) = (u8::from(packet >= 3) << 7, u16::from(packet.min(3) + 1) * 160);
            let [high, low] = lasted.to_be_bytes();
            let header =
                Header { marker: packet == 0, payload_type: 101, sequence, timestamp, ssrc: self.ssrc() };
            let bytes = [&header.to_bytes()[..], &[event, end | 10, high, low]].concat();
            self.rtp.send_to(&bytes, self.relay).await.unwrap();
        }
    }

    fn ssrc(&self) -> u32 {
        0xfeed_0000 | u32::from(self.payload_type)
    }

    /// The next packet of sound, and where it came from.
    pub async fn hear(&self) -> (Header, Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = timeout(BOUND, self.rtp.recv_from(&mut buffer)).await.unwrap().unwrap();
            let bytes = &buffer[..length];
            if rtp::is_rtcp(bytes) {
                continue;
            }
            let packet = Packet::parse(bytes).unwrap();
            return (packet.header, packet.payload.to_vec(), from);
        }
    }
}
