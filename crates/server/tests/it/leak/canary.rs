//! Numbers that can be told from all others, and a net that finds them again in whatever form.

use std::collections::{BTreeMap, HashMap};

/// The numbers that one side of one call writes everywhere: `+919`, the side, six digits of the call, two of the place.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    pub side: Side,
    pub call: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

/// The place of the party's own number, which the program is told and must keep.
pub const PARTY: usize = 0;

impl Canary {
    /// The digits that all numbers of this side of the call have in common.
    pub fn mark(self) -> String {
        let side = match self.side {
            Side::A => 8,
            Side::B => 7,
        };
        format!("9{side}{:06}", self.call)
    }

    /// The number of a place, as it is written in the country.
    pub fn national(self, place: usize) -> String {
        format!("{}{place:02}", self.mark())
    }

    pub fn number(self, place: usize) -> String {
        format!("+91{}", self.national(place))
    }

    /// Fills a template: `#12` is the number of place 12, `~12` its national form, `^12` a token about it in base64.
    pub fn fill(self, template: &str) -> String {
        let mut filled = String::with_capacity(2 * template.len());
        let mut rest = template;
        while let Some(at) = rest.find(['#', '~', '^']) {
            let place = rest[at + 1..at + 3].parse().unwrap();
            filled.push_str(&rest[..at]);
            match rest.as_bytes()[at] {
                b'#' => filled.push_str(&self.number(place)),
                b'~' => filled.push_str(&self.national(place)),
                _ => {
                    let token = format!("{{\"orig\":{{\"tn\":\"{}\"}}}}", self.national(place));
                    filled.push_str(&base64(token.as_bytes()));
                }
            }
            rest = &rest[at + 3..];
        }
        filled + rest
    }
}

/// A net that finds patterns in bytes, however many there are of each.
#[derive(Default)]
pub struct Net {
    patterns: BTreeMap<usize, HashMap<Vec<u8>, String>>,
    /// The first two bytes of any pattern.
    begins: HashMap<usize, Vec<bool>>,
}

impl Net {
    fn add(&mut self, pattern: Vec<u8>, name: String) {
        let begins = self.begins.entry(pattern.len()).or_insert_with(|| vec![false; 1 << 16]);
        begins[begin(&pattern)] = true;
        self.patterns.entry(pattern.len()).or_default().insert(pattern, name);
    }

    /// Adds some digits, as they may be written.
    pub fn add_digits(&mut self, digits: &str) {
        for (form, pattern) in forms(digits) {
            self.add(pattern, format!("{digits} {form}"));
        }
    }

    /// Adds a whole number, as it may stand in a column: in decimal and as an integer.
    pub fn add_number(&mut self, number: &str) {
        let digits = number.trim_start_matches('+');
        self.add_digits(&digits[2..]);
        let value: u64 = digits.parse().unwrap();
        // As SQLite has it: in six bytes.
        self.add(value.to_be_bytes()[2..].to_vec(), format!("{digits} as an integer"));
        self.add(value.to_le_bytes().to_vec(), format!("{digits} as an integer, little end first"));
    }

    /// What is found, each once.
    pub fn finds(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (length, patterns) in &self.patterns {
            let begins = &self.begins[length];
            for window in bytes.windows(*length).filter(|window| begins[begin(window)]) {
                found.extend(patterns.get(window).cloned());
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

fn begin(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// The forms in which digits are looked for. Plain digits stand in the number with and without a plus, in the national
/// form with and without its zero, and percent-coded with a coded plus.
pub fn forms(digits: &str) -> Vec<(&'static str, Vec<u8>)> {
    let each = |write: &dyn Fn(u8) -> Vec<u8>| digits.bytes().flat_map(write).collect::<Vec<u8>>();
    // With the country before them, packed digits are long enough not to be met by chance.
    let packed = |swapped: bool| -> Vec<u8> {
        let whole = format!("91{digits}");
        let pair = |pair: &[u8]| match swapped {
            true => (pair[1] - b'0') << 4 | (pair[0] - b'0'),
            false => (pair[0] - b'0') << 4 | (pair[1] - b'0'),
        };
        whole.as_bytes().chunks_exact(2).map(pair).collect()
    };
    let mut forms = vec![
        ("plain", digits.as_bytes().to_vec()),
        ("backwards", digits.bytes().rev().collect()),
        ("in hex", each(&|digit| format!("{digit:02x}").into_bytes())),
        ("percent-coded", each(&|digit| format!("%{digit:02X}").into_bytes())),
        ("in UTF-16", each(&|digit| vec![digit, 0])),
        ("in UTF-16, big end first", each(&|digit| vec![0, digit])),
        ("packed", packed(false)),
        ("packed and swapped", packed(true)),
    ];
    // Wherever the digits begin within three bytes, what of the text depends on them alone.
    for skipped in 0..3 {
        let text = base64(&[vec![0; skipped], digits.as_bytes().to_vec()].concat());
        let first = (8 * skipped).div_ceil(6);
        let last = 8 * (skipped + digits.len()) / 6;
        forms.push(("in base64", text.as_bytes()[first..last].to_vec()));
    }
    forms
}

pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |chunk: &[u8]| -> [char; 4] {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0)));
        std::array::from_fn(|i| match i <= chunk.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]),
            false => '=',
        })
    };
    bytes.chunks(3).flat_map(four).collect()
}

#[test]
fn a_number_is_found_in_whatever_form() {
    let canary = Canary { side: Side::A, call: 314_159 };
    let mut net = Net::default();
    net.add_digits(&canary.mark());
    let number = canary.number(PARTY);
    for (form, bytes) in forms(&canary.national(PARTY)) {
        let written = [b"Subject: ".to_vec(), bytes, b"\r\n".to_vec()].concat();
        assert!(!net.finds(&written).is_empty(), "{form}");
    }
    for before in ["", "x", "xy"] {
        let token = base64(format!("{before}{number}@carrier.example").as_bytes());
        assert!(!net.finds(token.as_bytes()).is_empty(), "{token}");
    }
    let mut columns = Net::default();
    columns.add_number(&number);
    let value: u64 = number[1..].parse().unwrap();
    assert!(!columns.finds(&value.to_be_bytes()).is_empty());
    assert!(!columns.finds(&value.to_le_bytes()).is_empty());
    assert!(net.finds(b"Subject: +919800000001\r\n").is_empty());
}
