//! What was said on both legs, in the order of its coming, as a ladder.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::clock::stopwatch;

/// Which of the two telephones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Who {
    /// The caller.
    A,
    /// The called.
    B,
}

/// A message on a leg.
#[derive(Clone, Debug, Serialize)]
pub struct Rung {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// On whose leg.
    pub leg: Who,
    /// Whether the telephone sent it, or callveil.
    pub sent: bool,
    /// What it was.
    pub what: String,
}

/// A ladder that several write on.
#[derive(Clone)]
pub struct Ladder {
    begun: Instant,
    rungs: Arc<Mutex<Vec<Rung>>>,
}

impl Ladder {
    /// An empty ladder.
    pub fn new() -> Ladder {
        Ladder { begun: stopwatch(), rungs: Arc::default() }
    }

    /// Writes down a message.
    pub fn write(&self, leg: Who, sent: bool, what: &str) {
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut rungs = self.rungs.lock().unwrap_or_else(PoisonError::into_inner);
        rungs.push(Rung { at_ms, leg, sent, what: what.to_owned() });
    }

    /// All that was written.
    pub fn rungs(&self) -> Vec<Rung> {
        self.rungs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Ladder {
    fn default() -> Self {
        Ladder::new()
    }
}

/// How wide the space between two of the three is.
const WIDTH: usize = 30;

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>8}  A{:^WIDTH$}callveil{:^WIDTH$}B", "", "", "")?;
        for Rung { at_ms, leg, sent, what } in self.rungs() {
            let arrow = match (leg, sent) {
                (Who::A, true) | (Who::B, false) => format!("{what:-^0$}>", WIDTH - 1),
                (Who::A, false) | (Who::B, true) => format!("<{what:-^0$}", WIDTH - 1),
            };
            let (left, right) = match leg {
                Who::A => (arrow, String::new()),
                Who::B => (" ".repeat(WIDTH), arrow),
            };
            writeln!(f, "{at_ms:>5} ms  |{left}|      |{right:WIDTH$}|")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_has_a_column_for_each_leg() {
        let ladder = Ladder::new();
        ladder.write(Who::A, true, " INVITE ");
        ladder.write(Who::B, false, " INVITE ");
        ladder.write(Who::B, true, " 180 ");
        let text = ladder.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("|---------- INVITE ----------->|      |"), "{text}");
        assert!(lines[2].contains("|      |---------- INVITE ----------->|"), "{text}");
        assert!(lines[3].contains("|<------------ 180 ------------|"), "{text}");
    }
}
