//! What is made of an attempt: it was taken, it is made again, or it is given up. Pure.

use std::time::Duration;

use callveil_domain::Chance;
use callveil_domain::delivery::Settlement;
use callveil_domain::time::Timestamp;
use hyper::StatusCode;

use crate::client::Answer;

/// How long is waited after each attempt that was not taken, from the first on, unless the operator says otherwise. Three
/// days and three hours in all, so that a receiver which breaks on a Friday evening has its events on Monday.
pub const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];

/// The longest wait that a receiver may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Whether the receiver took the message: any status of success, and none else. A redirect is a failure.
pub fn taken(answer: Answer) -> bool {
    matches!(answer, Answer::Status { status, .. } if status.is_success())
}

/// Whether the receiver wants nothing any more (`410 Gone`).
pub fn gone(answer: Answer) -> bool {
    matches!(answer, Answer::Status { status: StatusCode::GONE, .. })
}

/// How long the receiver wants to be left alone, whatever is sent.
pub fn asked_to_wait(answer: Answer) -> Option<Duration> {
    match answer {
        Answer::Status { status, retry_after: Some(wait) } if !status.is_success() => Some(wait.min(LONGEST)),
        Answer::Status { .. } | Answer::Nothing(_) => None,
    }
}

/// What an attempt comes to that was made after so many others, and answered at `now`. After the last of `waits` the
/// message is given up.
pub fn settlement(
    answer: Answer,
    attempts_before: u32,
    waits: &[Duration],
    now: Timestamp,
    rng: &mut Chance,
) -> Settlement {
    let (status, why) = match answer {
        Answer::Status { status, .. } if status.is_success() => {
            return Settlement::Delivered { status: status.as_u16() };
        }
        Answer::Status { status, .. } => {
            (Some(status.as_u16()), format!("answered with {}", status.as_u16()))
        }
        Answer::Nothing(silence) => (None, silence.to_string()),
    };
    let wait = waits.get(attempts_before as usize).filter(|_| !gone(answer));
    let Some(wait) = wait else { return Settlement::Dead { status, why } };
    let wait = jittered(*wait, rng).max(asked_to_wait(answer).unwrap_or_default());
    Settlement::Again { at: now.plus(wait), status, why }
}

/// A wait of about this length, a fifth more or less, so that what failed together does not come back together.
pub(crate) fn jittered(wait: Duration, rng: &mut Chance) -> Duration {
    let thousandths = 800 + rng.next_u32() % 401;
    wait * thousandths / 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::client::Silence;

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    fn status(status: u16, retry_after: Option<u64>) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer::Status { status, retry_after: retry_after.map(Duration::from_secs) }
    }

    fn settle(answer: Answer, attempts_before: u32) -> Settlement {
        settlement(answer, attempts_before, &WAITS, NOW, &mut StdRng::seed_from_u64(7))
    }

    #[test]
    fn every_answer_comes_to_something() {
        // What comes of the first attempt, and of the tenth: taken, again, dead.
        for (answer, first, tenth) in [
            (status(200, None), "taken", "taken"),
            (status(204, None), "taken", "taken"),
            (status(299, Some(60)), "taken", "taken"),
            (status(301, None), "again", "dead"),
            (status(302, None), "again", "dead"),
            (status(400, None), "again", "dead"),
            (status(401, None), "again", "dead"),
            (status(404, None), "again", "dead"),
            (status(410, None), "dead", "dead"),
            (status(429, Some(60)), "again", "dead"),
            (status(500, None), "again", "dead"),
            (status(503, None), "again", "dead"),
            (Answer::Nothing(Silence::TooLong), "again", "dead"),
            (Answer::Nothing(Silence::Broken), "again", "dead"),
            (Answer::Nothing(Silence::Name), "again", "dead"),
        ] {
            let word = |settled| match settled {
                Settlement::Delivered { .. } => "taken",
                Settlement::Again { .. } => "again",
                Settlement::Dead { .. } => "dead",
                Settlement::GivenBack => "given back",
            };
            assert_eq!((word(settle(answer, 0)), word(settle(answer, 9))), (first, tenth), "{answer:?}");
        }
    }

    #[test]
    fn a_receiver_that_asks_for_more_time_gets_it_up_to_a_day() {
        let wait = |asked| match settle(status(429, Some(asked)), 0) {
            Settlement::Again { at, .. } => at.since(NOW),
            other @ (Settlement::Delivered { .. } | Settlement::Dead { .. } | Settlement::GivenBack) => {
                panic!("{other:?}")
            }
        };
        assert!(wait(0) >= Duration::from_secs(4));
        assert_eq!(wait(3_600), Duration::from_secs(3_600));
        assert_eq!(wait(u64::MAX), LONGEST);
    }

    #[test]
    fn what_was_wrong_is_told_in_our_own_words() {
        let Settlement::Again { status: told, why, .. } = settle(status(500, None), 0) else { panic!() };
        assert_eq!((told, why.as_str()), (Some(500), "answered with 500"));
        let Settlement::Again { status: told, why, .. } = settle(Answer::Nothing(Silence::TooLong), 0) else {
            panic!()
        };
        assert_eq!((told, why.as_str()), (None, "no answer in time"));
    }

    proptest! {
        #[test]
        fn the_waits_grow_as_they_are_told_to_a_fifth(before in 0_u32..9, seed: u64) {
            let answer = Answer::Nothing(Silence::Connection);
            let settled = settlement(answer, before, &WAITS, NOW, &mut StdRng::seed_from_u64(seed));
            let Settlement::Again { at, .. } = settled else { panic!("{settled:?}") };
            let (wait, told) = (at.since(NOW), WAITS[before as usize]);
            prop_assert!(wait >= told * 4 / 5 && wait <= told * 6 / 5, "{wait:?} for {told:?}");
        }
    }
}
