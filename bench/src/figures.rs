//! Figures: percentiles, medians of alternated rounds, and the lines that tell them.

/// Latencies in microseconds.
#[derive(Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds what one worker measured.
    pub fn add(&mut self, micros: Vec<u32>) {
        self.0.extend(micros);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency, in milliseconds, that this share of them stays under.
    pub fn percentile(&mut self, share: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        let at = ((self.0.len() as f64 * share) as usize).min(self.0.len() - 1);
        f64::from(*self.0.select_nth_unstable(at).1) / 1_000.0
    }
}

/// The middle one; of an even number, the lower of the two in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// One line of the table: what was measured, what was aimed at, and whether it was reached.
pub fn report(what: &str, measured: &str, aim: &str, reached: bool) {
    say(&format!("{what:<58} {measured:<44} {aim:<34} {}", if reached { "reached" } else { "MISSED" }));
}

/// A line for whoever reads the figures.
#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
pub fn say(line: &str) {
    println!("{line}");
}
