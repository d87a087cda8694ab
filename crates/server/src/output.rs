//! What commands say: an answer on standard output, for eyes or for programs, and complaints on standard error.
//!
//! An answer is one value with two voices: `Display` for a human, `Serialize` for `--json`. Nothing else is ever
//! written to standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use callveil_domain::time::Timestamp;
use serde::Serialize;

use crate::error::CommandError;

/// Where answers go, and in which voice.
pub struct Output {
    json: bool,
    answers: Box<dyn Write>,
    complaints: Box<dyn Write>,
}

impl Output {
    /// Standard output and standard error.
    pub fn standard(json: bool) -> Output {
        Output { json, answers: Box::new(io::stdout()), complaints: Box::new(io::stderr()) }
    }

    /// Says an answer.
    pub fn show<T: Serialize + fmt::Display>(&mut self, answer: &T) -> Result<(), CommandError> {
        let text = if self.json {
            serde_json::to_string(answer).expect("law: answers are made of strings, numbers and lists")
        } else {
            answer.to_string()
        };
        self.print(&text)
    }

    /// Writes a text that is the same for eyes and programs, such as a completion script.
    pub fn print(&mut self, text: &str) -> Result<(), CommandError> {
        let mut write = || {
            writeln!(self.answers, "{}", text.trim_end())?;
            self.answers.flush()
        };
        match write() {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|e| CommandError::new("writing the answer", e)),
        }
    }

    /// Says why there is no answer.
    pub fn complain(&mut self, error: &CommandError) {
        let text = if self.json {
            serde_json::json!({ "error": error }).to_string()
        } else {
            format!("error: {error}")
        };
        // When nobody can be told, the exit code still tells.
        let _ = writeln!(self.complaints, "{text}");
    }
}

/// Rows under a header, in columns as wide as their widest cell.
pub struct Columns<const N: usize> {
    pub header: [&'static str; N],
    pub rows: Vec<[String; N]>,
}

impl<const N: usize> fmt::Display for Columns<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.header[column].len()]).max().unwrap_or(0)
        });
        let mut line = |cells: [&str; N]| {
            let padded: Vec<String> =
                cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "{}", padded.join("  ").trim_end())
        };
        line(self.header)?;
        self.rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
    }
}

/// A moment as people and programs read it: UTC, to the second.
pub fn time(moment: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(moment.as_micros()) {
        Ok(moment) => moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => "never".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let columns = Columns {
            header: ["NUMBER", "REGION"],
            rows: vec![["+918000000001".into(), "KA".into()], ["+91".into(), String::new()]],
        };
        assert_eq!(columns.to_string(), "NUMBER         REGION\n+918000000001  KA\n+91\n");
    }

    #[test]
    fn what_never_ends_says_so() {
        assert_eq!(time(Timestamp::from_micros(1_700_000_000_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(time(Timestamp::NEVER), "never");
    }
}
