//! The course of a call: what happens and the moment go in, what is to be done and one deadline come out.
//!
//! There is no I/O here, and nothing of a telephone's signalling but what these types can say. Whoever drives a
//! [`Call`] gives it every [`Event`] with the moment, does its [`Action`]s in their order, gives it [`Event::Due`] at
//! its [`deadline`](Call::deadline), and is done when it [is over](Call::is_over).
//!
//! ```text
//!   Deciding ──▶ Ringing ──▶ (Consenting) ──▶ Talking ──┐
//!      │  ▲         ▲  └──────────┐                     ├──▶ Ending ──▶ Over
//!      ▼  │         │             ▼                     │
//!    Asking ◀──▶ Checking ──▶ Announcing ───────────────┘
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use super::LegNumber;
use super::pin_entry::{FIRST_KEY, Key, Keyed, NEXT_KEY, PinEntry};
use crate::number::PhoneNumber;
use crate::routing::RefuseReason;
use crate::time::Timestamp;

/// How long the store may take to decide.
const DECIDING: Duration = Duration::from_secs(8);

/// The longest announcement that is waited for.
const ANNOUNCEMENT: Duration = Duration::from_secs(20);

/// How long the ends of the legs are waited for: more than a lost request is repeated for (RFC 3261 timer B).
const ENDING: Duration = Duration::from_secs(40);

/// More telephones than this are not rung for one call.
const MOST_RUNG: usize = 32;

/// What holds for a call, by its tenant's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long each telephone rings.
    pub ring_timeout: Duration,
    /// How long all of them ring together.
    pub max_ringing: Duration,
    /// How long the parties may talk.
    pub max_conversation: Duration,
    /// In which order they ring.
    pub ringing: Ringing,
    /// Whether the sound that a telephone sends before it is answered is heard.
    pub early_media: bool,
    /// How a caller who is not connected is told.
    pub announcements: Announcements,
    /// Whether the conversation is recorded, and whether the parties are told so first.
    pub recording: Recording,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            ring_timeout: Duration::from_secs(30),
            max_ringing: Duration::from_secs(120),
            max_conversation: Duration::from_secs(4 * 3_600),
            ringing: Ringing::Sequential,
            early_media: false,
            announcements: Announcements::Early,
            recording: Recording::Off,
        }
    }
}

/// In which order several telephones ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ringing {
    /// One after the other.
    Sequential,
    /// All at once; the first that is answered has the call.
    Parallel,
}

/// How a caller who is not connected is told why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcements {
    /// Spoken before the call is answered, so that it costs nothing.
    Early,
    /// Spoken in an answered call, for networks that let no sound through before.
    Answered,
    /// Not at all.
    None,
}

/// Whether a conversation is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// No.
    Off,
    /// Yes.
    On,
    /// Yes, and both parties are told before they hear each other.
    Told,
}

/// Who may be rung for a call, as it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// These, in this order.
    Ring(Vec<PhoneNumber>),
    /// Nobody before a pin is keyed.
    AskForPin,
    /// Nobody.
    Refuse(Why),
}

/// Why a caller is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The rules of masking say no.
    Route(RefuseReason),
    /// The tenant's callers may not have this call.
    Limit(super::limits::Over),
    /// Every telephone was tried.
    Missed(Miss),
    /// The caller's telephone has no sound in common with us.
    NoCommonSound,
    /// There is no room for another call.
    NoRoom,
    /// Something of ours failed.
    Failed,
}

/// Why a telephone that was rung was not answered. The first of these tells a caller most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// It was busy.
    Busy,
    /// It rang, or was away.
    NoAnswer,
    /// It was turned down.
    Declined,
    /// There is no such telephone.
    NotInService,
    /// The network, or something of ours, failed.
    Failed,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The store has decided: first of the caller, then of each pin.
    Decided(Way),
    /// A telephone rings; with sound, something is heard of it already.
    Ringing(LegNumber, Heard),
    /// A telephone was answered, and its sound can be carried.
    Answered(LegNumber),
    /// A telephone that is rung is not to be had.
    Missed(LegNumber, Miss),
    /// A leg is over.
    Ended(LegNumber, EndedBy),
    /// The sound of the caller cannot be carried.
    NoSound(Why),
    /// A key was pressed.
    Key(LegNumber, char),
    /// What was played has ended.
    Played(LegNumber),
    /// Nothing has been heard of a leg for long.
    Silent(LegNumber),
    /// The operator wants the call to end.
    HangUp,
    /// The deadline has come.
    Due,
}

/// Whether a telephone that rings is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It sends sound.
    Sound,
    /// It does not.
    Nothing,
}

/// How a leg came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// Its party hung up, or gave up.
    Party,
    /// We ended it.
    Us,
    /// It was lost.
    Loss,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the caller that it rings.
    Ring,
    /// Let the caller hear us before the answer.
    Progress,
    /// Answer the caller.
    Answer,
    /// Refuse the caller.
    Refuse(Why),
    /// Ring a telephone.
    Dial(LegNumber, PhoneNumber),
    /// End a leg.
    HangUp(LegNumber, Cause),
    /// Play to a leg.
    Play(LegNumber, Sound),
    /// Stop what is played to a leg.
    Stop(LegNumber),
    /// Tell the keys that the caller presses, or no longer.
    Listen(bool),
    /// Let the caller and this leg hear each other.
    Join(LegNumber),
    /// Let nobody hear anybody.
    Part,
    /// Find out whether this pin opens anything; answered by [`Event::Decided`].
    Check(Keyed),
    /// Write down what has come about.
    Note(Note),
    /// Write down the end. Comes once, and no sound is carried after it.
    Close(Summary),
}

/// Why a leg is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The call is over.
    Normal,
    /// Another telephone was answered.
    AnsweredElsewhere,
    /// A time is up.
    TimeUp,
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// The tone that says that it rings, until it is stopped.
    Ringback,
    /// "Please enter your pin."
    EnterPin,
    /// "That was not right; once more."
    WrongPin,
    /// "The person is not available."
    NotAvailable,
    /// "This number is not known."
    UnknownNumber,
    /// "This connection has ended."
    Ended,
    /// "You may not call this number."
    OneWay,
    /// "Please try again later."
    TryLater,
    /// "This call is recorded."
    Recorded,
}

/// What has come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The first telephone rings.
    Rings(PhoneNumber),
    /// A telephone was answered.
    Answered(PhoneNumber),
    /// The last try at a pin was wrong.
    Rejected(Keyed),
}

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// When the caller's leg was answered.
    pub caller_answered: Option<Timestamp>,
    /// When a telephone was answered.
    pub answered: Option<Timestamp>,
    /// How it ended.
    pub end: End,
    /// Each telephone that was rung, in the order of the ringing.
    pub rung: Vec<Rung>,
}

impl Summary {
    /// The telephone that was answered, else the last that was rung.
    pub fn reached(&self) -> Option<&Rung> {
        self.rung.iter().find(|rung| rung.answered.is_some()).or(self.rung.last())
    }

    /// How long the parties talked.
    pub fn talked(&self) -> Duration {
        self.answered.map_or(Duration::ZERO, |answered| self.ended.since(answered))
    }
}

/// A telephone that was rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its number.
    pub number: PhoneNumber,
    /// When it was dialled.
    pub dialled: Timestamp,
    /// When it began to ring.
    pub rings: Option<Timestamp>,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// Why it was not.
    pub miss: Option<Miss>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The parties talked, and the caller hung up.
    CallerHungUp,
    /// The parties talked, and the called hung up.
    CalledHungUp,
    /// The parties talked for as long as they may.
    TimeUp,
    /// The parties talked until nothing was heard of one of them, or a leg was lost.
    Lost,
    /// The caller gave up before anybody answered.
    Abandoned,
    /// Nobody answered.
    Missed(Miss),
    /// It was refused.
    Refused(Why),
    /// No pin was right.
    PinRefused,
    /// The operator ended it.
    Ordered,
}

/// A call, from the moment of the INVITE.
#[derive(Clone, Debug)]
pub struct Call {
    rules: Rules,
    stage: Stage,
    caller: Caller,
    /// Invariant: leg `n` is in place `n - 1`.
    called: Vec<Called>,
    waiting: VecDeque<PhoneNumber>,
    /// The leg that is heard before it is answered.
    early: Option<LegNumber>,
    told_ringing: bool,
    began: Timestamp,
    caller_answered: Option<Timestamp>,
    answered: Option<Timestamp>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The store decides of the caller.
    Deciding { until: Timestamp },
    /// The caller is asked for a pin.
    Asking { entry: PinEntry, until: Timestamp },
    /// The store decides of a pin.
    Checking { entry: PinEntry, until: Timestamp },
    /// Telephones ring.
    Ringing { until: Timestamp },
    /// Both parties are told that they are recorded.
    Consenting { leg: LegNumber, unheard: Vec<LegNumber>, until: Timestamp },
    /// The parties talk.
    Talking { leg: LegNumber, until: Timestamp },
    /// The caller is told why there is no connection.
    Announcing { why: Why, end: End, until: Timestamp },
    /// All is said; the legs are coming to their ends.
    Ending { until: Timestamp },
    /// Every leg is over.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Waiting,
    /// The caller hears us, and is not answered.
    Hearing,
    Answered,
    /// We have ended it, and wait for its end.
    Leaving,
    Over,
}

#[derive(Clone, Debug)]
struct Called {
    rung: Rung,
    state: CalledState,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CalledState {
    Dialled,
    Answered,
    /// We have ended it, and wait for its end.
    Leaving,
    Over,
}

impl Call {
    /// A call that begins at `now`. The store is being asked about it.
    pub fn new(rules: Rules, now: Timestamp) -> Call {
        Call {
            rules,
            stage: Stage::Deciding { until: now.plus(DECIDING) },
            caller: Caller::Waiting,
            called: Vec::new(),
            waiting: VecDeque::new(),
            early: None,
            told_ringing: false,
            began: now,
            caller_answered: None,
            answered: None,
        }
    }

    /// When [`Event::Due`] is wanted. Only a call that is over wants none.
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Deciding { until }
            | Stage::Asking { until, .. }
            | Stage::Checking { until, .. }
            | Stage::Consenting { until, .. }
            | Stage::Talking { until, .. }
            | Stage::Announcing { until, .. }
            | Stage::Ending { until } => Some(*until),
            Stage::Ringing { until } => {
                let rings = self.called.iter().filter(|leg| leg.state == CalledState::Dialled);
                rings.map(|leg| leg.until).chain([*until]).min()
            }
            Stage::Over => None,
        }
    }

    /// Whether nothing more will happen: every leg is over.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether the parties talk.
    pub fn is_talking(&self) -> bool {
        matches!(self.stage, Stage::Talking { .. })
    }

    /// Whether deciding so lets the caller hear anything of us.
    pub fn lets_hear(&self, way: &Way) -> bool {
        match way {
            Way::Ring(_) | Way::AskForPin => true,
            Way::Refuse(why) => {
                announcement(*why).is_some() && self.rules.announcements != Announcements::None
            }
        }
    }

    /// Takes what has happened at `now`, and answers what is to be done, in this order. What does not fit the state
    /// of the call does nothing: it has crossed with something that went before it.
    pub fn on(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        let mut todo = Vec::new();
        match event {
            Event::Decided(way) => self.decided(way, now, &mut todo),
            Event::Ringing(leg, heard) => self.rings(leg, heard, now, &mut todo),
            Event::Answered(leg) => self.answered(leg, now, &mut todo),
            Event::Missed(leg, miss) => self.missed(leg, miss, now, &mut todo),
            Event::Ended(LegNumber::CALLER, by) => self.caller_ended(by, now, &mut todo),
            Event::Ended(leg, by) => self.called_ended(leg, by, now, &mut todo),
            Event::NoSound(why) => self.no_sound(why, now, &mut todo),
            Event::Key(LegNumber::CALLER, key) => self.pressed(key, now, &mut todo),
            Event::Key(..) => {}
            Event::Played(leg) => self.played(leg, now, &mut todo),
            Event::Silent(leg) => self.silent(leg, now, &mut todo),
            Event::HangUp => self.close(End::Ordered, Cause::Normal, now, &mut todo),
            Event::Due => self.due(now, &mut todo),
        }
        todo
    }

    fn decided(&mut self, way: Way, now: Timestamp, todo: &mut Vec<Action>) {
        match (&mut self.stage, way) {
            (Stage::Deciding { .. }, Way::Ring(numbers)) => self.ring(numbers, now, todo),
            (Stage::Deciding { .. }, Way::AskForPin) => {
                self.answer(now, todo);
                todo.extend([Action::Listen(true), Action::Play(LegNumber::CALLER, Sound::EnterPin)]);
                self.stage = Stage::Asking { entry: PinEntry::new(), until: now.plus(ANNOUNCEMENT) };
            }
            (Stage::Deciding { .. }, Way::Refuse(why)) => self.refuse(why, End::Refused(why), now, todo),
            (Stage::Checking { .. }, Way::Ring(numbers)) => {
                todo.extend([Action::Listen(false), Action::Play(LegNumber::CALLER, Sound::Ringback)]);
                self.ring(numbers, now, todo);
            }
            (
                Stage::Checking { entry, .. },
                Way::AskForPin | Way::Refuse(Why::Route(RefuseReason::WrongPin)),
            ) => {
                let entry = std::mem::take(entry);
                self.wrong_pin(entry, now, todo);
            }
            (Stage::Checking { .. }, Way::Refuse(why)) => {
                todo.push(Action::Listen(false));
                self.refuse(why, End::Refused(why), now, todo);
            }
            (
                Stage::Asking { .. }
                | Stage::Ringing { .. }
                | Stage::Consenting { .. }
                | Stage::Talking { .. }
                | Stage::Announcing { .. }
                | Stage::Ending { .. }
                | Stage::Over,
                _,
            ) => {}
        }
    }

    fn wrong_pin(&mut self, entry: PinEntry, now: Timestamp, todo: &mut Vec<Action>) {
        if entry.may_try() {
            todo.push(Action::Play(LegNumber::CALLER, Sound::WrongPin));
            self.stage = Stage::Asking { entry, until: now.plus(ANNOUNCEMENT) };
        } else {
            todo.extend([Action::Listen(false), Action::Note(Note::Rejected(entry.last().clone()))]);
            self.refuse(Why::Route(RefuseReason::WrongPin), End::PinRefused, now, todo);
        }
    }

    fn ring(&mut self, numbers: Vec<PhoneNumber>, now: Timestamp, todo: &mut Vec<Action>) {
        self.waiting = numbers.into_iter().take(MOST_RUNG).collect();
        self.stage = Stage::Ringing { until: now.plus(self.rules.max_ringing) };
        match self.rules.ringing {
            Ringing::Sequential => self.dial_next(now, todo),
            Ringing::Parallel => {
                while !self.waiting.is_empty() {
                    self.dial_next(now, todo);
                }
            }
        }
        self.give_up_if_nobody_rings(now, todo);
    }

    fn dial_next(&mut self, now: Timestamp, todo: &mut Vec<Action>) {
        let Some(number) = self.waiting.pop_front() else { return };
        let rung = Rung { number, dialled: now, rings: None, answered: None, miss: None };
        let until = now.plus(self.rules.ring_timeout);
        self.called.push(Called { rung, state: CalledState::Dialled, until });
        let leg = u8::try_from(self.called.len()).expect("law: fewer than 256 telephones are rung");
        todo.push(Action::Dial(LegNumber(leg), number));
    }

    fn rings(&mut self, leg: LegNumber, heard: Heard, now: Timestamp, todo: &mut Vec<Action>) {
        if !matches!(self.stage, Stage::Ringing { .. }) {
            return;
        }
        let Some(called) = self.called_mut(leg, CalledState::Dialled) else { return };
        let number = called.rung.number;
        if called.rung.rings.is_none() {
            called.rung.rings = Some(now);
        }
        if !std::mem::replace(&mut self.told_ringing, true) {
            todo.push(Action::Note(Note::Rings(number)));
            if self.caller == Caller::Waiting {
                todo.push(Action::Ring);
            }
        }
        let wanted = self.rules.early_media && self.rules.ringing == Ringing::Sequential;
        if wanted && heard == Heard::Sound && self.early != Some(leg) {
            self.progress(todo);
            self.early = Some(leg);
            todo.push(Action::Join(leg));
        }
    }

    fn answered(&mut self, leg: LegNumber, now: Timestamp, todo: &mut Vec<Action>) {
        if !matches!(self.stage, Stage::Ringing { .. }) {
            return;
        }
        let Some(called) = self.called_mut(leg, CalledState::Dialled) else { return };
        called.state = CalledState::Answered;
        called.rung.answered = Some(now);
        let number = called.rung.number;
        self.answered = Some(now);
        self.waiting.clear();

        self.leave_all(Cause::AnsweredElsewhere, Some(leg), todo);
        self.answer(now, todo);
        todo.push(Action::Note(Note::Answered(number)));
        if self.rules.recording == Recording::Told {
            let both = vec![LegNumber::CALLER, leg];
            if self.early.take().is_some() {
                todo.push(Action::Part);
            }
            todo.extend(both.iter().map(|leg| Action::Play(*leg, Sound::Recorded)));
            self.stage = Stage::Consenting { leg, unheard: both, until: now.plus(ANNOUNCEMENT) };
        } else {
            self.talk(leg, now, todo);
        }
    }

    fn talk(&mut self, leg: LegNumber, now: Timestamp, todo: &mut Vec<Action>) {
        if self.early != Some(leg) {
            todo.push(Action::Join(leg));
        }
        self.stage = Stage::Talking { leg, until: now.plus(self.rules.max_conversation) };
    }

    fn missed(&mut self, leg: LegNumber, miss: Miss, now: Timestamp, todo: &mut Vec<Action>) {
        if let Some(called) = self.called_mut(leg, CalledState::Dialled) {
            called.rung.miss = Some(miss);
            called.state = CalledState::Over;
            self.ring_on(leg, now, todo);
        } else {
            self.called_ended(leg, EndedBy::Loss, now, todo);
        }
    }

    /// Goes on after a telephone has stopped ringing.
    fn ring_on(&mut self, leg: LegNumber, now: Timestamp, todo: &mut Vec<Action>) {
        if !matches!(self.stage, Stage::Ringing { .. }) {
            return self.end_if_all_is_over();
        }
        if self.early.take_if(|early| *early == leg).is_some() {
            todo.extend([Action::Part, Action::Play(LegNumber::CALLER, Sound::Ringback)]);
        }
        if !self.somebody_rings() {
            self.dial_next(now, todo);
        }
        self.give_up_if_nobody_rings(now, todo);
    }

    fn somebody_rings(&self) -> bool {
        self.called.iter().any(|leg| leg.state == CalledState::Dialled)
    }

    fn give_up_if_nobody_rings(&mut self, now: Timestamp, todo: &mut Vec<Action>) {
        if !self.somebody_rings() {
            let miss = self.called.iter().filter_map(|leg| leg.rung.miss).min().unwrap_or(Miss::Failed);
            self.refuse(Why::Missed(miss), End::Missed(miss), now, todo);
        }
    }

    /// Tells the caller that there is no connection, aloud if that is wanted, and ends the call.
    fn refuse(&mut self, why: Why, end: End, now: Timestamp, todo: &mut Vec<Action>) {
        self.leave_all(Cause::Normal, None, todo);
        let spoken = match (announcement(why), self.caller) {
            (_, Caller::Leaving | Caller::Over) => None,
            (None, Caller::Answered) => Some(Sound::NotAvailable),
            (sound, Caller::Answered | Caller::Hearing) => sound,
            (None, Caller::Waiting) => None,
            (sound, Caller::Waiting) => match self.rules.announcements {
                Announcements::None => None,
                Announcements::Early => {
                    self.progress(todo);
                    sound
                }
                Announcements::Answered => {
                    self.answer(now, todo);
                    sound
                }
            },
        };
        match spoken {
            Some(sound) => {
                todo.push(Action::Play(LegNumber::CALLER, sound));
                self.stage = Stage::Announcing { why, end, until: now.plus(ANNOUNCEMENT) };
            }
            None => self.finish(why, end, now, todo),
        }
    }

    /// Refuses or hangs up the caller, and ends the call.
    fn finish(&mut self, why: Why, end: End, now: Timestamp, todo: &mut Vec<Action>) {
        if matches!(self.caller, Caller::Waiting | Caller::Hearing) {
            self.caller = Caller::Leaving;
            todo.push(Action::Refuse(why));
        }
        self.close(end, Cause::Normal, now, todo);
    }

    fn progress(&mut self, todo: &mut Vec<Action>) {
        if self.caller == Caller::Waiting {
            self.caller = Caller::Hearing;
            todo.push(Action::Progress);
        }
    }

    fn answer(&mut self, now: Timestamp, todo: &mut Vec<Action>) {
        if matches!(self.caller, Caller::Waiting | Caller::Hearing) {
            self.caller = Caller::Answered;
            self.caller_answered = Some(now);
            todo.push(Action::Answer);
        }
    }

    fn no_sound(&mut self, why: Why, now: Timestamp, todo: &mut Vec<Action>) {
        if !matches!(self.stage, Stage::Ending { .. } | Stage::Over) {
            self.finish(why, End::Refused(why), now, todo);
        }
    }

    fn caller_ended(&mut self, by: EndedBy, now: Timestamp, todo: &mut Vec<Action>) {
        self.caller = Caller::Over;
        let end = match (&self.stage, by) {
            (Stage::Ending { .. } | Stage::Over, _) => return self.end_if_all_is_over(),
            (Stage::Talking { .. } | Stage::Consenting { .. }, EndedBy::Party) => End::CallerHungUp,
            (Stage::Talking { .. } | Stage::Consenting { .. }, EndedBy::Us | EndedBy::Loss) => End::Lost,
            (Stage::Announcing { end, .. }, _) => *end,
            (
                Stage::Deciding { .. }
                | Stage::Asking { .. }
                | Stage::Checking { .. }
                | Stage::Ringing { .. },
                _,
            ) => End::Abandoned,
        };
        self.close(end, Cause::Normal, now, todo);
    }

    fn called_ended(&mut self, leg: LegNumber, by: EndedBy, now: Timestamp, todo: &mut Vec<Action>) {
        let Some(called) = self.place(leg).and_then(|at| self.called.get_mut(at)) else { return };
        match std::mem::replace(&mut called.state, CalledState::Over) {
            CalledState::Dialled => {
                called.rung.miss = Some(Miss::Failed);
                self.ring_on(leg, now, todo);
            }
            CalledState::Answered => {
                let end = if by == EndedBy::Party { End::CalledHungUp } else { End::Lost };
                self.close(end, Cause::Normal, now, todo);
            }
            CalledState::Leaving | CalledState::Over => self.end_if_all_is_over(),
        }
    }

    fn pressed(&mut self, key: char, now: Timestamp, todo: &mut Vec<Action>) {
        let Stage::Asking { entry, until } = &mut self.stage else { return };
        let was_begun = entry.is_begun();
        match entry.press(key) {
            Key::Ignored => {}
            Key::Taken => {
                *until = now.plus(NEXT_KEY);
                if !was_begun {
                    todo.push(Action::Stop(LegNumber::CALLER));
                }
            }
            Key::Ended => self.try_pin(now, todo),
        }
    }

    fn try_pin(&mut self, now: Timestamp, todo: &mut Vec<Action>) {
        let Stage::Asking { entry, .. } = &mut self.stage else { return };
        let mut entry = std::mem::take(entry);
        let begun = entry.is_begun();
        let keyed = entry.finish();
        if begun {
            todo.push(Action::Check(keyed));
            self.stage = Stage::Checking { entry, until: now.plus(DECIDING) };
        } else {
            self.wrong_pin(entry, now, todo);
        }
    }

    fn played(&mut self, leg: LegNumber, now: Timestamp, todo: &mut Vec<Action>) {
        match &mut self.stage {
            Stage::Asking { entry, until } if leg == LegNumber::CALLER && !entry.is_begun() => {
                *until = now.plus(FIRST_KEY);
            }
            Stage::Consenting { leg: called, unheard, .. } => {
                unheard.retain(|one| *one != leg);
                let called = *called;
                if unheard.is_empty() {
                    self.talk(called, now, todo);
                }
            }
            Stage::Announcing { why, end, .. } if leg == LegNumber::CALLER => {
                let (why, end) = (*why, *end);
                self.finish(why, end, now, todo);
            }
            Stage::Asking { .. }
            | Stage::Announcing { .. }
            | Stage::Deciding { .. }
            | Stage::Checking { .. }
            | Stage::Ringing { .. }
            | Stage::Talking { .. }
            | Stage::Ending { .. }
            | Stage::Over => {}
        }
    }

    fn silent(&mut self, leg: LegNumber, now: Timestamp, todo: &mut Vec<Action>) {
        if let Stage::Talking { leg: called, .. } = self.stage
            && (leg == called || leg == LegNumber::CALLER)
        {
            self.close(End::Lost, Cause::TimeUp, now, todo);
        }
    }

    fn due(&mut self, now: Timestamp, todo: &mut Vec<Action>) {
        if self.deadline().is_none_or(|due| now < due) {
            return;
        }
        match self.stage {
            Stage::Deciding { .. } | Stage::Checking { .. } => {
                self.refuse(Why::Failed, End::Refused(Why::Failed), now, todo);
            }
            Stage::Asking { .. } => self.try_pin(now, todo),
            Stage::Ringing { until } if until <= now => {
                self.waiting.clear();
                self.stop_ringing(|_| true, now, todo);
            }
            Stage::Ringing { .. } => self.stop_ringing(|leg| leg.until <= now, now, todo),
            Stage::Consenting { leg, .. } => self.talk(leg, now, todo),
            Stage::Talking { .. } => self.close(End::TimeUp, Cause::TimeUp, now, todo),
            Stage::Announcing { why, end, .. } => self.finish(why, end, now, todo),
            Stage::Ending { .. } => self.stage = Stage::Over,
            Stage::Over => {}
        }
    }

    /// Ends the telephones that rang for long enough, and goes on.
    fn stop_ringing(&mut self, which: impl Fn(&Called) -> bool, now: Timestamp, todo: &mut Vec<Action>) {
        let rung_out: Vec<usize> = self
            .called
            .iter()
            .enumerate()
            .filter(|(_, leg)| leg.state == CalledState::Dialled && which(leg))
            .map(|(at, _)| at)
            .collect();
        for at in &rung_out {
            let called = &mut self.called[*at];
            called.state = CalledState::Leaving;
            called.rung.miss = Some(Miss::NoAnswer);
            todo.push(Action::HangUp(number_of(*at), Cause::TimeUp));
        }
        for at in rung_out {
            self.ring_on(number_of(at), now, todo);
        }
    }

    /// Ends every leg that stands, writes the end down, and waits for the legs to be over.
    fn close(&mut self, end: End, cause: Cause, now: Timestamp, todo: &mut Vec<Action>) {
        match &self.stage {
            Stage::Ending { .. } | Stage::Over => return,
            Stage::Asking { entry, .. } if entry.was_tried() => {
                todo.push(Action::Note(Note::Rejected(entry.last().clone())));
            }
            Stage::Asking { .. }
            | Stage::Deciding { .. }
            | Stage::Checking { .. }
            | Stage::Ringing { .. }
            | Stage::Consenting { .. }
            | Stage::Talking { .. }
            | Stage::Announcing { .. } => {}
        }
        self.leave_all(cause, None, todo);
        if matches!(self.caller, Caller::Waiting | Caller::Hearing | Caller::Answered) {
            self.caller = Caller::Leaving;
            todo.push(Action::HangUp(LegNumber::CALLER, cause));
        }
        todo.push(Action::Close(Summary {
            began: self.began,
            ended: now,
            caller_answered: self.caller_answered,
            answered: self.answered,
            end,
            rung: self.called.iter().map(|leg| leg.rung.clone()).collect(),
        }));
        self.stage = Stage::Ending { until: now.plus(ENDING) };
        self.end_if_all_is_over();
    }

    /// Ends every leg that rings or was answered, but for one.
    fn leave_all(&mut self, cause: Cause, but: Option<LegNumber>, todo: &mut Vec<Action>) {
        for (at, called) in self.called.iter_mut().enumerate() {
            let stands = matches!(called.state, CalledState::Dialled | CalledState::Answered);
            if stands && Some(number_of(at)) != but {
                called.state = CalledState::Leaving;
                todo.push(Action::HangUp(number_of(at), cause));
            }
        }
    }

    fn end_if_all_is_over(&mut self) {
        let over =
            self.caller == Caller::Over && self.called.iter().all(|leg| leg.state == CalledState::Over);
        if over && matches!(self.stage, Stage::Ending { .. }) {
            self.stage = Stage::Over;
        }
    }

    fn called_mut(&mut self, leg: LegNumber, state: CalledState) -> Option<&mut Called> {
        let at = self.place(leg)?;
        self.called.get_mut(at).filter(|called| called.state == state)
    }

    fn place(&self, leg: LegNumber) -> Option<usize> {
        usize::from(leg.0).checked_sub(1)
    }
}

fn number_of(place: usize) -> LegNumber {
    LegNumber(u8::try_from(place + 1).expect("law: fewer than 256 telephones are rung"))
}

/// What a caller who waits is told aloud, if anything is worth more than the status.
fn announcement(why: Why) -> Option<Sound> {
    match why {
        Why::Route(RefuseReason::NotAVirtualNumber | RefuseReason::Loop) => None,
        Why::Route(RefuseReason::UnknownCaller) => Some(Sound::UnknownNumber),
        Why::Route(RefuseReason::Ended | RefuseReason::NoLongerAParty) => Some(Sound::Ended),
        Why::Route(RefuseReason::OneWay) => Some(Sound::OneWay),
        Why::Route(RefuseReason::WrongPin) => Some(Sound::NotAvailable),
        Why::Limit(_) => Some(Sound::TryLater),
        // Another of the carrier's routes may lead to a node that is well: it is not kept waiting.
        Why::Missed(_) | Why::NoCommonSound | Why::NoRoom | Why::Failed => None,
    }
}

#[cfg(test)]
mod tests;
