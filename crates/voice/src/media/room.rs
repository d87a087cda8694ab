//! The media of one call as a value: descriptions, packets and time go in; packets, events and one deadline come out.
//! No socket and no clock is known here. Moments are told since the call's media began.

mod line;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::Chance;

use super::codec::{Codec, Law};
use super::negotiation::{self, Known};
use super::sdp::{Format, Meaning, Media, Sdp};
use super::stream::Sources;
use super::tape::{self, Side, Tape};
use super::{Carried, Event, LegNumber, MediaError};

use line::Line;

/// How sound is treated in every call.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Whose packets are taken.
    pub sources: Sources,
    /// How long a leg may be silent before it is told.
    pub silence: Duration,
}

/// Where a leg's packets come in, as its peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here {
    /// For sound.
    pub rtp: SocketAddr,
    /// For RTCP.
    pub rtcp: SocketAddr,
}

/// Which of a leg's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Sound, and RTCP where it is multiplexed.
    Sound,
    /// RTCP.
    Control,
}

/// What a room does to the world.
pub trait Outside {
    /// Sends a packet from one of a leg's ports.
    fn send(&mut self, leg: LegNumber, channel: Channel, to: SocketAddr, packet: &[u8]);
    /// Tells what happens.
    fn tell(&mut self, event: Event);
    /// Begins the recording, whose sound is of this law.
    fn begin_recording(&mut self, law: Law);
    /// Appends frames to the recording, a sample of each side in turn.
    fn record(&mut self, frames: Vec<u8>);
}

/// The media of one call.
#[derive(Debug)]
pub struct Room {
    habits: Habits,
    lines: BTreeMap<LegNumber, Line>,
    joined: Option<(LegNumber, LegNumber)>,
    /// The leg whose answer was taken last: the caller is answered with what it can carry.
    accepted: Option<LegNumber>,
    recording: Recording,
    carried: Carried,
}

/// What is kept of a call's sound.
#[derive(Debug)]
enum Recording {
    /// Nothing.
    Off,
    /// All that is said from the moment when two legs are joined.
    Wanted,
    /// All that is said; the next time at which it is handed out.
    Running(Tape, Duration),
}

impl Room {
    /// A room without legs.
    pub fn new(habits: Habits) -> Room {
        Room {
            habits,
            lines: BTreeMap::new(),
            joined: None,
            accepted: None,
            recording: Recording::Off,
            carried: Carried::default(),
        }
    }

    /// Where a leg's packets come in, if it has ports already.
    pub fn here(&self, leg: LegNumber) -> Option<Here> {
        self.lines.get(&leg).map(|line| line.here)
    }

    /// Gives a leg its place. All numbers under which it will send are drawn here.
    pub fn add(&mut self, leg: LegNumber, here: Here, rng: &mut Chance) {
        self.lines.insert(leg, Line::new(here, rng));
    }

    /// Takes note of what a leg can carry, before it is answered.
    pub fn consider(&mut self, leg: LegNumber, offer: &Sdp) -> Result<(), MediaError> {
        let chosen = self.choose(leg, offer).ok_or(MediaError::NotAcceptable)?;
        let codecs = offer.media[chosen].codecs().map(|(codec, _)| codec).collect();
        self.line(leg)?.able = codecs;
        Ok(())
    }

    /// Our offer to a leg.
    pub fn offer(&mut self, leg: LegNumber, secure: bool) -> Result<Sdp, MediaError> {
        let other = self.other_codecs(leg);
        let readable = self.readable();
        let line = self.line(leg)?;
        let formats = negotiation::to_offer(Known { other: other.as_deref(), agreed: &line.local, readable });
        line.local = formats;
        let media = line.ask(secure);
        Ok(line.describe(vec![media]))
    }

    /// Takes a leg's answer to our offer.
    pub fn accept(&mut self, leg: LegNumber, answer: &Sdp, now: Duration) -> Result<(), MediaError> {
        let habits = self.habits;
        let line = self.line(leg)?;
        let media =
            answer.media.first().filter(|media| line.answers(media)).ok_or(MediaError::NotAcceptable)?;
        let taken = negotiation::taken(&line.local, media);
        if !taken.iter().any(|format| line::sound(*format).is_some()) {
            return Err(MediaError::NotAcceptable);
        }
        line.agree(media, taken, habits.sources, now);
        self.accepted = Some(leg);
        Ok(())
    }

    /// Our answer to a leg's offer.
    pub fn answer(&mut self, leg: LegNumber, offer: &Sdp, now: Duration) -> Result<Sdp, MediaError> {
        let chosen = self.choose(leg, offer).ok_or(MediaError::NotAcceptable)?;
        let formats = self.formats_for(leg, &offer.media[chosen]).ok_or(MediaError::NotAcceptable)?;
        let habits = self.habits;
        let line = self.line(leg)?;
        let media = &offer.media[chosen];
        line.local.clone_from(&formats);
        line.agree(media, formats, habits.sources, now);
        line.ours.direction = media.direction.mirrored();
        line.ours.mux = media.mux;
        let all = offer.media.iter().enumerate();
        let media = all.map(|(at, media)| {
            if at == chosen { line.audio(media.profile) } else { line.refusal(media.kind, media.profile) }
        });
        Ok(line.describe(media.collect()))
    }

    /// Lets two legs hear each other.
    pub fn join(
        &mut self,
        one: LegNumber,
        other: LegNumber,
        now: Duration,
        outside: &mut impl Outside,
    ) -> Result<(), MediaError> {
        for leg in [one, other] {
            let line = self.line(leg)?;
            line.playing = None;
            line.expected_since = now;
            line.silence_told = false;
        }
        self.joined = Some((one, other));
        self.begin_recording(now, outside);
        Ok(())
    }

    /// Lets nobody hear anybody.
    pub fn part(&mut self) {
        self.joined = None;
    }

    /// Plays mu-law sound to a leg, once or over and over.
    pub fn play(
        &mut self,
        leg: LegNumber,
        sound: Arc<[u8]>,
        repeat: bool,
        now: Duration,
    ) -> Result<(), MediaError> {
        self.line(leg)?.play(sound, repeat, now);
        Ok(())
    }

    /// Ends what is played to a leg.
    pub fn stop(&mut self, leg: LegNumber) {
        if let Some(line) = self.lines.get_mut(&leg) {
            line.playing = None;
        }
    }

    /// Tells the keys that a leg presses, or no longer.
    pub fn listen(&mut self, leg: LegNumber, on: bool) -> Result<(), MediaError> {
        self.line(leg)?.listen(on);
        Ok(())
    }

    /// Records what is said by legs that are joined, from now on. Only sound that we can read can be recorded: before
    /// legs are agreed on, nothing else will be.
    pub fn record(&mut self, now: Duration, outside: &mut impl Outside) -> Result<(), MediaError> {
        let mut codecs = self.lines.values().flat_map(|line| &line.remote).copied().filter_map(line::sound);
        if codecs.any(|codec| codec.law().is_none()) {
            return Err(MediaError::NotAcceptable);
        }
        self.recording = Recording::Wanted;
        self.begin_recording(now, outside);
        Ok(())
    }

    /// Gives up a leg, with an RTCP BYE to its peer.
    pub fn remove(&mut self, leg: LegNumber, now: Duration, outside: &mut impl Outside) {
        let Some(mut line) = self.lines.remove(&leg) else { return };
        line.report(leg, true, now, outside);
        if self.joined.is_some_and(|(one, other)| one == leg || other == leg) {
            self.joined = None;
        }
        if self.accepted == Some(leg) {
            self.accepted = None;
        }
    }

    /// Gives up all legs, and hands out the rest of the recording.
    pub fn close(&mut self, now: Duration, outside: &mut impl Outside) {
        if let Recording::Running(tape, _) = &mut self.recording {
            outside.record(tape.finish(now));
        }
        self.recording = Recording::Off;
        while let Some(leg) = self.lines.keys().next().copied() {
            self.remove(leg, now, outside);
        }
    }

    /// What was carried.
    pub fn carried(&self) -> Carried {
        self.carried
    }

    /// A datagram came in on a leg's port.
    pub fn received(
        &mut self,
        leg: LegNumber,
        channel: Channel,
        from: SocketAddr,
        datagram: &mut [u8],
        now: Duration,
        outside: &mut impl Outside,
    ) {
        let Some(line) = self.lines.get_mut(&leg) else { return };
        let Some(heard) = line.hear(leg, channel, from, datagram, now, outside) else { return };
        if leg == LegNumber::CALLER {
            self.carried.from_caller += 1;
        } else {
            self.carried.from_called += 1;
        }
        if heard.secret {
            return;
        }
        let Some(partner) = self.partner(leg) else { return };
        if let (Recording::Running(tape, _), Meaning::Sound(codec)) = (&mut self.recording, heard.meaning)
            && let Some(law) = codec.law()
        {
            let side = if leg == LegNumber::CALLER { Side::Left } else { Side::Right };
            tape.put(side, heard.header, law, heard.payload, now);
        }
        if let Some(line) = self.lines.get_mut(&partner) {
            line.pass_on(partner, leg, heard, now, outside);
        }
    }

    /// The next moment at which something is due.
    pub fn deadline(&self) -> Option<Duration> {
        let lines = self.lines.iter();
        let lines = lines.filter_map(|(leg, line)| line.deadline(self.silence(*leg)));
        let tape = match &self.recording {
            Recording::Running(_, next) => Some(*next),
            Recording::Off | Recording::Wanted => None,
        };
        lines.chain(tape).min()
    }

    /// Does what is due.
    pub fn due(&mut self, now: Duration, outside: &mut impl Outside) {
        for leg in self.lines.keys().copied().collect::<Vec<_>>() {
            let silence = self.silence(leg);
            if let Some(line) = self.lines.get_mut(&leg) {
                line.due(leg, silence, now, outside);
            }
        }
        if let Recording::Running(tape, next) = &mut self.recording
            && *next <= now
        {
            *next = now + tape::INTERVAL;
            outside.record(tape.take(now));
        }
    }

    /// Begins to record when that is wanted and somebody is joined.
    fn begin_recording(&mut self, now: Duration, outside: &mut impl Outside) {
        if !matches!(self.recording, Recording::Wanted) || self.joined.is_none() {
            return;
        }
        let caller = self.lines.get(&LegNumber::CALLER).and_then(|line| line.remote.first());
        let law = caller.copied().and_then(line::sound).and_then(Codec::law).unwrap_or(Law::Mu);
        self.recording = Recording::Running(Tape::new(law, now), now + tape::INTERVAL);
        outside.begin_recording(law);
    }

    fn readable(&self) -> bool {
        !matches!(self.recording, Recording::Off)
    }

    /// How long a leg may be silent; only those that are joined need to speak.
    fn silence(&self, leg: LegNumber) -> Option<Duration> {
        self.partner(leg).map(|_| self.habits.silence)
    }

    fn partner(&self, leg: LegNumber) -> Option<LegNumber> {
        match self.joined? {
            (one, other) if one == leg => Some(other),
            (one, other) if other == leg => Some(one),
            _ => None,
        }
    }

    fn line(&mut self, leg: LegNumber) -> Result<&mut Line, MediaError> {
        self.lines.get_mut(&leg).ok_or_else(|| MediaError::Failed(format!("leg {} has no media", leg.0)))
    }

    /// The leg that a leg talks to or will: the one it is joined with, the caller for those that are rung, and for
    /// the caller the one that answered last.
    fn other(&self, leg: LegNumber) -> Option<LegNumber> {
        self.partner(leg).or(if leg == LegNumber::CALLER { self.accepted } else { Some(LegNumber::CALLER) })
    }

    fn other_codecs(&self, leg: LegNumber) -> Option<Vec<Codec>> {
        let other = self.lines.get(&self.other(leg)?)?;
        let agreed: Vec<Codec> = other.remote.iter().copied().filter_map(line::sound).collect();
        let codecs = if agreed.is_empty() { other.able.clone() } else { agreed };
        Some(codecs).filter(|codecs| !codecs.is_empty())
    }

    fn formats_for(&self, leg: LegNumber, media: &Media) -> Option<Vec<Format>> {
        let other = self.other_codecs(leg);
        let agreed = self.lines.get(&leg).map_or(&[][..], |line| &line.local);
        let known = Known { other: other.as_deref(), agreed, readable: self.readable() };
        negotiation::to_answer(media, known)
    }

    /// The medium of an offer that we take: the first sound that can be carried.
    fn choose(&self, leg: LegNumber, offer: &Sdp) -> Option<usize> {
        let line = self.lines.get(&leg)?;
        offer.media.iter().position(|media| line.fits(media) && self.formats_for(leg, media).is_some())
    }
}

#[cfg(test)]
mod tests;
