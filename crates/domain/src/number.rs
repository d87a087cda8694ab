//! Telephone numbers: read leniently once, then trusted, and never printed whole by accident.
//!
//! The one hard rule is E.164's: a country code and at most 15 digits in all. Whether a number is in use, or
//! of a series that is newer than the tables, is left to the network that is asked to ring it. What nobody
//! should be made to pay for is told apart by [`PhoneNumber::never_dialled`].

mod premium;

use std::error::Error;
use std::fmt;
use std::iter;

use self::premium::{PREMIUM, PREMIUM_AT_LENGTH, SHARED_COST};
use crate::country::Country;

/// A number of the international numbering plan: 8 to 15 digits that begin with a country code
/// (ITU-T E.164 section 6).
///
/// `Debug` and `Display` print it masked. [`PhoneNumber::expose`] and [`PhoneNumber::expose_digits`] are the
/// only ways to the whole number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(u64);

impl PhoneNumber {
    /// Reads what a client sent: an international number, or a national one of `home`.
    ///
    /// Spaces, hyphens, dots, slashes and parentheses may stand anywhere; `tel:` may stand in front, and its
    /// parameters are ignored. After a `+` or `00` the number is taken as it is. Anything else is read in the
    /// first of these ways that gives a national number of a length which `home` has:
    ///
    /// 1. trunk prefix and national number, `09900000001`;
    /// 2. country code and national number, `919900000001`;
    /// 3. national number alone, `9900000001`;
    /// 4. the same three for service numbers, which have lengths of their own, `18000000001`.
    ///
    /// In a few countries a national number may well begin with the digits of the country's own code; at the
    /// lengths where that is the likelier meaning, the third way goes before the second.
    pub fn parse(text: &str, home: Country) -> Result<PhoneNumber, NotANumber> {
        let (digits, plus) = read(text)?;
        if plus {
            return international(digits);
        }
        // No national number is this short, and Australia's emergency number is 000.
        if digits.count <= 4 {
            return Err(NotANumber::EmergencyOrShortCode);
        }
        match digits.without(INTERNATIONAL_PREFIX) {
            Some(digits) => international(digits),
            None => national(digits, home),
        }
    }

    /// The number with these digits, as [`PhoneNumber::expose_digits`] gave them to the database.
    pub fn from_digits(digits: u64) -> Option<PhoneNumber> {
        (10_000_000..=999_999_999_999_999).contains(&digits).then_some(PhoneNumber(digits))
    }

    /// The whole number without its plus, for the database and the wire only.
    pub fn expose_digits(self) -> u64 {
        self.0
    }

    /// The whole number with its plus, for the wire only.
    pub fn expose(self) -> Exposed {
        Exposed(self)
    }

    /// Is it in this country's numbering plan? A number under a shared code, such as +1 or +7, is in the plan
    /// of every country that shares it.
    pub fn belongs_to(self, country: Country) -> bool {
        Digits::of(self.0).without(Digits::of(country.calling_code().into())).is_some()
    }

    /// Why nobody may dial this number through us, whoever asks; None for a usual number.
    ///
    /// These are the destinations of toll fraud. The codes that belong to no country are those of ITU-T's list
    /// of assigned country codes; the others are the premium rate and shared cost series of libphonenumber.
    pub fn never_dialled(self) -> Option<NeverDialled> {
        match self.0 / 10_u64.pow(self.0.ilog10() - 2) {
            808 => return Some(NeverDialled::SharedCost),
            870 | 881 => return Some(NeverDialled::Satellite),
            878 => return Some(NeverDialled::PersonalNumber),
            882 | 883 => return Some(NeverDialled::GlobalNetwork),
            888 => return Some(NeverDialled::DisasterRelief),
            979 => return Some(NeverDialled::Premium),
            _ => {}
        }

        let length = self.0.ilog10() + 1;
        let prefixes = iter::successors(Some(self.0), |longer| Some(longer / 10).filter(|n| *n >= 100));
        prefixes.into_iter().find_map(|prefix| {
            let listed = PREMIUM.binary_search(&prefix).is_ok();
            if listed || PREMIUM_AT_LENGTH.binary_search(&(prefix, length)).is_ok() {
                return Some(NeverDialled::Premium);
            }
            SHARED_COST.binary_search(&prefix).is_ok().then_some(NeverDialled::SharedCost)
        })
    }
}

/// Country code, six stars whatever the length, last two digits: `+91******01`.
impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let country = Country::all().find(|country| self.belongs_to(*country));
        let code = country.map_or(self.0 / 10_u64.pow(self.0.ilog10() - 1), |c| c.calling_code().into());
        write!(f, "+{code}******{:02}", self.0 % 100)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A number that prints itself whole. Its `Debug` is masked still.
#[derive(Clone, Copy, Debug)]
pub struct Exposed(PhoneNumber);

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0.0)
    }
}

/// Why a number is dialled for nobody. Prints as what the number is: "a premium rate number".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NeverDialled {
    /// The called party is paid by the caller: a country's premium rate series, and +979.
    Premium,
    /// The caller pays more than for a usual call: a country's shared cost series, and +808.
    SharedCost,
    /// A satellite telephone: +870 Inmarsat, +881 the others.
    Satellite,
    /// A network that belongs to no country: +882 and +883.
    GlobalNetwork,
    /// A universal personal number, which may lead anywhere at any price: +878.
    PersonalNumber,
    /// Kept for relief after disasters: +888.
    DisasterRelief,
}

impl fmt::Display for NeverDialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NeverDialled::Premium => "a premium rate number",
            NeverDialled::SharedCost => "a shared cost number",
            NeverDialled::Satellite => "a satellite number",
            NeverDialled::GlobalNetwork => "a number of an international network",
            NeverDialled::PersonalNumber => "an international personal number",
            NeverDialled::DisasterRelief => "a number kept for disaster relief",
        })
    }
}

/// Why a text is not a telephone number, in words for the one who sent it, and without the number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotANumber {
    /// There is no digit in it.
    Empty,
    /// Some digits are replaced by this character, as in samples and in logs.
    Masked(char),
    /// There is a digit of another script, or one of full width.
    NonAsciiDigit,
    /// There is something that is neither digit nor separator.
    Character(char),
    /// With its country code it has fewer than 8 digits.
    TooShort {
        /// How many digits it has.
        digits: u32,
    },
    /// With its country code it has more than 15 digits (E.164 section 6).
    TooLong {
        /// How many digits it has.
        digits: u32,
    },
    /// A 0 where the country code should begin.
    LeadingZero,
    /// 100, 112, 1930 and the like, which no one else can call by that number.
    EmergencyOrShortCode,
    /// Without a country code, and no number of the home country has so many digits.
    WrongNationalLength {
        /// How many digits it has.
        digits: u32,
        /// The country against which it was read.
        home: Country,
    },
}

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotANumber::Empty => write!(f, "there are no digits; {SEND}"),
            NotANumber::Masked(with) => write!(f, "digits are masked with '{with}'; {SEND}"),
            NotANumber::NonAsciiDigit => write!(f, "only the digits 0 to 9 can be read; {SEND}"),
            NotANumber::Character(c) => write!(f, "unexpected character '{}'; {SEND}", c.escape_debug()),
            NotANumber::TooShort { digits } => {
                write!(f, "too short: {digits} of at least 8 digits, country code included; {SEND}")
            }
            NotANumber::TooLong { digits } => {
                write!(f, "too long: {digits} digits where 15 are the most, country code included")
            }
            NotANumber::LeadingZero => write!(f, "no country code begins with 0; {SEND}"),
            NotANumber::EmergencyOrShortCode => {
                write!(f, "emergency numbers and short codes cannot be parties")
            }
            NotANumber::WrongNationalLength { digits, home } => write!(
                f,
                "{digits} digits without a country code, and a number in {home} has {}; {SEND}",
                home.plan()
            ),
        }
    }
}

impl Error for NotANumber {}

const SEND: &str = "send the whole number, such as +919876543210";

/// ITU-T E.164 recommends 00; it is read so even where another prefix is dialled.
const INTERNATIONAL_PREFIX: Digits = Digits::written("00");

/// Takes the text apart: its digits, and whether a plus stood before them.
fn read(text: &str) -> Result<(Digits, bool), NotANumber> {
    let mut text = text.trim();
    if let Some((scheme, rest)) = text.split_at_checked(4)
        && scheme.eq_ignore_ascii_case("tel:")
    {
        // RFC 3966 section 3: parameters follow a semicolon.
        text = rest.split_once(';').map_or(rest, |(number, _)| number);
    }

    let mut digits = Digits::written("");
    let mut plus = false;
    for c in text.chars() {
        match c {
            '0'..='9' => digits.push(c as u8 - b'0'),
            ' ' | '-' | '.' | '(' | ')' | '/' => {}
            '+' if !plus && digits.is_empty() => plus = true,
            'x' | 'X' | '*' | '•' => return Err(NotANumber::Masked(c)),
            c if c.is_numeric() => return Err(NotANumber::NonAsciiDigit),
            c => return Err(NotANumber::Character(c)),
        }
    }

    match digits.is_empty() {
        true => Err(NotANumber::Empty),
        false => Ok((digits, plus)),
    }
}

fn international(digits: Digits) -> Result<PhoneNumber, NotANumber> {
    if digits.begins_with_zero() {
        return Err(NotANumber::LeadingZero);
    }
    match digits.count {
        ..8 => Err(NotANumber::TooShort { digits: digits.count }),
        8..=15 => Ok(PhoneNumber(digits.value)),
        16.. => Err(NotANumber::TooLong { digits: digits.count }),
    }
}

fn national(digits: Digits, home: Country) -> Result<PhoneNumber, NotANumber> {
    let plan = home.plan();
    let code = Digits::of(plan.calling_code.into());

    let bare = Some(digits);
    let after_trunk = digits.without(plan.trunk);
    let after_code = digits.without(code);
    let after_code_of_person = after_code.filter(|_| !plan.prefers_bare(digits.count));

    let person = [after_trunk, after_code_of_person, bare];
    let service = [after_trunk, after_code, bare];
    let found = person.into_iter().flatten().find(|national| plan.has_person(*national));
    let found = found.or_else(|| service.into_iter().flatten().find(|national| plan.has_service(*national)));

    match found {
        Some(national) => international(code.then(national)),
        None if digits.count <= 6 => Err(NotANumber::EmergencyOrShortCode),
        None => Err(NotANumber::WrongNationalLength { digits: digits.count, home }),
    }
}

/// A row of digits, which unlike a number may begin with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digits {
    /// The first 19 digits, as many as always fit. Longer rows are too long for anything, and only counted.
    value: u64,
    count: u32,
}

impl Digits {
    pub(crate) const fn written(digits: &str) -> Digits {
        let mut row = Digits { value: 0, count: 0 };
        let mut index = 0;
        while index < digits.len() {
            row.push(digits.as_bytes()[index] - b'0');
            index += 1;
        }
        row
    }

    fn of(value: u64) -> Digits {
        Digits { value, count: value.checked_ilog10().map_or(1, |log| log + 1) }
    }

    pub(crate) const fn count(self) -> u32 {
        self.count
    }

    pub(crate) const fn value(self) -> u64 {
        self.value
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.count == 0
    }

    pub(crate) fn begins_with_zero(self) -> bool {
        self.first(1) == 0
    }

    pub(crate) fn first_two(self) -> u64 {
        self.first(2)
    }

    /// The rest after a prefix; None when they begin otherwise, or are nothing more than the prefix.
    fn without(self, prefix: Digits) -> Option<Digits> {
        let rest = self.kept().checked_sub(prefix.count).filter(|rest| *rest > 0)?;
        let begins = !prefix.is_empty() && self.first(prefix.count) == prefix.value;
        begins.then(|| Digits { value: self.value % 10_u64.pow(rest), count: self.count - prefix.count })
    }

    /// Both rows as one; for a country code and a national number, which are short enough.
    fn then(self, after: Digits) -> Digits {
        Digits { value: self.value * 10_u64.pow(after.count) + after.value, count: self.count + after.count }
    }

    fn first(self, count: u32) -> u64 {
        self.value / 10_u64.pow(self.kept().saturating_sub(count))
    }

    fn kept(self) -> u32 {
        self.count.min(KEPT)
    }

    const fn push(&mut self, digit: u8) {
        if self.count < KEPT {
            self.value = self.value * 10 + digit as u64;
        }
        self.count = self.count.saturating_add(1);
    }
}

const KEPT: u32 = 19;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn international_numbers_are_taken_as_they_are() {
        check("+919900000001", "+919900000001");
        check("  +91 99000-00001\n", "+919900000001");
        check("(+91) 99000.00001", "+919900000001");
        check("tel:+91-99000-00001", "+919900000001");
        check("TEL:+1-202-555-0101;ext=12;phone-context=example.com", "+12025550101");
        check("0012025550101", "+12025550101");
        check("00 91 99000 00001", "+919900000001");
        check("+9116001234567", "+9116001234567");
        check("+91990000000", "+91990000000");
        check("+12345678", "+12345678");
        check("+999999999999999", "+999999999999999");

        fn check(text: &str, expected: &str) {
            assert_eq!(parsed(text, "IN"), Ok(expected.to_owned()), "{text}");
            assert_eq!(parsed(text, "US"), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn national_numbers_are_read_as_their_country_writes_them() {
        check("IN", "09900000001", "+919900000001");
        check("IN", "9900000001", "+919900000001");
        check("IN", "919900000001", "+919900000001");
        check("IN", "91 99000-00001", "+919900000001");
        check("IN", "(080) 1234/5678", "+918012345678");
        check("IN", "9100000001", "+919100000001");
        check("IN", "1800 000 0001", "+9118000000001");
        check("IN", "01800 000 0001", "+9118000000001");
        check("US", "(202) 555-0101", "+12025550101");
        check("US", "1 202 555 0101", "+12025550101");
        check("GB", "020 7946 0001", "+442079460001");
        check("GB", "44 20 7946 0001", "+442079460001");
        check("IT", "06 0000 0001", "+390600000001");
        check("IT", "39 06 0000 0001", "+390600000001");
        check("IT", "391 000 0001", "+393910000001");
        check("RU", "8 900 000 00 01", "+79000000001");
        check("RU", "7 900 000 00 01", "+79000000001");
        check("RU", "900 000 00 01", "+79000000001");
        check("KZ", "8 700 000 00 01", "+77000000001");
        check("HU", "06 30 000 0001", "+36300000001");
        check("HU", "30 000 0001", "+36300000001");
        check("BY", "8 029 000 00 01", "+375290000001");
        check("BR", "55 90000 0001", "+5555900000001");
        check("BR", "55 11 90000 0001", "+5511900000001");
        check("DE", "49 30 000001", "+4930000001");
        check("DE", "030 000001", "+4930000001");
        check("ES", "600 000 001", "+34600000001");

        fn check(home: &str, text: &str, expected: &str) {
            assert_eq!(parsed(text, home), Ok(expected.to_owned()), "{text} in {home}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_a_reason_that_helps() {
        check("", "there are no digits");
        check(" +() ", "there are no digits");
        check("+91995xxxx640", "digits are masked with 'x'");
        check("+91******43", "digits are masked with '*'");
        check("XXXXXX0001", "digits are masked with 'X'");
        check("９９０００００００１", "only the digits 0 to 9 can be read");
        check("+९१९९००००", "only the digits 0 to 9 can be read");
        check("+٩١٩٩", "only the digits 0 to 9 can be read");
        check("sip:9900000001", "unexpected character 's'");
        check("99+00000001", "unexpected character '+'");
        check("++919900000001", "unexpected character '+'");
        check("99000\t00001", "unexpected character '\\t'");
        check("\u{202a}+919900000001", "unexpected character '\\u{202a}'");
        check("+9199000", "too short: 7 of at least 8 digits, country code included");
        check("00112", "too short: 3 of at least 8 digits, country code included");
        check("+1234567890123456", "too long: 16 digits where 15 are the most, country code included");
        check(
            &format!("+{}", "9".repeat(400)),
            "too long: 400 digits where 15 are the most, country code included",
        );
        check("+0919900000001", "no country code begins with 0");
        check("000800 000 0001", "no country code begins with 0");
        check("990000001", "9 digits without a country code, and a number in IN has 10");
        check("0990000001", "10 digits without a country code, and a number in IN has 10");
        check("12025550101", "11 digits without a country code, and a number in IN has 10");

        fn check(text: &str, expected: &str) {
            let refused = PhoneNumber::parse(text, Country::INDIA).unwrap_err();
            let said = refused.to_string();
            assert_eq!(said.strip_suffix(&format!("; {SEND}")).unwrap_or(&said), expected, "{text}");
        }
    }

    #[test]
    fn who_pastes_a_sample_is_told_what_to_send() {
        let refused = PhoneNumber::parse("+91995xxxx640", Country::INDIA).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "digits are masked with 'x'; send the whole number, such as +919876543210"
        );
    }

    #[test]
    fn emergency_numbers_and_short_codes_are_refused_everywhere() {
        for text in
            ["100", "108", "112", "911", "999", "000", "1930", "1098", "0112", "tel:112", "51169", "155260"]
        {
            for home in ["IN", "US", "GB", "AU"] {
                assert_eq!(parsed(text, home), Err(NotANumber::EmergencyOrShortCode), "{text} in {home}");
            }
        }
    }

    #[test]
    fn a_number_prints_itself_masked() {
        check("+919900000043", "+91******43");
        check("+12025550101", "+1******01");
        check("+3530000001", "+353******01");
        check("+999000000007", "+99******07");

        fn check(text: &str, expected: &str) {
            let number = number(text);
            assert_eq!(number.to_string(), expected);
            assert_eq!(format!("{number:?}"), expected);
            assert_eq!(format!("{:?}", number.expose()), format!("Exposed({expected})"));
        }
    }

    #[test]
    fn a_shared_code_belongs_to_all_who_share_it() {
        check("+919900000001", "IN", true);
        check("+919900000001", "US", false);
        check("+12025550101", "US", true);
        check("+12025550101", "CA", true);
        check("+77000000001", "KZ", true);
        check("+77000000001", "RU", true);
        check("+3530000001", "IE", true);
        check("+3530000001", "GB", false);

        fn check(text: &str, country: &str, expected: bool) {
            assert_eq!(number(text).belongs_to(country_of(country)), expected, "{text} in {country}");
        }
    }

    #[test]
    fn what_costs_more_than_a_call_is_never_dialled() {
        use NeverDialled::*;

        check("+919900000001", None);
        check("+918012345678", None);
        check("+9116001234567", None);
        check("+9118000000001", None);
        check("+12025550101", None);
        check("+12025550199", None);
        check("+18005550101", None);
        check("+442079460001", None);
        check("+80000000001", None);
        check("+9118600000001", Some(SharedCost));
        check("+19005550101", Some(Premium));
        check("+449000000001", Some(Premium));
        check("+449110000001", Some(Premium));
        check("+448710000001", Some(Premium));
        check("+33890000001", Some(Premium));
        check("+611900000001", Some(Premium));
        check("+499001000001", Some(Premium));
        check("+491805000001", Some(SharedCost));
        check("+35315500000", None);
        check("+3531550000001", Some(Premium));
        check("+911862000000001", Some(Premium));
        check("+911862000001", None);
        check("+979000000001", Some(Premium));
        check("+80800000001", Some(SharedCost));
        check("+870000000001", Some(Satellite));
        check("+881900000001", Some(Satellite));
        check("+882000000001", Some(GlobalNetwork));
        check("+883000000001", Some(GlobalNetwork));
        check("+878000000001", Some(PersonalNumber));
        check("+888000000001", Some(DisasterRelief));
        check("+88000000001", None);
        check("+8860000001", None);

        fn check(text: &str, expected: Option<NeverDialled>) {
            assert_eq!(number(text).never_dialled(), expected, "{text}");
        }
    }

    #[test]
    fn the_lists_of_dear_prefixes_are_sorted_for_the_search() {
        assert!(PREMIUM.is_sorted_by(|a, b| a < b));
        assert!(PREMIUM_AT_LENGTH.is_sorted_by(|a, b| a < b));
        assert!(SHARED_COST.is_sorted_by(|a, b| a < b));

        let at_length = PREMIUM_AT_LENGTH.iter().map(|(prefix, _)| prefix);
        let mut all = PREMIUM.iter().chain(at_length).chain(&SHARED_COST);
        assert!(all.all(|prefix| *prefix >= 100), "the search stops at three digits");
    }

    #[test]
    fn the_database_gives_back_only_numbers() {
        check(12_025_550_101, true);
        check(10_000_000, true);
        check(999_999_999_999_999, true);
        check(9_999_999, false);
        check(1_000_000_000_000_000, false);
        check(0, false);

        fn check(digits: u64, expected: bool) {
            assert_eq!(PhoneNumber::from_digits(digits).is_some(), expected, "{digits}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_number_is_read_back(number in numbers(), home in countries()) {
            prop_assert_eq!(PhoneNumber::parse(&number.expose().to_string(), home), Ok(number));
            prop_assert_eq!(PhoneNumber::from_digits(number.expose_digits()), Some(number));
        }

        #[test]
        fn printing_gives_at_most_a_country_code_and_two_digits_away(number in numbers()) {
            let digits = number.expose_digits().to_string();
            for printed in [format!("{number}"), format!("{number:?}"), format!("{:?}", number.expose())] {
                prop_assert!(!printed.contains(&digits));
                prop_assert!(printed.chars().filter(char::is_ascii_digit).count() <= 5);
            }
        }

        #[test]
        fn any_text_is_answered_without_a_panic(text in any::<String>(), home in countries()) {
            let _ = PhoneNumber::parse(&text, home);
        }

        #[test]
        fn any_digits_are_answered_for_their_country_and_refused_without_them(
            text in "(tel:|00|0|8|1|)[0-9 ().-]{0,30}",
            home in countries(),
        ) {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            match PhoneNumber::parse(&text, home) {
                Ok(number) => {
                    prop_assert!(number.belongs_to(home) || digits.starts_with("00"));
                    prop_assert!(PhoneNumber::from_digits(number.expose_digits()) == Some(number));
                }
                Err(refused) => {
                    prop_assert!(digits.len() < 5 || !refused.to_string().contains(&digits));
                }
            }
        }
    }

    fn numbers() -> impl Strategy<Value = PhoneNumber> {
        (7_u32..15).prop_flat_map(|log| {
            (10_u64.pow(log)..10_u64.pow(log + 1))
                .prop_map(|digits| PhoneNumber::from_digits(digits).unwrap())
        })
    }

    fn countries() -> impl Strategy<Value = Country> {
        proptest::sample::select(Country::all().collect::<Vec<_>>())
    }

    fn parsed(text: &str, home: &str) -> Result<String, NotANumber> {
        PhoneNumber::parse(text, country_of(home)).map(|number| number.expose().to_string())
    }

    fn number(text: &str) -> PhoneNumber {
        PhoneNumber::parse(text, Country::INDIA).unwrap()
    }

    fn country_of(code: &str) -> Country {
        Country::parse(code).unwrap()
    }
}
