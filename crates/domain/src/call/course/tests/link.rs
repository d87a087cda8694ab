//! Telephones at the other ends of links that lose and reorder, and a clock that is turned by hand.
//!
//! Each leg speaks a SIP of nine words, which are repeated as RFC 3261 has it until they are answered. The link may
//! keep a word for two seconds, so that later ones pass it, and lose it, though not more than five times in a row.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use proptest::prelude::*;

use super::{NOON, Witness, any_rules, numbers};
use crate::call::LegNumber;
use crate::call::course::{Action, Call, EndedBy, Event, Heard, Miss, Rules, Sound, Way, Why};
use crate::call::pin_entry::Keyed;
use crate::routing::RefuseReason;
use crate::time::Timestamp;

/// Between the first two sendings of a word (RFC 3261 T1), in milliseconds.
const FIRST_WAIT: u64 = 500;
/// Between later ones at most (T2).
const LONGEST_WAIT: u64 = 4_000;
/// For so long a word is repeated (timers B, F and H).
const PATIENCE: u64 = 32_000;
/// So often in a row a word may be lost.
const LOSSES: u8 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Invite,
    Ringing,
    Answer,
    Refusal,
    Ack,
    Cancel,
    Cancelled,
    Bye,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Ours,
    Theirs,
}

impl End {
    fn other(self) -> End {
        match self {
            End::Ours => End::Theirs,
            End::Theirs => End::Ours,
        }
    }
}

/// How a telephone behaves, in milliseconds from the moment that it is reached.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Answers then, and hangs up so long afterwards.
    Answers(u64, u64),
    /// Is busy, or turned down, then.
    Refuses(u64),
    /// Rings for as long as it is let.
    Rings,
    /// Hears nothing of all this.
    Dead,
}

/// How far a leg has come, as one of its ends sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Quiet,
    Calling,
    Talking,
    Over,
}

#[derive(Debug)]
struct Leg {
    manner: Manner,
    ours: State,
    theirs: State,
    /// We want its end; what comes of it is no news.
    unwanted: bool,
    rang: bool,
    finals: BTreeSet<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives(LegNumber, End, Word),
    Repeats(LegNumber, End, Word, u64, u64),
    Acts(LegNumber, Word),
    Tells(Told),
    Due,
}

/// What the store and the sound tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    First,
    Pin,
    Played(LegNumber),
    Key(char),
}

/// A call, its telephones and what is on its way between them.
struct World {
    now: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    order: u64,
    rng: u64,
    lost: BTreeMap<(LegNumber, End, Word), u8>,
    /// Words that are repeated no more: they were answered.
    settled: BTreeSet<(LegNumber, End, Word)>,
    legs: BTreeMap<LegNumber, Leg>,
    manners: Vec<Manner>,
    ways: Vec<Way>,
    call: Option<Call>,
    rules: Rules,
    witness: Witness,
    /// Whether the parties have ever heard each other.
    joined: bool,
}

impl World {
    fn new(seed: u64, rules: Rules, caller: Manner, manners: Vec<Manner>, ways: Vec<Way>) -> World {
        let leg = Leg {
            manner: caller,
            ours: State::Quiet,
            theirs: State::Calling,
            unwanted: false,
            rang: false,
            finals: BTreeSet::new(),
        };
        let mut world = World {
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            rng: seed | 1,
            lost: BTreeMap::new(),
            settled: BTreeSet::new(),
            legs: [(LegNumber::CALLER, leg)].into(),
            manners,
            ways,
            call: None,
            rules,
            witness: Witness::default(),
            joined: false,
        };
        world.repeat(LegNumber::CALLER, End::Theirs, Word::Invite);
        if let Manner::Answers(_, patience) = caller {
            world.at(patience, Happening::Acts(LegNumber::CALLER, Word::Bye));
        }
        world
    }

    /// A number below `bound` (xorshift).
    fn chance(&mut self, bound: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng % bound
    }

    fn at(&mut self, wait: u64, happening: Happening) {
        self.order += 1;
        self.queue.push(Reverse((self.now + wait, self.order, happening)));
    }

    fn leg(&mut self, leg: LegNumber) -> &mut Leg {
        self.legs.get_mut(&leg).expect("a leg that was begun")
    }

    /// Says a word once.
    fn say(&mut self, leg: LegNumber, from: End, word: Word) {
        let unlucky = self.chance(100) < 35;
        let lost = self.lost.entry((leg, from, word)).or_default();
        if unlucky && *lost < LOSSES {
            *lost += 1;
            return;
        }
        *lost = 0;
        let wait = 1 + self.chance(2_000);
        self.at(wait, Happening::Arrives(leg, from.other(), word));
    }

    /// Says a word until it is answered, or for as long as there is hope.
    fn repeat(&mut self, leg: LegNumber, from: End, word: Word) {
        self.say(leg, from, word);
        self.at(FIRST_WAIT, Happening::Repeats(leg, from, word, FIRST_WAIT, self.now + PATIENCE));
    }

    fn settle(&mut self, leg: LegNumber, from: End, word: Word) {
        self.settled.insert((leg, from, word));
    }

    fn run(&mut self) {
        let mut steps = 0;
        while let Some(Reverse((at, _, happening))) = self.queue.pop() {
            self.now = self.now.max(at);
            self.happens(happening);
            steps += 1;
            assert!(steps < 200_000, "goes on for ever");
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives(leg, End::Ours, word) => self.hears(leg, word),
            Happening::Arrives(leg, End::Theirs, word) => self.telephone_hears(leg, word),
            Happening::Repeats(leg, from, word, wait, until) => self.again(leg, from, word, wait, until),
            Happening::Acts(leg, word) => self.acts(leg, word),
            Happening::Tells(told) => {
                let event = match told {
                    Told::First | Told::Pin if self.ways.is_empty() => {
                        Event::Decided(Way::Refuse(Why::Route(RefuseReason::WrongPin)))
                    }
                    Told::First | Told::Pin => Event::Decided(self.ways.remove(0)),
                    Told::Played(leg) => Event::Played(leg),
                    Told::Key(key) => Event::Key(LegNumber::CALLER, key),
                };
                self.tell(event);
            }
            Happening::Due => {
                let due = self.call.as_ref().and_then(Call::deadline);
                if due.is_some_and(|due| due <= self.moment()) {
                    self.tell(Event::Due);
                }
            }
        }
    }

    fn again(&mut self, leg: LegNumber, from: End, word: Word, wait: u64, until: u64) {
        if self.settled.contains(&(leg, from, word)) {
            return;
        }
        if self.now < until {
            self.say(leg, from, word);
            let wait = (2 * wait).min(LONGEST_WAIT);
            self.at(wait, Happening::Repeats(leg, from, word, wait, until));
            return;
        }
        // Nobody answers.
        self.settle(leg, from, word);
        match (from, word) {
            (End::Theirs, _) => self.leg(leg).theirs = State::Over,
            (End::Ours, Word::Invite) => self.missed(leg, Miss::NoAnswer),
            (End::Ours, Word::Answer) => self.ended(leg, EndedBy::Loss),
            (End::Ours, _) => self.ended(leg, EndedBy::Us),
        }
    }

    /// Our end of a leg hears a word.
    fn hears(&mut self, leg: LegNumber, word: Word) {
        let state = self.leg(leg).ours;
        match word {
            Word::Invite => {
                if state == State::Quiet {
                    self.leg(leg).ours = State::Calling;
                    self.call = Some(Call::new(self.rules.clone(), self.moment()));
                    self.wind();
                    let wait = 1 + self.chance(300);
                    self.at(wait, Happening::Tells(Told::First));
                }
                self.say(leg, End::Ours, Word::Ringing);
            }
            Word::Ringing => {
                self.settle(leg, End::Ours, Word::Invite);
                if !std::mem::replace(&mut self.leg(leg).rang, true) {
                    self.tell(Event::Ringing(leg, Heard::Nothing));
                }
            }
            Word::Answer => {
                self.settle(leg, End::Ours, Word::Invite);
                self.settle(leg, End::Ours, Word::Cancel);
                self.say(leg, End::Ours, Word::Ack);
                if state == State::Calling {
                    self.leg(leg).ours = State::Talking;
                    match self.leg(leg).unwanted {
                        true => self.repeat(leg, End::Ours, Word::Bye),
                        false => self.tell(Event::Answered(leg)),
                    }
                }
            }
            Word::Refusal => {
                self.settle(leg, End::Ours, Word::Invite);
                self.settle(leg, End::Ours, Word::Cancel);
                self.say(leg, End::Ours, Word::Ack);
                if state == State::Calling {
                    self.missed(leg, Miss::Busy);
                }
            }
            Word::Ack => {
                self.settle(leg, End::Ours, Word::Answer);
                self.settle(leg, End::Ours, Word::Refusal);
            }
            Word::Cancel => {
                self.say(leg, End::Ours, Word::Cancelled);
                if state == State::Calling {
                    self.leg(leg).ours = State::Over;
                    self.repeat(leg, End::Ours, Word::Refusal);
                    self.tell(Event::Ended(leg, EndedBy::Party));
                }
            }
            Word::Bye => {
                self.say(leg, End::Ours, Word::Gone);
                for word in [Word::Answer, Word::Bye] {
                    self.settle(leg, End::Ours, word);
                }
                self.ended(leg, EndedBy::Party);
            }
            Word::Cancelled => self.settle(leg, End::Ours, Word::Cancel),
            Word::Gone => {
                self.settle(leg, End::Ours, Word::Bye);
                self.ended(leg, EndedBy::Us);
            }
        }
    }

    /// A telephone hears a word.
    fn telephone_hears(&mut self, leg: LegNumber, word: Word) {
        let Leg { manner, theirs: state, .. } = *self.leg(leg);
        if matches!(manner, Manner::Dead) {
            return;
        }
        match word {
            Word::Invite => match (state, manner) {
                (State::Quiet, _) => {
                    self.leg(leg).theirs = State::Calling;
                    self.say(leg, End::Theirs, Word::Ringing);
                    match manner {
                        Manner::Answers(after, _) => self.at(after, Happening::Acts(leg, Word::Answer)),
                        Manner::Refuses(after) => self.at(after, Happening::Acts(leg, Word::Refusal)),
                        Manner::Rings | Manner::Dead => {}
                    }
                }
                _ => self.say(leg, End::Theirs, Word::Ringing),
            },
            Word::Ringing => self.settle(leg, End::Theirs, Word::Invite),
            Word::Answer | Word::Refusal => {
                self.leg(leg).finals.insert(word);
                self.settle(leg, End::Theirs, Word::Invite);
                self.say(leg, End::Theirs, Word::Ack);
                if state == State::Calling {
                    let next = if word == Word::Answer { State::Talking } else { State::Over };
                    self.leg(leg).theirs = next;
                }
            }
            Word::Ack => {
                self.settle(leg, End::Theirs, Word::Answer);
                self.settle(leg, End::Theirs, Word::Refusal);
            }
            Word::Cancel => {
                self.say(leg, End::Theirs, Word::Cancelled);
                if state != State::Talking && state != State::Over {
                    self.leg(leg).theirs = State::Over;
                    self.repeat(leg, End::Theirs, Word::Refusal);
                }
            }
            Word::Bye => {
                self.say(leg, End::Theirs, Word::Gone);
                self.settle(leg, End::Theirs, Word::Answer);
                self.leg(leg).theirs = State::Over;
            }
            Word::Cancelled => self.settle(leg, End::Theirs, Word::Cancel),
            Word::Gone => {
                self.settle(leg, End::Theirs, Word::Bye);
                self.leg(leg).theirs = State::Over;
            }
        }
    }

    /// A telephone does something of its own accord.
    fn acts(&mut self, leg: LegNumber, word: Word) {
        let Leg { manner, theirs: state, .. } = *self.leg(leg);
        match (word, state) {
            (Word::Answer, State::Calling) => {
                self.leg(leg).theirs = State::Talking;
                self.repeat(leg, End::Theirs, Word::Answer);
                if let Manner::Answers(_, talks) = manner {
                    self.at(talks, Happening::Acts(leg, Word::Bye));
                }
            }
            (Word::Refusal, State::Calling) => {
                self.leg(leg).theirs = State::Over;
                self.repeat(leg, End::Theirs, Word::Refusal);
            }
            (Word::Bye, State::Talking) => self.repeat(leg, End::Theirs, Word::Bye),
            (Word::Bye, State::Calling) => {
                self.settle(leg, End::Theirs, Word::Invite);
                self.repeat(leg, End::Theirs, Word::Cancel);
            }
            _ => {}
        }
    }

    fn moment(&self) -> Timestamp {
        NOON.plus(Duration::from_millis(self.now))
    }

    fn missed(&mut self, leg: LegNumber, miss: Miss) {
        if self.leg(leg).unwanted {
            self.ended(leg, EndedBy::Us);
        } else if self.leg(leg).ours != State::Over {
            self.leg(leg).ours = State::Over;
            self.tell(Event::Missed(leg, miss));
        }
    }

    /// Our end of a leg is over; that is told once.
    fn ended(&mut self, leg: LegNumber, by: EndedBy) {
        if std::mem::replace(&mut self.leg(leg).ours, State::Over) != State::Over {
            self.tell(Event::Ended(leg, by));
        }
    }

    fn tell(&mut self, event: Event) {
        let now = self.moment();
        let Some(call) = &mut self.call else { return };
        self.witness.sees(&event);
        let actions = call.on(event, now);
        for action in &actions {
            self.witness.judges(action);
        }
        self.wind();
        actions.into_iter().for_each(|action| self.does(action));
    }

    /// Winds the clock for the call's deadline.
    fn wind(&mut self) {
        let Some(due) = self.call.as_ref().and_then(Call::deadline) else { return };
        let wait = due.since(self.moment()).as_millis() as u64;
        self.at(wait + 1, Happening::Due);
    }

    fn does(&mut self, action: Action) {
        match action {
            Action::Dial(leg, _) => {
                let manner = self.manners.pop().unwrap_or(Manner::Dead);
                let begun = Leg {
                    manner,
                    ours: State::Calling,
                    theirs: State::Quiet,
                    unwanted: false,
                    rang: false,
                    finals: BTreeSet::new(),
                };
                self.legs.insert(leg, begun);
                self.repeat(leg, End::Ours, Word::Invite);
            }
            Action::Ring | Action::Progress => self.say(LegNumber::CALLER, End::Ours, Word::Ringing),
            Action::Answer if self.leg(LegNumber::CALLER).ours == State::Calling => {
                self.leg(LegNumber::CALLER).ours = State::Talking;
                self.repeat(LegNumber::CALLER, End::Ours, Word::Answer);
            }
            Action::Refuse(_) if self.leg(LegNumber::CALLER).ours == State::Calling => {
                self.repeat(LegNumber::CALLER, End::Ours, Word::Refusal);
                self.ended(LegNumber::CALLER, EndedBy::Us);
            }
            Action::HangUp(leg, _) => {
                self.leg(leg).unwanted = true;
                match self.leg(leg).ours {
                    State::Talking => self.repeat(leg, End::Ours, Word::Bye),
                    State::Calling if leg == LegNumber::CALLER => {
                        self.repeat(leg, End::Ours, Word::Refusal);
                        self.ended(leg, EndedBy::Us);
                    }
                    State::Calling => self.repeat(leg, End::Ours, Word::Cancel),
                    State::Quiet | State::Over => {}
                }
            }
            Action::Check(Keyed { .. }) => {
                let wait = 1 + self.chance(300);
                self.at(wait, Happening::Tells(Told::Pin));
            }
            Action::Play(_, Sound::Ringback) => {}
            Action::Play(leg, _) => self.at(1_500, Happening::Tells(Told::Played(leg))),
            Action::Listen(true) => {
                for (at, key) in "482913#".chars().enumerate() {
                    self.at(400 * (at as u64 + 1), Happening::Tells(Told::Key(key)));
                }
            }
            Action::Join(_) => self.joined = true,
            Action::Answer
            | Action::Refuse(_)
            | Action::Stop(_)
            | Action::Listen(false)
            | Action::Part
            | Action::Note(_)
            | Action::Close(_) => {}
        }
    }
}

fn any_manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        4 => (0_u64..20_000, 0_u64..60_000).prop_map(|(after, talks)| Manner::Answers(after, talks)),
        2 => (0_u64..20_000).prop_map(Manner::Refuses),
        1 => Just(Manner::Rings),
        1 => Just(Manner::Dead),
    ]
}

fn any_ways() -> impl Strategy<Value = Vec<Way>> {
    let wrong = || Way::Refuse(Why::Route(RefuseReason::WrongPin));
    prop_oneof![
        4 => (1_u64..4).prop_map(|count| vec![numbers(count)]),
        2 => (1_u64..4).prop_map(move |count| vec![Way::AskForPin, wrong(), numbers(count)]),
        1 => Just(vec![Way::AskForPin]),
        1 => Just(vec![Way::Refuse(Why::Route(RefuseReason::Loop))]),
    ]
}

#[test]
fn over_such_a_link_patient_parties_meet() {
    for seed in 1..200 {
        let [caller, called] = [Manner::Answers(0, 150_000), Manner::Answers(2_000, 60_000)];
        let rules = Rules { ring_timeout: Duration::from_secs(60), ..Rules::default() };
        let mut world = World::new(seed, rules, caller, vec![called], vec![numbers(1)]);

        world.run();

        assert!(world.joined, "with seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn over_a_link_that_loses_and_reorders_every_call_ends_for_all(
        seed in any::<u64>(),
        rules in any_rules(),
        // A caller gives up, or hangs up, at some time.
        patience in 100_u64..200_000,
        manners in prop::collection::vec(any_manner(), 3),
        ways in any_ways(),
    ) {
        let mut world = World::new(seed, rules, Manner::Answers(0, patience), manners, ways);

        world.run();

        // The first word may come only after the caller has given up: then there was no call.
        let Some(call) = &world.call else { return Ok(()) };
        prop_assert!(call.is_over(), "{:?}", call);
        prop_assert_eq!(call.deadline(), None);
        prop_assert_eq!(world.witness.closed, 1);
        prop_assert!(world.witness.caller_final <= 1);
        for (number, leg) in &world.legs {
            prop_assert!(leg.finals.len() <= 1, "{:?} was told {:?}", number, leg.finals);
            prop_assert_eq!(leg.ours, State::Over, "{:?}: {:?}", number, leg);
            // A telephone that is rung and never reached again goes on ringing: that ends by itself.
            prop_assert_ne!(leg.theirs, State::Talking, "{:?}: {:?}", number, leg);
        }
    }
}
