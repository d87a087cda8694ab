//! The wall clock, kept from running backwards, and the randomness of the operating system.
//!
//! This is where the program reads what no rule may read by itself.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use callveil_domain::node::Randomness;
use callveil_domain::time::{Clock, Timestamp};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

/// The wall clock. When it is set back, it stands still until the old time is reached again: nothing is freed
/// early, and no moment comes twice in another order.
///
/// Where many nodes share a database, all follow that one's clock: a machine whose own runs wrong is of no account.
pub struct WallClock {
    latest: AtomicI64,
    followed: RwLock<Option<Followed>>,
}

/// What another clock showed, and when: it is reckoned on from there.
#[derive(Clone, Copy)]
struct Followed {
    when: Instant,
    showed: Timestamp,
}

impl WallClock {
    /// A clock that tells no moment before `latest`, the last one that the store has seen.
    pub fn starting_at(latest: Timestamp) -> WallClock {
        WallClock { latest: AtomicI64::new(latest.as_micros()), followed: RwLock::new(None) }
    }

    /// Shows from now on what another clock shows, which showed this at that time.
    pub fn follow(&self, when: Instant, showed: Timestamp) {
        *self.followed.write().unwrap_or_else(PoisonError::into_inner) = Some(Followed { when, showed });
    }

    /// Whether it shows what another clock shows.
    pub fn follows(&self) -> bool {
        self.followed.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let followed = *self.followed.read().unwrap_or_else(PoisonError::into_inner);
        let now = match followed {
            Some(Followed { when, showed }) => showed.plus(stopwatch().saturating_duration_since(when)),
            None => wall_time(),
        };
        let now = now.as_micros();
        Timestamp::from_micros(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

/// What the machine's clock shows, even when that is behind what it showed before.
pub fn wall_time() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the driver that reads the clock")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since_epoch)
}

/// A moment to measure lengths of time from.
pub fn stopwatch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the driver that measures how long things take")]
    Instant::now()
}

/// A fresh generator for each use case. Its seed comes from the thread's own generator, which the operating system
/// seeded: a system call for each request would cost more than the rest of it.
pub fn randomness() -> Randomness {
    #[expect(clippy::disallowed_methods, reason = "this is the driver that makes the randomness")]
    Arc::new(|| Box::new(StdRng::from_rng(&mut rand::rng())))
}

/// A generator that nobody can guess.
pub fn generator() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).expect("law: the operating system gives randomness")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_clock_never_runs_behind_what_the_store_has_seen() {
        let future = wall_time().plus(Duration::from_secs(3_600));
        let clock = WallClock::starting_at(future);
        assert_eq!(clock.now(), future);
        assert_eq!(clock.now(), future);
    }

    #[test]
    fn a_clock_without_a_past_shows_the_wall_time() {
        let before = wall_time();
        let now = WallClock::starting_at(Timestamp::EPOCH).now();
        assert!(before <= now && now <= wall_time());
    }

    #[test]
    fn a_clock_that_follows_another_shows_what_that_one_shows() {
        let elsewhere = Timestamp::from_micros(4_000_000_000_000_000);
        let clock = WallClock::starting_at(Timestamp::EPOCH);

        clock.follow(stopwatch(), elsewhere);

        assert!(clock.follows());
        let shown = clock.now();
        assert!(elsewhere <= shown && shown < elsewhere.plus(Duration::from_secs(60)));
    }
}
