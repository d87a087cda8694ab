//! How a trunk writes telephone numbers, and reads them.

use super::Trunk;
use crate::number::PhoneNumber;

/// How a trunk wants numbers written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `+919876543210`.
    Plus,
    /// `919876543210`.
    Digits,
    /// `09876543210` for a number of the trunk's country, with the country's trunk prefix, and `0012025550100` for
    /// others.
    National,
}

/// What is replaced at the front of a number: a prefix by another, either of which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// What a number must begin with.
    pub from: String,
    /// What stands there instead.
    pub to: String,
}

impl Rewrite {
    /// Reads `FROM=TO`, of digits, `+`, `*` and `#`.
    pub fn parse(text: &str) -> Option<Rewrite> {
        let (from, to) = text.split_once('=')?;
        let fits = |c: u8| c.is_ascii_digit() || matches!(c, b'+' | b'*' | b'#');
        let short = from.len() <= 16 && to.len() <= 16 && !text.is_empty() && from != to;
        let fits = short && from.bytes().chain(to.bytes()).all(fits);
        fits.then(|| Rewrite { from: from.to_owned(), to: to.to_owned() })
    }
}

/// The number with the first rule that fits applied to it; one rule at most.
fn rewritten(number: String, rules: &[Rewrite]) -> String {
    let fitting = rules.iter().find_map(|rule| Some((rule, number.strip_prefix(&rule.from)?)));
    match fitting {
        Some((rule, rest)) => format!("{}{rest}", rule.to),
        None => number,
    }
}

impl Trunk {
    /// The number as this trunk wants it, whole: for the wire only.
    pub fn write(&self, number: PhoneNumber) -> String {
        let written = match self.form {
            Form::Plus => number.expose().to_string(),
            Form::Digits => number.expose_digits().to_string(),
            Form::National => {
                let digits = number.expose_digits().to_string();
                let code = self.country.calling_code().to_string();
                match digits.strip_prefix(&code) {
                    Some(rest) if number.belongs_to(self.country) => {
                        format!("{}{rest}", self.country.trunk_prefix())
                    }
                    Some(_) | None => format!("00{digits}"),
                }
            }
        };
        rewritten(written, &self.dial_rules)
    }

    /// The number that this trunk wrote, if it is one. Digits that stand for one only with a country code before them,
    /// `919876543210`, are read as such when they are no national number.
    pub fn read(&self, text: &str) -> Option<PhoneNumber> {
        let text = rewritten(text.to_owned(), &self.read_rules);
        let international = || {
            let bare = text.bytes().all(|c| c.is_ascii_digit()) && !text.starts_with('0');
            bare.then(|| PhoneNumber::parse(&format!("+{text}"), self.country).ok()).flatten()
        };
        PhoneNumber::parse(&text, self.country).ok().or_else(international)
    }
}

#[cfg(test)]
mod tests {
    use super::super::TrunkName;
    use super::*;

    fn trunk(settings: &[(&str, &str)]) -> Trunk {
        let mut trunk = Trunk::new(TrunkName::parse("one").unwrap());
        for (setting, value) in settings {
            trunk.set(setting, value).unwrap();
        }
        trunk
    }

    #[test]
    fn numbers_are_written_as_the_trunk_wants_them() {
        let check = |settings: &[(&str, &str)], digits: u64, written: &str| {
            let number = PhoneNumber::from_digits(digits).unwrap();
            assert_eq!(trunk(settings).write(number), written);
        };
        check(&[], 919_876_543_210, "+919876543210");
        check(&[("form", "digits")], 919_876_543_210, "919876543210");
        check(&[("form", "national")], 919_876_543_210, "09876543210");
        check(&[("form", "national")], 12_025_550_100, "0012025550100");
        check(&[("form", "national"), ("country", "US")], 12_025_550_100, "12025550100");
        check(&[("dial_rules", "+91=0, +=00")], 919_876_543_210, "09876543210");
        check(&[("dial_rules", "+91=0, +=00")], 12_025_550_100, "0012025550100");
        check(&[("form", "digits"), ("dial_rules", "=7700#")], 12_025_550_100, "7700#12025550100");
    }

    #[test]
    fn numbers_are_read_as_the_trunk_writes_them() {
        let check = |settings: &[(&str, &str)], text: &str, digits: Option<u64>| {
            assert_eq!(trunk(settings).read(text).map(PhoneNumber::expose_digits), digits, "{text}");
        };
        check(&[], "+919876543210", Some(919_876_543_210));
        check(&[], "919876543210", Some(919_876_543_210));
        check(&[], "09876543210", Some(919_876_543_210));
        check(&[], "9876543210", Some(919_876_543_210));
        check(&[], "0012025550100", Some(12_025_550_100));
        check(&[], "442079460000", Some(442_079_460_000));
        check(&[("read_rules", "7700#=+")], "7700#12025550100", Some(12_025_550_100));
        check(&[("read_rules", "0=+44")], "02079460000", Some(442_079_460_000));
        check(&[], "anonymous", None);
        check(&[], "100", None);
        check(&[], "", None);
    }
}
