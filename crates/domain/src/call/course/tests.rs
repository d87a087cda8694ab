mod link;

use proptest::prelude::*;

use super::*;
use crate::call::limits::Over;
use crate::country::Country;

const NOON: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const A: LegNumber = LegNumber::CALLER;
const B1: LegNumber = LegNumber(1);
const B2: LegNumber = LegNumber(2);

fn number(n: u64) -> PhoneNumber {
    PhoneNumber::parse(&format!("+91990000000{n}"), Country::INDIA).unwrap()
}

fn numbers(count: u64) -> Way {
    Way::Ring((1..=count).map(number).collect())
}

/// A call whose story is written down as it is told.
struct Story {
    call: Call,
    now: Timestamp,
    told: String,
}

impl Story {
    fn of(rules: Rules) -> Story {
        Story { call: Call::new(rules, NOON), now: NOON, told: String::new() }
    }

    fn then(mut self, event: Event) -> Story {
        let actions = self.call.on(event, self.now);
        self.told += &actions.iter().map(|action| write(action) + "\n").collect::<String>();
        self
    }

    fn after(mut self, seconds: u64, event: Event) -> Story {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.then(event)
    }

    /// Lets time pass until the call wants it to.
    fn due(mut self) -> Story {
        self.now = self.call.deadline().unwrap();
        self.then(Event::Due)
    }

    fn keys(self, keys: &str) -> Story {
        keys.chars().fold(self, |story, key| story.then(Event::Key(A, key)))
    }

    #[track_caller]
    fn is(self, expected: &str) -> Story {
        let expected: String = expected.lines().map(|line| line.trim().to_owned() + "\n").collect();
        assert_eq!(self.told.trim(), expected.trim());
        Story { told: String::new(), ..self }
    }

    #[track_caller]
    fn ends(self) {
        assert!(self.call.is_over(), "{:?}", self.call);
        assert_eq!(self.call.deadline(), None);
    }
}

fn write(action: &Action) -> String {
    match action {
        Action::Close(summary) => {
            format!("close: {:?}, talked {}s", summary.end, summary.talked().as_secs())
        }
        other @ (Action::Ring
        | Action::Progress
        | Action::Answer
        | Action::Refuse(_)
        | Action::Dial(..)
        | Action::HangUp(..)
        | Action::Play(..)
        | Action::Stop(_)
        | Action::Listen(_)
        | Action::Join(_)
        | Action::Part
        | Action::Check(_)
        | Action::Note(_)) => format!("{other:?}").replace("LegNumber(0)", "A").replace("LegNumber", "B"),
    }
}

#[test]
fn a_call_rings_is_answered_and_ends_when_one_hangs_up() {
    Story::of(Rules::default())
        .then(Event::Decided(numbers(1)))
        .is("Dial(B(1), +91******01)")
        .after(1, Event::Ringing(B1, Heard::Nothing))
        .is("Note(Rings(+91******01))
             Ring")
        .after(4, Event::Answered(B1))
        .is("Answer
             Note(Answered(+91******01))
             Join(B(1))")
        .after(30, Event::Ended(A, EndedBy::Party))
        .is("HangUp(B(1), Normal)
             close: CallerHungUp, talked 30s")
        .after(1, Event::Ended(B1, EndedBy::Us))
        .is("")
        .ends();
}

#[test]
fn the_called_may_hang_up_too_and_both_may_at_once() {
    let talking = || {
        let rung = Story::of(Rules::default()).then(Event::Decided(numbers(1))).then(Event::Answered(B1));
        Story { told: String::new(), ..rung }
    };
    talking()
        .after(5, Event::Ended(B1, EndedBy::Party))
        .is("HangUp(A, Normal)
             close: CalledHungUp, talked 5s")
        .then(Event::Ended(A, EndedBy::Us))
        .ends();
    talking()
        .after(5, Event::Ended(B1, EndedBy::Party))
        .then(Event::Ended(A, EndedBy::Party))
        .is("HangUp(A, Normal)
             close: CalledHungUp, talked 5s")
        .ends();
    talking().after(5, Event::Ended(A, EndedBy::Loss)).is("HangUp(B(1), Normal)
             close: Lost, talked 5s");
}

#[test]
fn the_next_number_rings_after_a_busy_one_and_after_one_that_nobody_answers() {
    Story::of(Rules::default())
        .then(Event::Decided(numbers(3)))
        .then(Event::Missed(B1, Miss::Busy))
        .then(Event::Ringing(B2, Heard::Nothing))
        .is("Dial(B(1), +91******01)
             Dial(B(2), +91******02)
             Note(Rings(+91******02))
             Ring")
        .due()
        .is("HangUp(B(2), TimeUp)
             Dial(B(3), +91******03)")
        .then(Event::Ended(B2, EndedBy::Us))
        .then(Event::Ringing(LegNumber(3), Heard::Nothing))
        .is("")
        .then(Event::Missed(LegNumber(3), Miss::Declined))
        .is("Refuse(Missed(Busy))
             close: Missed(Busy), talked 0s")
        .then(Event::Ended(A, EndedBy::Us))
        .ends();
}

#[test]
fn a_telephone_that_is_answered_as_its_time_is_up_has_lost_the_call() {
    Story::of(Rules::default()).then(Event::Decided(numbers(2))).due().then(Event::Answered(B1)).is(
        "Dial(B(1), +91******01)
             HangUp(B(1), TimeUp)
             Dial(B(2), +91******02)",
    );
}

#[test]
fn of_telephones_that_ring_at_once_the_first_has_the_call() {
    Story::of(Rules { ringing: Ringing::Parallel, ..Rules::default() })
        .then(Event::Decided(numbers(3)))
        .is("Dial(B(1), +91******01)
             Dial(B(2), +91******02)
             Dial(B(3), +91******03)")
        .then(Event::Missed(B1, Miss::Busy))
        .then(Event::Answered(B2))
        .is("HangUp(B(3), AnsweredElsewhere)
             Answer
             Note(Answered(+91******02))
             Join(B(2))")
        .then(Event::Answered(LegNumber(3)))
        .is("")
        .then(Event::Ended(LegNumber(3), EndedBy::Us))
        .after(3, Event::Ended(B2, EndedBy::Party))
        .then(Event::Ended(A, EndedBy::Us))
        .is("HangUp(A, Normal)
             close: CalledHungUp, talked 3s")
        .ends();
}

#[test]
fn a_caller_who_gives_up_ends_what_rings() {
    Story::of(Rules::default())
        .then(Event::Decided(numbers(2)))
        .then(Event::Ended(A, EndedBy::Party))
        .is("Dial(B(1), +91******01)
             HangUp(B(1), Normal)
             close: Abandoned, talked 0s")
        .then(Event::Answered(B1))
        .then(Event::Ended(B1, EndedBy::Us))
        .is("")
        .ends();
}

#[test]
fn a_caller_who_gives_up_before_the_decision_rings_nobody() {
    Story::of(Rules::default())
        .then(Event::Ended(A, EndedBy::Party))
        .is("close: Abandoned, talked 0s")
        .then(Event::Decided(numbers(1)))
        .is("")
        .ends();
}

#[test]
fn all_ringing_together_has_an_end() {
    let rules = Rules { max_ringing: Duration::from_secs(40), ..Rules::default() };
    Story::of(rules).then(Event::Decided(numbers(5))).due().due().is("Dial(B(1), +91******01)
             HangUp(B(1), TimeUp)
             Dial(B(2), +91******02)
             HangUp(B(2), TimeUp)
             Refuse(Missed(NoAnswer))
             close: Missed(NoAnswer), talked 0s");
}

#[test]
fn a_refused_caller_hears_why_before_the_status() {
    let why = Why::Route(RefuseReason::OneWay);
    let refused = |announcements| {
        Story::of(Rules { announcements, ..Rules::default() }).then(Event::Decided(Way::Refuse(why)))
    };
    refused(Announcements::Early)
        .is("Progress
             Play(A, OneWay)")
        .then(Event::Played(A))
        .is("Refuse(Route(OneWay))
             close: Refused(Route(OneWay)), talked 0s")
        .then(Event::Ended(A, EndedBy::Us))
        .ends();
    refused(Announcements::Answered)
        .is("Answer
             Play(A, OneWay)")
        .due()
        .is("HangUp(A, Normal)
             close: Refused(Route(OneWay)), talked 0s");
    refused(Announcements::None).is("Refuse(Route(OneWay))
         close: Refused(Route(OneWay)), talked 0s");
}

#[test]
fn a_right_pin_connects() {
    Story::of(Rules::default())
        .then(Event::Decided(Way::AskForPin))
        .is("Answer
             Listen(true)
             Play(A, EnterPin)")
        .keys("4839")
        .is("Stop(A)")
        .keys("20#")
        .is("Check(Keyed(***))")
        .then(Event::Decided(numbers(1)))
        .is("Listen(false)
             Play(A, Ringback)
             Dial(B(1), +91******01)")
        .then(Event::Ringing(B1, Heard::Sound))
        .then(Event::Answered(B1))
        .is("Note(Rings(+91******01))
             Note(Answered(+91******01))
             Join(B(1))");
}

#[test]
fn who_joined_by_pin_and_meets_nobody_is_told_so_and_hung_up() {
    Story::of(Rules::default())
        .then(Event::Decided(Way::AskForPin))
        .keys("1#")
        .then(Event::Decided(numbers(1)))
        .is("Answer
             Listen(true)
             Play(A, EnterPin)
             Stop(A)
             Check(Keyed(***))
             Listen(false)
             Play(A, Ringback)
             Dial(B(1), +91******01)")
        .then(Event::Missed(B1, Miss::Busy))
        .is("Play(A, NotAvailable)")
        .then(Event::Played(A))
        .is("HangUp(A, Normal)
             close: Missed(Busy), talked 0s");
}

#[test]
fn three_wrong_pins_end_a_call_and_are_told_once() {
    let wrong = || Event::Decided(Way::Refuse(Why::Route(RefuseReason::WrongPin)));
    Story::of(Rules::default())
        .then(Event::Decided(Way::AskForPin))
        .keys("11")
        .due()
        .then(wrong())
        .is("Answer
             Listen(true)
             Play(A, EnterPin)
             Stop(A)
             Check(Keyed(***))
             Play(A, WrongPin)")
        .then(Event::Played(A))
        .due()
        .is("Play(A, WrongPin)")
        .keys("33#")
        .then(wrong())
        .is("Stop(A)
             Check(Keyed(***))
             Listen(false)
             Note(Rejected(Keyed(***)))
             Play(A, NotAvailable)")
        .then(Event::Played(A))
        .is("HangUp(A, Normal)
             close: PinRefused, talked 0s");
}

#[test]
fn who_hangs_up_after_a_wrong_pin_is_told_of_and_who_tried_none_is_not() {
    let asked = || Story::of(Rules::default()).then(Event::Decided(Way::AskForPin));
    asked()
        .keys("1#")
        .then(Event::Decided(Way::Refuse(Why::Route(RefuseReason::WrongPin))))
        .then(Event::Ended(A, EndedBy::Party))
        .is("Answer
             Listen(true)
             Play(A, EnterPin)
             Stop(A)
             Check(Keyed(***))
             Play(A, WrongPin)
             Note(Rejected(Keyed(***)))
             close: Abandoned, talked 0s")
        .ends();
    asked()
        .then(Event::Ended(A, EndedBy::Party))
        .is("Answer
             Listen(true)
             Play(A, EnterPin)
             close: Abandoned, talked 0s")
        .ends();
}

#[test]
fn both_are_told_of_a_recording_before_they_hear_each_other() {
    Story::of(Rules { recording: Recording::Told, ..Rules::default() })
        .then(Event::Decided(numbers(1)))
        .then(Event::Answered(B1))
        .is("Dial(B(1), +91******01)
             Answer
             Note(Answered(+91******01))
             Play(A, Recorded)
             Play(B(1), Recorded)")
        .then(Event::Played(B1))
        .then(Event::Played(A))
        .is("Join(B(1))");
}

#[test]
fn early_sound_is_heard_only_where_the_tenant_wants_it() {
    let rules = Rules { early_media: true, ..Rules::default() };
    Story::of(rules)
        .then(Event::Decided(numbers(2)))
        .then(Event::Ringing(B1, Heard::Sound))
        .is("Dial(B(1), +91******01)
             Note(Rings(+91******01))
             Ring
             Progress
             Join(B(1))")
        .then(Event::Missed(B1, Miss::NoAnswer))
        .is("Part
             Play(A, Ringback)
             Dial(B(2), +91******02)")
        .then(Event::Answered(B2))
        .is("Answer
             Note(Answered(+91******02))
             Join(B(2))");
    Story::of(Rules::default()).then(Event::Decided(numbers(1))).then(Event::Ringing(B1, Heard::Sound)).is(
        "Dial(B(1), +91******01)
             Note(Rings(+91******01))
             Ring",
    );
}

#[test]
fn a_conversation_ends_when_its_time_is_up_or_nothing_is_heard() {
    let talking = || {
        let rung = Story::of(Rules::default()).then(Event::Decided(numbers(1))).then(Event::Answered(B1));
        Story { told: String::new(), ..rung }
    };
    talking().due().is("HangUp(B(1), TimeUp)
                        HangUp(A, TimeUp)
                        close: TimeUp, talked 14400s");
    talking().after(70, Event::Silent(B1)).is("HangUp(B(1), TimeUp)
                                               HangUp(A, TimeUp)
                                               close: Lost, talked 70s");
}

#[test]
fn an_operator_ends_a_call_in_any_stage() {
    Story::of(Rules::default()).then(Event::HangUp).is("HangUp(A, Normal)
                                                        close: Ordered, talked 0s");
    Story::of(Rules::default())
        .then(Event::Decided(numbers(1)))
        .then(Event::Answered(B1))
        .after(2, Event::HangUp)
        .is("Dial(B(1), +91******01)
             Answer
             Note(Answered(+91******01))
             Join(B(1))
             HangUp(B(1), Normal)
             HangUp(A, Normal)
             close: Ordered, talked 2s");
}

#[test]
fn a_store_that_does_not_decide_and_a_sound_that_does_not_fit_refuse_the_caller() {
    Story::of(Rules::default()).due().is("Refuse(Failed)
                                          close: Refused(Failed), talked 0s");
    Story::of(Rules::default()).then(Event::NoSound(Why::NoCommonSound)).is("Refuse(NoCommonSound)
         close: Refused(NoCommonSound), talked 0s");
}

#[test]
fn legs_that_never_end_do_not_keep_a_call() {
    Story::of(Rules::default()).then(Event::Decided(numbers(1))).then(Event::HangUp).due().ends();
}

fn any_leg() -> impl Strategy<Value = LegNumber> {
    (0_u8..5).prop_map(LegNumber)
}

fn any_event() -> impl Strategy<Value = Event> {
    let why = prop_oneof![
        Just(Why::Route(RefuseReason::WrongPin)),
        Just(Why::Route(RefuseReason::Loop)),
        Just(Why::Limit(Over::CallsAtOnce)),
    ];
    let way = prop_oneof![
        3 => (0_u64..4).prop_map(numbers),
        2 => Just(Way::AskForPin),
        1 => why.prop_map(Way::Refuse),
    ];
    let by = prop_oneof![Just(EndedBy::Party), Just(EndedBy::Us), Just(EndedBy::Loss)];
    let miss = prop_oneof![Just(Miss::Busy), Just(Miss::NoAnswer), Just(Miss::Failed)];
    let heard = prop_oneof![Just(Heard::Sound), Just(Heard::Nothing)];
    let key = prop::sample::select("0123456789*#A".chars().collect::<Vec<_>>());
    prop_oneof![
        4 => way.prop_map(Event::Decided),
        3 => (any_leg(), heard).prop_map(|(leg, heard)| Event::Ringing(leg, heard)),
        3 => any_leg().prop_map(Event::Answered),
        2 => (any_leg(), miss).prop_map(|(leg, miss)| Event::Missed(leg, miss)),
        2 => (any_leg(), by).prop_map(|(leg, by)| Event::Ended(leg, by)),
        1 => Just(Event::NoSound(Why::NoRoom)),
        4 => (any_leg(), key).prop_map(|(leg, key)| Event::Key(leg, key)),
        3 => any_leg().prop_map(Event::Played),
        1 => any_leg().prop_map(Event::Silent),
        1 => Just(Event::HangUp),
        4 => Just(Event::Due),
    ]
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let ringing = prop_oneof![Just(Ringing::Sequential), Just(Ringing::Parallel)];
    let announcements =
        prop_oneof![Just(Announcements::Early), Just(Announcements::Answered), Just(Announcements::None)];
    let recording = prop_oneof![Just(Recording::Off), Just(Recording::On), Just(Recording::Told)];
    (ringing, announcements, recording, any::<bool>()).prop_map(
        |(ringing, announcements, recording, early_media)| Rules {
            ringing,
            announcements,
            recording,
            early_media,
            ..Rules::default()
        },
    )
}

/// What the world has seen of a call, and the laws that it holds it to.
#[derive(Default)]
struct Witness {
    closed: u32,
    caller_final: u32,
    caller_gone: bool,
    dialled: Vec<LegNumber>,
    gone: Vec<LegNumber>,
    joined: Option<LegNumber>,
    listening: bool,
    rejected: u32,
}

impl Witness {
    fn sees(&mut self, event: &Event) {
        match event {
            Event::Ended(LegNumber::CALLER, _) => self.caller_gone = true,
            Event::Ended(leg, _) | Event::Missed(leg, _) => self.gone.push(*leg),
            Event::Decided(_)
            | Event::Ringing(..)
            | Event::Answered(_)
            | Event::NoSound(_)
            | Event::Key(..)
            | Event::Played(_)
            | Event::Silent(_)
            | Event::HangUp
            | Event::Due => {}
        }
    }

    fn judges(&mut self, action: &Action) {
        assert!(self.closed == 0, "{action:?} after the end was written down");
        match action {
            Action::Answer | Action::Refuse(_) => self.caller_final += 1,
            Action::HangUp(LegNumber::CALLER, _) => self.caller_gone = true,
            Action::HangUp(leg, _) => self.gone.push(*leg),
            Action::Dial(leg, _) => {
                assert!(!self.dialled.contains(leg), "{leg:?} is dialled twice");
                self.dialled.push(*leg);
            }
            Action::Join(leg) => {
                assert!(!self.listening, "joined while keys are listened to");
                assert!(self.joined.is_none(), "joined twice");
                assert!(self.dialled.contains(leg), "joined to {leg:?}, which was never dialled");
                self.joined = Some(*leg);
            }
            Action::Part => self.joined = None,
            Action::Listen(on) => self.listening = *on,
            Action::Note(Note::Rejected(_)) => self.rejected += 1,
            Action::Close(_) => self.closed += 1,
            Action::Ring
            | Action::Progress
            | Action::Play(..)
            | Action::Stop(_)
            | Action::Check(_)
            | Action::Note(Note::Rings(_) | Note::Answered(_)) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_call_ends_once_and_leaves_nothing_behind(
        rules in any_rules(),
        events in prop::collection::vec((any_event(), 0_u64..8), 0..40),
    ) {
        let mut call = Call::new(rules, NOON);
        let mut witness = Witness::default();
        let mut now = NOON;
        let mut live = |call: &mut Call, event: Event, now| {
            witness.sees(&event);
            for action in call.on(event, now) {
                witness.judges(&action);
            }
            prop_assert_eq!(call.deadline().is_none(), call.is_over(), "stuck without a deadline");
            Ok(())
        };
        for (event, seconds) in events {
            now = now.plus(Duration::from_secs(seconds));
            live(&mut call, event, now)?;
        }
        let mut steps = 0;
        while let Some(due) = call.deadline() {
            now = now.max(due);
            live(&mut call, Event::Due, now)?;
            steps += 1;
            prop_assert!(steps < 100, "goes on for ever");
        }

        prop_assert_eq!(witness.closed, 1, "the end is written down once");
        prop_assert!(witness.caller_final <= 1, "the caller is answered or refused once");
        prop_assert!(witness.rejected <= 1, "a rejection is told once");
        prop_assert!(witness.caller_gone || witness.caller_final == 1, "the caller is let go");
        for leg in &witness.dialled {
            prop_assert!(witness.gone.contains(leg), "{:?} is left behind", leg);
        }
    }
}
