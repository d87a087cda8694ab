//! Countries, as far as telephone numbers need them: the calling code, the trunk prefix, and how long
//! national numbers are. That is enough to read a number written the national way, and too little to say
//! whether it exists; new series appear every year, and refusing them would be worse than trying them.
//!
//! The facts are in `country/table.rs`, one country a line, made from libphonenumber's metadata.

mod table;

use std::fmt;

use self::table::TABLE;
use crate::number::Digits;

/// A country or territory with a calling code: ISO 3166-1 alpha-2, and AC and XK, which ISO only reserves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(u8);

impl Country {
    /// India, the home of a deployment that names no other.
    pub const INDIA: Country = Country::listed(*b"IN");

    /// Reads a two-letter code in either case; None for a code that has no telephone numbers.
    pub fn parse(code: &str) -> Option<Country> {
        let &[first, second] = code.as_bytes() else { return None };
        let wanted = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        let index = TABLE.binary_search_by(|plan| plan.code.as_bytes().cmp(&wanted)).ok()?;
        u8::try_from(index).ok().map(Country)
    }

    /// Every country, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Country> {
        (0..=u8::MAX).take(TABLE.len()).map(Country)
    }

    /// The two letters, in capitals.
    pub fn code(self) -> &'static str {
        self.plan().code
    }

    /// The digits between the + and the national number (ITU-T E.164 section 6). Countries may share one.
    pub fn calling_code(self) -> u16 {
        self.plan().calling_code
    }

    /// The digits before a national number within the country, if it has such, as people dial it there.
    pub fn trunk_prefix(self) -> String {
        let trunk = self.plan().trunk;
        match trunk.is_empty() {
            true => String::new(),
            false => format!("{:0width$}", trunk.value(), width = trunk.count() as usize),
        }
    }

    pub(crate) fn plan(self) -> &'static Plan {
        &TABLE[usize::from(self.0)]
    }

    const fn listed(code: [u8; 2]) -> Country {
        let mut index = 0;
        loop {
            let listed = TABLE[index].code.as_bytes();
            if listed[0] == code[0] && listed[1] == code[1] {
                return Country(index as u8);
            }
            index += 1;
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What a country's numbering plan says about the form of its numbers, and nothing about which are in use.
pub(crate) struct Plan {
    code: &'static str,
    pub(crate) calling_code: u16,
    /// What is dialled before a national number at home, and dropped from abroad; empty where there is none.
    pub(crate) trunk: Digits,
    people: Lengths,
    services: Lengths,
    service_starts: u128,
    bare: Lengths,
}

impl Plan {
    /// Could a person or an office have this national number, by its length?
    pub(crate) fn has_person(&self, national: Digits) -> bool {
        self.may_begin(national) && self.people.contain(national.count())
    }

    /// Could this be a freephone or another service number, whose length no person's number has?
    pub(crate) fn has_service(&self, national: Digits) -> bool {
        self.may_begin(national)
            && self.services.contain(national.count())
            && self.service_starts & (1 << national.first_two()) != 0
    }

    /// Is a number of this many digits, which begins with the calling code, still more likely a national
    /// number than one with its calling code? An Italian mobile may begin with 39, which is also Italy.
    pub(crate) fn prefers_bare(&self, count: u32) -> bool {
        self.bare.contain(count)
    }

    /// With a trunk prefix, a leading zero belongs to it, not to the number. Italy has none, and keeps zeros.
    fn may_begin(&self, national: Digits) -> bool {
        self.trunk.is_empty() || !national.begins_with_zero()
    }

    /// Services whose numbers begin with any of `starts`, one or two digits each.
    const fn services(mut self, starts: &[&str], lengths: &[u32]) -> Plan {
        let mut index = 0;
        while index < starts.len() {
            let start = Digits::written(starts[index]);
            self.service_starts |= match start.count() {
                1 => 0x3ff << (start.value() * 10),
                _ => 1 << start.value(),
            };
            index += 1;
        }
        self.services = Lengths::of(lengths);
        self
    }

    const fn bare(mut self, lengths: &[u32]) -> Plan {
        self.bare = Lengths::of(lengths);
        self
    }
}

/// Country, calling code, trunk prefix, and the lengths that the numbers of people have.
const fn plan(code: &'static str, calling_code: u16, trunk: &str, people: &[u32]) -> Plan {
    let none = Lengths::of(&[]);
    Plan {
        code,
        calling_code,
        trunk: Digits::written(trunk),
        people: Lengths::of(people),
        services: none,
        service_starts: 0,
        bare: none,
    }
}

/// A set of lengths: bit n is set when n digits are possible.
#[derive(Clone, Copy)]
struct Lengths(u16);

impl Lengths {
    const fn of(lengths: &[u32]) -> Lengths {
        let mut bits = 0;
        let mut index = 0;
        while index < lengths.len() {
            bits |= 1 << lengths[index];
            index += 1;
        }
        Lengths(bits)
    }

    fn contain(self, length: u32) -> bool {
        length < u16::BITS && self.0 & (1 << length) != 0
    }
}

/// The lengths of a person's national number, for a sentence: "10", or "9 to 11".
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lengths(bits) = self.people;
        let (shortest, longest) = (bits.trailing_zeros(), u16::BITS - 1 - bits.leading_zeros());
        match shortest == longest {
            true => write!(f, "{shortest}"),
            false => write!(f, "{shortest} to {longest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_read_in_either_case() {
        check("IN", Some(91));
        check("in", Some(91));
        check("Us", Some(1));
        check("XK", Some(383));
        check("CA", Some(1));
        check("KZ", Some(7));
        check("AQ", None);
        check("IND", None);
        check("I", None);
        check("", None);
        check("é", None);

        fn check(code: &str, calling_code: Option<u16>) {
            assert_eq!(Country::parse(code).map(Country::calling_code), calling_code, "{code}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_every_row_can_make_a_number() {
        assert!(TABLE.is_sorted_by(|a, b| a.code < b.code));
        for country in Country::all() {
            let plan = country.plan();
            assert_eq!(Country::parse(country.code()), Some(country));
            assert_ne!(plan.people.0, 0, "{country} has no numbers");

            let code = country.calling_code().ilog10() + 1;
            for length in (1..=15).filter(|n| plan.people.contain(*n) || plan.services.contain(*n)) {
                assert!((8..=15).contains(&(code + length)), "{country}: {length}");
            }
        }
    }

    #[test]
    fn india_is_where_it_should_be() {
        assert_eq!(Country::INDIA.code(), "IN");
        assert_eq!(Country::INDIA.to_string(), "IN");
        assert_eq!(Country::INDIA.plan().to_string(), "10");
    }
}
