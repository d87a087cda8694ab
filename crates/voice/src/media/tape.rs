//! A recording as a value: sound is placed by its timestamps, gaps are silence, and what can no longer change is
//! handed out. The caller is left, the called right.

use std::time::Duration;

use super::codec::Law;
use super::rtp::Header;
use super::stream::steps;
use super::tone::RATE;

/// How often what is certain is handed out.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How late a packet may be and still find its place.
const LATEST: i64 = 400 * (RATE as i64) / 1000;
/// How far a stream's clock may be from ours before it is placed anew.
const DRIFT: i64 = 250 * (RATE as i64) / 1000;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller.
    Left,
    /// The called.
    Right,
}

/// A recording under way.
#[derive(Clone, Debug)]
pub struct Tape {
    law: Law,
    begun: Duration,
    /// Frames handed out. A frame is a sample of each side.
    done: i64,
    /// Frames that may still change.
    open: Vec<[u8; 2]>,
    anchors: [Option<Anchor>; 2],
}

/// Where a stream's timestamps lie on the tape.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    ssrc: u32,
    timestamp: u32,
    frame: i64,
}

impl Tape {
    /// A tape that begins at `now` and holds sound of this law.
    pub fn new(law: Law, now: Duration) -> Tape {
        Tape { law, begun: now, done: 0, open: Vec::new(), anchors: [None, None] }
    }

    /// The law of the sound that is handed out.
    pub fn law(&self) -> Law {
        self.law
    }

    /// Puts down what came from a side.
    pub fn put(&mut self, side: Side, header: Header, law: Law, payload: &[u8], now: Duration) {
        let column = side as usize;
        let length = payload.len() as i64;
        let latest = self.frame_at(now);
        let frame = self.place(column, header, latest - length, now);
        let end = (frame + length - self.done).max(0) as usize;
        if end > self.open.len() {
            self.open.resize(end, [self.law.silence(); 2]);
        }
        for (frame, byte) in (frame - self.done..).zip(payload) {
            let cell = usize::try_from(frame).ok().and_then(|frame| self.open.get_mut(frame));
            if let Some(cell) = cell {
                let mut byte = [*byte];
                law.convert(self.law, &mut byte);
                cell[column] = byte[0];
            }
        }
    }

    /// Hands out what can no longer change.
    pub fn take(&mut self, now: Duration) -> Vec<u8> {
        self.take_until(self.frame_at(now) - LATEST)
    }

    /// Hands out the rest.
    pub fn finish(&mut self, now: Duration) -> Vec<u8> {
        self.take_until(self.frame_at(now))
    }

    fn take_until(&mut self, end: i64) -> Vec<u8> {
        let Ok(count) = usize::try_from(end - self.done) else { return Vec::new() };
        if count > self.open.len() {
            self.open.resize(count, [self.law.silence(); 2]);
        }
        self.done += count as i64;
        self.open.drain(..count).flatten().collect()
    }

    /// Where a packet begins. A stream is placed where it is first heard, and then goes by its own timestamps, as long
    /// as they do not stray from the clock.
    fn place(&mut self, column: usize, header: Header, heard: i64, now: Duration) -> i64 {
        let known = self.anchors[column].filter(|anchor| anchor.ssrc == header.ssrc);
        let by_timestamp = known.map(|anchor| {
            let ahead = header.timestamp.wrapping_sub(anchor.timestamp).cast_signed();
            anchor.frame + i64::from(ahead)
        });
        let near = |frame: &i64| (frame - heard).abs() <= DRIFT + LATEST;
        let frame = by_timestamp.filter(near).unwrap_or_else(|| heard.max(0).min(self.frame_at(now)));
        self.anchors[column] = Some(Anchor { ssrc: header.ssrc, timestamp: header.timestamp, frame });
        frame
    }

    fn frame_at(&self, now: Duration) -> i64 {
        i64::from(steps(now.saturating_sub(self.begun), RATE as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MU: Law = Law::Mu;
    const SILENCE: u8 = 0xff;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The packet of a stream that begins with 1000; each holds 20 ms.
    fn header(number: u32) -> Header {
        Header {
            marker: false,
            payload_type: 0,
            sequence: number as u16,
            timestamp: 1000 + number * 160,
            ssrc: 1,
        }
    }

    /// What a side said, with its runs of equal bytes: `(byte, milliseconds)`.
    fn runs(frames: &[u8], side: Side) -> Vec<(u8, usize)> {
        let mut runs: Vec<(u8, usize)> = Vec::new();
        for byte in frames.iter().skip(side as usize).step_by(2) {
            match runs.last_mut() {
                Some((last, count)) if last == byte => *count += 1,
                _ => runs.push((*byte, 1)),
            }
        }
        runs.into_iter().map(|(byte, samples)| (byte, samples / 8)).collect()
    }

    #[test]
    fn each_side_is_where_it_was_said() {
        let mut tape = Tape::new(MU, ms(500));
        tape.put(Side::Left, header(0), MU, &[1; 160], ms(520));
        tape.put(Side::Right, header(7), MU, &[2; 160], ms(540));

        let frames = tape.finish(ms(560));

        assert_eq!(runs(&frames, Side::Left), [(1, 20), (SILENCE, 40)]);
        assert_eq!(runs(&frames, Side::Right), [(SILENCE, 20), (2, 20), (SILENCE, 20)]);
    }

    #[test]
    fn lost_packets_are_silence_and_late_ones_find_their_place() {
        let mut tape = Tape::new(MU, ms(0));
        for (number, came) in [(0, 20), (3, 80), (1, 95)] {
            tape.put(Side::Left, header(number), MU, &[number as u8 + 1; 160], ms(came));
        }

        let frames = tape.finish(ms(80));

        assert_eq!(runs(&frames, Side::Left), [(1, 20), (2, 20), (SILENCE, 20), (4, 20)]);
    }

    #[test]
    fn jitter_moves_nothing() {
        let mut tape = Tape::new(MU, ms(0));
        for number in 0..10 {
            let jitter = [0, 35, 3, 60, 10][number as usize % 5];
            tape.put(Side::Left, header(number), MU, &[7; 160], ms(20 * (u64::from(number) + 1) + jitter));
        }

        assert_eq!(runs(&tape.finish(ms(200)), Side::Left), [(7, 200)]);
    }

    #[test]
    fn what_was_handed_out_does_not_change_and_nothing_is_handed_out_twice() {
        let mut tape = Tape::new(MU, ms(0));
        tape.put(Side::Left, header(0), MU, &[1; 160], ms(20));

        let first = tape.take(ms(1000));
        tape.put(Side::Left, header(1), MU, &[2; 160], ms(1001));
        let rest = tape.finish(ms(1010));

        assert_eq!(runs(&first, Side::Left), [(1, 20), (SILENCE, 580)]);
        assert_eq!(first.len() + rest.len(), 2 * 8 * 1010);
    }

    #[test]
    fn a_stream_that_begins_anew_is_placed_anew() {
        let mut tape = Tape::new(MU, ms(0));
        tape.put(Side::Left, header(0), MU, &[1; 160], ms(20));
        tape.put(Side::Left, Header { timestamp: 4_000_000_000, ..header(1) }, MU, &[2; 160], ms(60));
        tape.put(Side::Left, Header { ssrc: 9, ..header(0) }, MU, &[3; 160], ms(80));

        assert_eq!(runs(&tape.finish(ms(80)), Side::Left), [(1, 20), (SILENCE, 20), (2, 20), (3, 20)]);
    }

    #[test]
    fn the_other_law_is_converted() {
        let mut tape = Tape::new(Law::A, ms(0));
        tape.put(Side::Right, header(0), MU, &[0x80; 160], ms(20));

        assert_eq!(runs(&tape.finish(ms(20)), Side::Right), [(0xaa, 20)]);
    }

    #[test]
    fn a_stream_with_wild_timestamps_takes_no_memory() {
        let mut tape = Tape::new(MU, ms(0));
        for number in 0..1000_u32 {
            let wild = Header { timestamp: number.wrapping_mul(0x9e37_79b9), ..header(number) };
            tape.put(Side::Left, wild, MU, &[1; 160], ms(1));
        }

        assert!(tape.open.len() < 2 * RATE);
    }
}
