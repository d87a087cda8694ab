//! RTCP of each leg's own (RFC 3550 6): reports under a name of ours. Of what a peer sends only the time of its
//! sender's reports is read; nothing of it reaches another leg, and its BYE is not believed.

use std::time::Duration;

use super::stream::Report;

/// How often a leg is sent a report.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// A compound packet of ours.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    /// Our name for the stream that we send.
    pub ssrc: u32,
    /// What we have sent, if anything.
    pub sent: Option<Sent>,
    /// What we have received, if anything.
    pub received: Option<Report>,
    /// Our name, which is random.
    pub cname: &'a str,
    /// Whether the stream ends.
    pub bye: bool,
}

/// What we have sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The moment, since the beginning of the call: a wall clock would tell where we are (RFC 3550 4).
    pub at: Duration,
    /// The same moment as a timestamp.
    pub timestamp: u32,
    /// Packets.
    pub packets: u32,
    /// Bytes of payload.
    pub octets: u32,
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

impl Compound<'_> {
    /// The bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        let reports = u8::from(self.received.is_some());
        let kind = if self.sent.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
        packet(&mut bytes, kind, reports, |bytes| {
            bytes.extend(self.ssrc.to_be_bytes());
            if let Some(sent) = self.sent {
                bytes.extend((sent.at.as_secs() as u32).to_be_bytes());
                bytes.extend(fraction(sent.at).to_be_bytes());
                bytes.extend(sent.timestamp.to_be_bytes());
                bytes.extend(sent.packets.to_be_bytes());
                bytes.extend(sent.octets.to_be_bytes());
            }
            if let Some(report) = self.received {
                bytes.extend(report.ssrc.to_be_bytes());
                let lost = u32::from(report.fraction_lost) << 24 | report.cumulative_lost;
                bytes.extend(lost.to_be_bytes());
                bytes.extend(report.highest.to_be_bytes());
                bytes.extend(report.jitter.to_be_bytes());
                bytes.extend(report.last_report.to_be_bytes());
                bytes.extend(report.delay.to_be_bytes());
            }
        });
        packet(&mut bytes, DESCRIPTION, 1, |bytes| {
            bytes.extend(self.ssrc.to_be_bytes());
            bytes.push(1);
            bytes.push(u8::try_from(self.cname.len()).expect("law: our names are short"));
            bytes.extend(self.cname.as_bytes());
            // One zero at least ends the list of items.
            bytes.push(0);
        });
        if self.bye {
            packet(&mut bytes, BYE, 1, |bytes| bytes.extend(self.ssrc.to_be_bytes()));
        }
        bytes
    }
}

/// Writes one packet: its header, what `body` writes, and zeros to a whole number of words.
fn packet(bytes: &mut Vec<u8>, kind: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = bytes.len();
    bytes.extend([0x80 | count, kind, 0, 0]);
    body(bytes);
    while !(bytes.len() - begin).is_multiple_of(4) {
        bytes.push(0);
    }
    let words = u16::try_from((bytes.len() - begin) / 4 - 1).expect("law: our packets are short");
    bytes[begin + 2..begin + 4].copy_from_slice(&words.to_be_bytes());
}

fn fraction(at: Duration) -> u32 {
    ((u64::from(at.subsec_nanos()) << 32) / 1_000_000_000) as u32
}

/// The sender and the middle of the time of a sender's report, when a compound packet begins with one.
pub fn sender_report(bytes: &[u8]) -> Option<(u32, u32)> {
    let report: &[u8; 20] = bytes.first_chunk()?;
    if report[0] >> 6 != 2 || report[1] != SENDER_REPORT {
        return None;
    }
    let word = |at: usize| u32::from_be_bytes([report[at], report[at + 1], report[at + 2], report[at + 3]]);
    Some((word(4), (word(8) << 16) | (word(12) >> 16)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOUND: Compound<'static> = Compound {
        ssrc: 0x0102_0304,
        sent: Some(Sent { at: Duration::from_millis(1500), timestamp: 7, packets: 8, octets: 9 }),
        received: None,
        cname: "abcdef",
        bye: false,
    };

    #[test]
    fn a_report_names_nobody_and_fills_whole_words() {
        let bytes = Compound { bye: true, ..COMPOUND }.to_bytes();

        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(bytes[..4], [0x80, 200, 0, 6]);
        assert_eq!(bytes[28..32], [0x81, 202, 0, 4]);
        assert_eq!(bytes[36..44], [1, 6, b'a', b'b', b'c', b'd', b'e', b'f']);
        assert_eq!(bytes[48..], [0x81, 203, 0, 1, 1, 2, 3, 4]);
    }

    #[test]
    fn the_middle_of_a_senders_time_is_read() {
        assert_eq!(sender_report(&COMPOUND.to_bytes()), Some((0x0102_0304, 0x0001_8000)));
    }

    #[test]
    fn other_packets_are_no_senders_report() {
        let receiver = Compound { sent: None, ..COMPOUND };

        assert_eq!(sender_report(&receiver.to_bytes()), None);
        assert_eq!(sender_report(&[0x80, 200]), None);
    }
}
