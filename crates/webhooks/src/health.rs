//! How an endpoint has been answering, and so how much it is given at a time. Pure.
//!
//! Each endpoint has room of its own: one that hangs fills its room and nobody else's. The room grows by one with each
//! message that is taken and shrinks by two with each that is not, so that it stays wide while fewer than a third fail.
//! After [`TRIPS`] failures on end the endpoint is left alone for a while (a circuit breaker); then one message is tried.

use std::time::Duration;

use callveil_domain::Chance;
use callveil_domain::time::Timestamp;

use crate::retry::jittered;

/// What an endpoint that nothing is known of is given at a time.
const FIRST_ROOM: usize = 8;

/// The most that an endpoint is given at a time. More would serve one receiver faster, and hold more in memory.
const MOST_ROOM: usize = 64;

/// So many failures on end, and the endpoint is left alone.
pub const TRIPS: u32 = 10;

/// How long it is left alone at first; each time it fails again, twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest that it is left alone. Longer would let its events come later after it works again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// How an endpoint has been answering.
#[derive(Clone, Debug)]
pub struct Health {
    room: usize,
    in_flight: usize,
    failures: u32,
    left_alone_until: Timestamp,
}

impl Default for Health {
    fn default() -> Health {
        Health { room: FIRST_ROOM, in_flight: 0, failures: 0, left_alone_until: Timestamp::EPOCH }
    }
}

/// What a change of an endpoint's health is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is left alone from now on.
    LeftAlone,
    /// It takes messages again.
    WorksAgain,
}

impl Health {
    /// How many more messages it may be given.
    pub fn room(&self, now: Timestamp) -> usize {
        if now < self.left_alone_until {
            return 0;
        }
        let room = if self.failures >= TRIPS { 1 } else { self.room };
        room.saturating_sub(self.in_flight)
    }

    /// Some messages are on their way to it.
    pub fn given(&mut self, messages: usize) {
        self.in_flight += messages;
    }

    /// A message was not tried after all.
    pub fn given_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// A message was taken.
    pub fn took(&mut self) -> Option<News> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.room = (self.room + 1).min(MOST_ROOM);
        let failed = std::mem::take(&mut self.failures);
        (failed >= TRIPS).then_some(News::WorksAgain)
    }

    /// A message was not taken, and the receiver asked to be left alone for `wait`, if it did.
    pub fn failed(&mut self, wait: Option<Duration>, now: Timestamp, rng: &mut Chance) -> Option<News> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.room = self.room.saturating_sub(2).max(1);
        self.failures = self.failures.saturating_add(1);
        if let Some(until) = wait.map(|wait| now.plus(wait)) {
            self.left_alone_until = self.left_alone_until.max(until);
        }
        // What was on its way already fails as well, and makes the pause no longer.
        if self.failures >= TRIPS && self.left_alone_until <= now {
            let doubled = FIRST_PAUSE * 2_u32.pow((self.failures - TRIPS).min(6));
            self.left_alone_until = now.plus(jittered(doubled.min(LONGEST_PAUSE), rng));
        }
        (self.failures == TRIPS).then_some(News::LeftAlone)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

    fn at(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn fail(health: &mut Health, now: Timestamp) -> Option<News> {
        health.given(1);
        health.failed(None, now, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn an_endpoint_that_hangs_fills_its_own_room() {
        let mut health = Health::default();
        assert_eq!(health.room(NOW), FIRST_ROOM);
        health.given(FIRST_ROOM);
        assert_eq!(health.room(NOW), 0);
    }

    #[test]
    fn the_room_grows_with_what_is_taken() {
        let mut health = Health::default();
        for _ in 0..200 {
            health.given(1);
            assert_eq!(health.took(), None);
        }
        assert_eq!(health.room(NOW), MOST_ROOM);
        fail(&mut health, NOW);
        assert_eq!(health.room(NOW), MOST_ROOM - 2);
    }

    #[test]
    fn after_some_failures_on_end_it_is_left_alone_and_tried_with_one() {
        let mut health = Health::default();
        for n in 1..TRIPS {
            assert_eq!(fail(&mut health, NOW), None, "failure {n}");
            assert!(health.room(NOW) >= 1);
        }
        assert_eq!(fail(&mut health, NOW), Some(News::LeftAlone));
        assert_eq!((health.room(NOW), health.room(at(3)), health.room(at(7))), (0, 0, 1));

        // It fails again, and is left alone for about twice as long.
        assert_eq!(fail(&mut health, at(7)), None);
        assert_eq!((health.room(at(14)), health.room(at(20))), (0, 1));

        health.given(1);
        assert_eq!(health.took(), Some(News::WorksAgain));
        assert!(health.room(at(20)) > 1);
    }

    #[test]
    fn it_is_never_left_alone_for_longer_than_some_minutes() {
        let mut health = Health::default();
        let mut now = NOW;
        for _ in 0..1_000 {
            fail(&mut health, now);
            now = now.plus(Duration::from_secs(360));
            assert!(health.room(now) >= 1);
        }
    }

    #[test]
    fn one_that_asks_to_be_left_alone_is() {
        let mut health = Health::default();
        health.given(1);
        health.failed(Some(Duration::from_secs(60)), NOW, &mut StdRng::seed_from_u64(1));
        assert_eq!((health.room(at(59)), health.room(at(60))), (0, FIRST_ROOM - 2));
    }
}
