//! The coding of rtpengine's orders: whole numbers, byte strings, lists and dictionaries.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Number(i64),
    /// Bytes, which are mostly text.
    Bytes(Vec<u8>),
    /// Values in their order.
    List(Vec<Value>),
    /// Values by their names.
    Dictionary(Dictionary),
}

/// Values by their names.
pub type Dictionary = BTreeMap<String, Value>;

/// Deeper nesting than this is refused.
const DEEPEST: usize = 32;

impl Value {
    /// The bytes of text.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Bytes(text.into().into_bytes())
    }

    /// A list of words.
    pub fn words(words: &[&str]) -> Value {
        Value::List(words.iter().map(|word| Value::text(*word)).collect())
    }

    /// Its text, if it is bytes of UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Bytes(bytes) => str::from_utf8(bytes).ok(),
            Value::Number(_) | Value::List(_) | Value::Dictionary(_) => None,
        }
    }

    /// Its number.
    pub fn as_number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Bytes(_) | Value::List(_) | Value::Dictionary(_) => None,
        }
    }

    /// What it holds of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Dictionary(values) => values.get(name),
            Value::Number(_) | Value::Bytes(_) | Value::List(_) => None,
        }
    }

    /// What it holds in order.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            Value::Number(_) | Value::Bytes(_) | Value::Dictionary(_) => &[],
        }
    }

    /// The coded bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Reads one value, and nothing behind it.
    pub fn parse(mut bytes: &[u8]) -> Option<Value> {
        let value = read(&mut bytes, 0)?;
        bytes.is_empty().then_some(value)
    }

    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Value::Number(number) => to.extend(format!("i{number}e").bytes()),
            Value::Bytes(bytes) => write_bytes(bytes, to),
            Value::List(values) => {
                to.push(b'l');
                values.iter().for_each(|value| value.write(to));
                to.push(b'e');
            }
            Value::Dictionary(values) => {
                to.push(b'd');
                for (name, value) in values {
                    write_bytes(name.as_bytes(), to);
                    value.write(to);
                }
                to.push(b'e');
            }
        }
    }
}

fn write_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend(format!("{}:", bytes.len()).bytes());
    to.extend(bytes);
}

fn read(bytes: &mut &[u8], depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    match bytes.first()? {
        b'i' => {
            *bytes = &bytes[1..];
            Some(Value::Number(take_until(bytes, b'e')?.parse().ok()?))
        }
        b'l' => {
            let mut values = Vec::new();
            *bytes = &bytes[1..];
            while *bytes.first()? != b'e' {
                values.push(read(bytes, depth + 1)?);
            }
            *bytes = &bytes[1..];
            Some(Value::List(values))
        }
        b'd' => {
            let mut values = Dictionary::new();
            *bytes = &bytes[1..];
            while *bytes.first()? != b'e' {
                let name = String::from_utf8(read_bytes(bytes)?).ok()?;
                values.insert(name, read(bytes, depth + 1)?);
            }
            *bytes = &bytes[1..];
            Some(Value::Dictionary(values))
        }
        _ => read_bytes(bytes).map(Value::Bytes),
    }
}

fn read_bytes(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = take_until(bytes, b':')?.parse().ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken.to_vec())
}

fn take_until<'a>(bytes: &mut &'a [u8], end: u8) -> Option<&'a str> {
    let at = bytes.iter().position(|byte| *byte == end)?;
    let (taken, rest) = bytes.split_at(at);
    *bytes = &rest[1..];
    str::from_utf8(taken).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_order_is_coded_to_the_letter() {
        let order = Dictionary::from([
            ("command".to_owned(), Value::text("offer")),
            ("flags".to_owned(), Value::words(&["strict-source"])),
            ("size".to_owned(), Value::Number(-3)),
        ]);

        let coded = Value::Dictionary(order).to_bytes();

        assert_eq!(
            String::from_utf8(coded).unwrap(),
            "d7:command5:offer5:flagsl13:strict-sourcee4:sizei-3ee"
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "i1", "ie", "5:four", "-1:a", "l", "d1:a", "di1ei2ee", "i1ei2e", &"l".repeat(100)] {
            assert_eq!(Value::parse(text.as_bytes()), None, "{text}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Number),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::btree_map("[a-z]{0,4}", inner, 0..4).prop_map(Value::Dictionary),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in any_value()) {
            prop_assert_eq!(Value::parse(&value.to_bytes()), Some(value));
        }

        #[test]
        fn garbage_is_refused_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Value::parse(&bytes);
        }
    }
}
