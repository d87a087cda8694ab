//! The two streams of a leg: the one that we send, whose numbers are ours alone, and the one that comes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::rtp::{Header, ahead};
use crate::media::LegNumber;

/// The stream that a leg hears. Source, sequence numbers and timestamps begin at random and go on without a break,
/// whatever is put into it: nothing of another leg's stream can be read from them.
#[derive(Clone, Debug)]
pub struct Sender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// When the packet with the highest numbers was sent.
    at: Option<Duration>,
    following: Option<Following>,
    /// Packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub octets: u32,
}

/// Which stream is passed on, and how far its numbers are from ours.
#[derive(Clone, Copy, Debug)]
struct Following {
    leg: LegNumber,
    ssrc: u32,
    sequence_offset: u16,
    timestamp_offset: u32,
}

/// A jump of more packets than this is a new beginning of the stream that is passed on.
const LONGEST_JUMP: u16 = 3000;

impl Sender {
    /// A stream that begins with these numbers, which are random.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Sender {
        Sender { ssrc, sequence, timestamp, at: None, following: None, packets: 0, octets: 0 }
    }

    /// Our name for the stream.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Our timestamp at a moment.
    pub fn timestamp(&self, clock: u32, now: Duration) -> u32 {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        self.timestamp.wrapping_add(steps(passed, clock))
    }

    /// The header under which a packet of another leg is passed on.
    pub fn pass_on(
        &mut self,
        leg: LegNumber,
        header: Header,
        payload_type: u8,
        clock: u32,
        now: Duration,
    ) -> Header {
        let (offsets, begins) = match self.following {
            Some(known) if known.leg == leg && known.ssrc == header.ssrc && self.near(known, header) => {
                (known, false)
            }
            _ => (self.follow(leg, header, clock, now), true),
        };
        let sequence = header.sequence.wrapping_add(offsets.sequence_offset);
        let timestamp = header.timestamp.wrapping_add(offsets.timestamp_offset);
        if begins || ahead(sequence, self.sequence) > 0 {
            (self.sequence, self.timestamp, self.at) = (sequence, timestamp, Some(now));
        }
        Header { marker: header.marker || begins, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }

    /// The header of the next packet of our own making, which holds as many samples.
    pub fn own(&mut self, payload_type: u8, samples: u32, clock: u32, now: Duration) -> Header {
        let begins = self.following.take().is_some() || self.at.is_none();
        if begins {
            self.timestamp = self.timestamp(clock, now);
        } else {
            self.timestamp = self.timestamp.wrapping_add(samples);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.at = Some(now);
        Header {
            marker: begins,
            payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        }
    }

    /// Counts what was sent, for the sender's reports.
    pub fn count(&mut self, octets: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(octets).unwrap_or(u32::MAX));
    }

    fn near(&self, known: Following, header: Header) -> bool {
        let sequence = header.sequence.wrapping_add(known.sequence_offset);
        ahead(sequence, self.sequence).unsigned_abs() <= LONGEST_JUMP
    }

    fn follow(&mut self, leg: LegNumber, header: Header, clock: u32, now: Duration) -> Following {
        // A frame at least, lest two packets have one timestamp.
        let gap = self.at.map_or(0, |at| steps(now.saturating_sub(at), clock).max(clock / 50));
        let sequence = self.sequence.wrapping_add(1);
        let following = Following {
            leg,
            ssrc: header.ssrc,
            sequence_offset: sequence.wrapping_sub(header.sequence),
            timestamp_offset: self.timestamp.wrapping_add(gap).wrapping_sub(header.timestamp),
        };
        self.following = Some(following);
        following
    }
}

/// Steps of a clock in a time; as the timestamps do, they begin anew after 2^32.
pub fn steps(time: Duration, clock: u32) -> u32 {
    let steps = time.as_micros() * u128::from(clock) / 1_000_000;
    (steps & u128::from(u32::MAX)) as u32
}

/// Whose packets are taken before a leg's source is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// Those from the address that the peer described; the port may be another, as behind a NAT that rewrites ports.
    #[default]
    Described,
    /// Those of whoever is first, for peers behind a NAT that describe their inner address.
    First,
}

/// The stream that comes from a leg: from one source, which is settled by the first good packet and then stays until
/// the peer describes another.
#[derive(Clone, Debug)]
pub struct Receiver {
    sources: Sources,
    described: SocketAddr,
    settled: Option<SocketAddr>,
    heard: Option<Heard>,
    /// Packets taken, of all sources.
    pub packets: u64,
    /// Packets of strangers, which were dropped.
    pub strangers: u64,
}

/// What is known of one source's stream, for the receiver's reports (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug)]
struct Heard {
    ssrc: u32,
    first: u16,
    highest: u16,
    cycles: u32,
    packets: u32,
    /// Mean deviation of arrival, in 16ths of a step.
    jitter: u32,
    transit: u32,
    at: Duration,
    told: (u32, u32),
    report: Option<(u32, Duration)>,
}

/// A receiver's report on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 3550 6.4.1")]
pub struct Report {
    pub ssrc: u32,
    pub fraction_lost: u8,
    pub cumulative_lost: u32,
    pub highest: u32,
    pub jitter: u32,
    pub last_report: u32,
    pub delay: u32,
}

impl Receiver {
    /// A stream that is expected from this address.
    pub fn new(described: SocketAddr, sources: Sources) -> Receiver {
        Receiver { sources, described, settled: None, heard: None, packets: 0, strangers: 0 }
    }

    /// The peer describes where it is. When that is elsewhere, its source is to be settled anew.
    pub fn describe(&mut self, described: SocketAddr) {
        if described != self.described {
            self.described = described;
            self.settled = None;
        }
    }

    /// Where the peer hears us: its source when that is known, the described address before.
    pub fn peer(&self) -> SocketAddr {
        self.settled.unwrap_or(self.described)
    }

    /// Whether a packet of this source is taken: settles the source by the first that may be.
    pub fn takes(&mut self, from: SocketAddr) -> bool {
        let takes = match self.settled {
            Some(settled) => settled == from,
            None => self.may_be(from),
        };
        if takes {
            self.settled = Some(from);
        } else {
            self.strangers += 1;
        }
        takes
    }

    /// Whether a report may have come from the peer.
    pub fn trusts(&self, from: IpAddr) -> bool {
        self.peer().ip() == from
    }

    /// Notes a packet that was taken. Tells whether another stream begins with it.
    pub fn note(&mut self, header: Header, clock: u32, now: Duration) -> bool {
        self.packets += 1;
        let arrival = steps(now, clock);
        match &mut self.heard {
            Some(heard) if heard.ssrc == header.ssrc => {
                heard.note(header, arrival, now);
                false
            }
            _ => {
                self.heard = Some(Heard::begin(header, arrival, now));
                true
            }
        }
    }

    /// When the last packet was taken.
    pub fn last(&self) -> Option<Duration> {
        self.heard.map(|heard| heard.at)
    }

    /// Notes a sender's report: the middle of its time, which our report repeats.
    pub fn reported(&mut self, ssrc: u32, middle: u32, now: Duration) {
        if let Some(heard) = self.heard.as_mut().filter(|heard| heard.ssrc == ssrc) {
            heard.report = Some((middle, now));
        }
    }

    /// Our report on the stream since the last one.
    pub fn report(&mut self, now: Duration) -> Option<Report> {
        self.heard.as_mut().map(|heard| heard.report(now))
    }

    fn may_be(&self, from: SocketAddr) -> bool {
        match self.sources {
            Sources::Described => from.ip() == self.described.ip(),
            Sources::First => true,
        }
    }
}

impl Heard {
    fn begin(header: Header, arrival: u32, now: Duration) -> Heard {
        Heard {
            ssrc: header.ssrc,
            first: header.sequence,
            highest: header.sequence,
            cycles: 0,
            packets: 1,
            jitter: 0,
            transit: arrival.wrapping_sub(header.timestamp),
            at: now,
            told: (0, 0),
            report: None,
        }
    }

    fn note(&mut self, header: Header, arrival: u32, now: Duration) {
        self.packets += 1;
        self.at = now;
        if ahead(header.sequence, self.highest) > 0 {
            self.cycles += u32::from(header.sequence < self.highest);
            self.highest = header.sequence;
        }
        let transit = arrival.wrapping_sub(header.timestamp);
        let deviation = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        // RFC 3550 A.8; what is far off is another timeline and no jitter.
        if deviation < 100_000 {
            self.jitter = self.jitter + deviation - ((self.jitter + 8) >> 4);
        }
    }

    fn report(&mut self, now: Duration) -> Report {
        let highest = (self.cycles << 16) | u32::from(self.highest);
        let expected = highest.wrapping_sub(u32::from(self.first)).wrapping_add(1);
        let lost = expected.saturating_sub(self.packets);
        let (expected_before, packets_before) = self.told;
        let expected_since = expected.saturating_sub(expected_before);
        let lost_since = expected_since.saturating_sub(self.packets.saturating_sub(packets_before));
        self.told = (expected, self.packets);
        let fraction = (u64::from(lost_since) << 8).checked_div(u64::from(expected_since)).unwrap_or(0);
        let (last_report, delay) = match self.report {
            Some((middle, at)) => (middle, steps(now.saturating_sub(at), 65_536)),
            None => (0, 0),
        };
        Report {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: lost.min(0x7f_ffff),
            highest,
            jitter: self.jitter >> 4,
            last_report,
            delay,
        }
    }
}
