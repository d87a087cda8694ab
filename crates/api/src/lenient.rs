//! What the API takes although the contract's text would not, and nothing else takes more.
//!
//! | sent | taken as |
//! |---|---|
//! | `"true"`, `"False"` | a boolean; the contract's own samples send strings |
//! | `"12340"` for a pin | the integer |
//! | `"+91.."` where a list is expected | a list of one |
//! | `null` | as if it had been left out |
//! | `0` and ten digits, ten digits, `91` and ten digits | the number in the tenant's country |
//! | `number_type` for `type`, `Deallocation_policy` for `deallocation_policy` | the same |
//! | an empty body | an object without keys |
//! | unknown keys | nothing |
//! | in a query: a `+` that turned into a space; a time with a space for the `T`, or with an offset | what was meant |
//!
//! The second spellings of keys stand at their fields, as `serde(alias)`. Everything else that is not as the
//! contract has it is refused with a sentence that helps, and without what was sent.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use callveil_domain::allocation::{ConnectionId, Usage};
use callveil_domain::country::Country;
use callveil_domain::endpoint::EndpointId;
use callveil_domain::event::EventKind;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::{NotAPin, Pin};
use callveil_domain::time::parse_length;
use callveil_domain::virtual_number::{FlowId, NumberType};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::problem::{Faults, Kind, Problem};

/// How deep a body may be nested. The API's own requests need 3; settings may carry a client's own JSON.
const DEPTH: usize = 32;

/// Reads a body as one object.
pub(crate) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return read(b"{}");
    }
    if !body.starts_with(b"{") {
        return Err(Kind::Unreadable.into());
    }
    if is_too_deep(body) {
        return Err(Problem::new(Kind::Unreadable, format!("the body is nested deeper than {DEPTH} levels")));
    }
    serde_json::from_slice(body).map_err(|error| {
        match error.classify() {
            // Says what and where, never which text: "expected `,` or `}` at line 3 column 7".
            Category::Syntax | Category::Eof => {
                Problem::new(Kind::Unreadable, format!("the body is not valid JSON: {error}"))
            }
            // Every value is taken as it comes, so that only repetition is left.
            Category::Data | Category::Io => Problem::new(Kind::Unreadable, "a key stands twice in the body"),
        }
    })
}

/// Whether brackets outside of strings are nested too deep. Reads a damaged body to its end without harm.
fn is_too_deep(body: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => {
                        bytes.next();
                    }
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
        if depth > DEPTH {
            return true;
        }
    }
    false
}

/// A field as it was sent: anything, or nothing.
pub(crate) type Sent<'a> = Option<Loose<'a>>;

/// A JSON value as far as fields look into it.
#[derive(Clone, Debug)]
pub(crate) enum Loose<'a> {
    Bool(bool),
    Whole(u64),
    /// A number that is negative, broken or too large for anything here.
    OtherNumber,
    Text(Cow<'a, str>),
    List(Vec<Loose<'a>>),
    Null,
    Object,
}

/// A field that holds an object.
#[derive(Debug)]
pub(crate) enum Nested<T> {
    Object(T),
    Other,
}

/// An object whose keys are looked up, each with the text of its value.
pub(crate) struct Pairs<'a>(pub BTreeMap<Cow<'a, str>, &'a RawValue>);

/// What is wrong with a value.
pub(crate) struct Wrong {
    kind: Kind,
    why: Cow<'static, str>,
}

fn bad<T>(why: impl Into<Cow<'static, str>>) -> Result<T, Wrong> {
    Err(Wrong { kind: Kind::Bad, why: why.into() })
}

/// Reads one value; says what is wrong with it otherwise.
pub(crate) type Read<'r, T> = &'r dyn Fn(&Loose<'_>) -> Result<T, Wrong>;

impl Faults {
    /// A field that must be sent.
    pub fn required<T>(&mut self, path: &'static str, sent: &Sent<'_>, read: Read<'_, T>) -> Option<T> {
        if sent.is_none() {
            self.push(Kind::Missing, path, "is mandatory");
        }
        self.optional(path, sent, read)
    }

    /// A field that may be left out.
    pub fn optional<T>(&mut self, path: &'static str, sent: &Sent<'_>, read: Read<'_, T>) -> Option<T> {
        self.one(path, sent.as_ref()?, read)
    }

    /// A list that must be sent and not be empty.
    pub fn required_list<T>(
        &mut self,
        path: &'static str,
        sent: &Sent<'_>,
        read: Read<'_, T>,
    ) -> Option<Vec<T>> {
        if sent.is_none() {
            self.push(Kind::Missing, path, "is mandatory");
        }
        self.filled_list(path, sent, read)
    }

    /// A list that may be left out, but not be empty.
    pub fn filled_list<T>(
        &mut self,
        path: &'static str,
        sent: &Sent<'_>,
        read: Read<'_, T>,
    ) -> Option<Vec<T>> {
        let list = self.list(path, sent, read)?;
        if list.is_empty() {
            self.push(Kind::Missing, path, "must not be empty");
        }
        Some(list)
    }

    /// A list that may be left out.
    pub fn list<T>(&mut self, path: &'static str, sent: &Sent<'_>, read: Read<'_, T>) -> Option<Vec<T>> {
        /// The contract is silent for GreenVN and has this for GreenPin.
        const MOST: usize = 10;
        self.list_up_to(MOST, path, sent, read)
    }

    /// A list of at most so many entries that may be left out.
    pub fn list_up_to<T>(
        &mut self,
        most: usize,
        path: &'static str,
        sent: &Sent<'_>,
        read: Read<'_, T>,
    ) -> Option<Vec<T>> {
        let sent = sent.as_ref()?;
        let Loose::List(list) = sent else { return self.one(path, sent, read).map(|value| vec![value]) };
        if list.len() > most {
            self.push(Kind::Bad, path, format!("has {} entries where {most} are the most", list.len()));
            return None;
        }
        let read_one = |(at, value)| self.one(format!("{path}[{at}]"), value, read);
        // All of them are looked at, so that all faults are told.
        let read: Vec<Option<T>> = list.iter().enumerate().map(read_one).collect();
        read.into_iter().collect()
    }

    /// An object that may be left out.
    pub fn object<'s, T>(&mut self, path: &'static str, sent: &'s Option<Nested<T>>) -> Option<&'s T> {
        match sent.as_ref()? {
            Nested::Object(object) => Some(object),
            Nested::Other => {
                self.push(Kind::Bad, path, "must be an object");
                None
            }
        }
    }

    fn one<T>(
        &mut self,
        path: impl Into<Cow<'static, str>>,
        value: &Loose<'_>,
        read: Read<'_, T>,
    ) -> Option<T> {
        read(value).map_err(|Wrong { kind, why }| self.push(kind, path, why)).ok()
    }
}

/// A party's number.
pub(crate) fn number(value: &Loose<'_>, home: Country) -> Result<PhoneNumber, Wrong> {
    let Loose::Text(text) = value else { return bad("must be a string, such as \"+919876543210\"") };
    read_number(text, home)
}

/// A number from text.
pub(crate) fn read_number(text: &str, home: Country) -> Result<PhoneNumber, Wrong> {
    PhoneNumber::parse(text, home)
        .map_err(|error| Wrong { kind: Kind::InvalidNumber, why: error.to_string().into() })
}

/// A pin.
pub(crate) fn pin(value: &Loose<'_>) -> Result<Pin, Wrong> {
    let pin = match value {
        Loose::Whole(value) => Pin::from_value(*value),
        Loose::Text(text) => Pin::parse(text.trim()),
        Loose::Bool(_) | Loose::OtherNumber | Loose::List(_) | Loose::Null | Loose::Object => {
            Err(NotAPin::NotDigits)
        }
    };
    pin.or_else(|error| bad(error.to_string()))
}

/// `oneway` or `twoway`.
pub(crate) fn usage(value: &Loose<'_>) -> Result<Usage, Wrong> {
    let Loose::Text(text) = value else { return bad("must be the string oneway or twoway") };
    match text.trim() {
        "oneway" => Ok(Usage::OneWay),
        "twoway" => Ok(Usage::TwoWay),
        both if both.contains('|') => bad("'oneway|twoway' shows the two choices; send one of them"),
        "twoday" => bad("must be oneway or twoway; 'twoday' is a slip for twoway"),
        _ => bad("must be oneway or twoway"),
    }
}

/// A boolean, or one as a string.
pub(crate) fn boolean(value: &Loose<'_>) -> Result<bool, Wrong> {
    match value {
        Loose::Bool(value) => Ok(*value),
        Loose::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Loose::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        Loose::Text(_)
        | Loose::Whole(_)
        | Loose::OtherNumber
        | Loose::List(_)
        | Loose::Null
        | Loose::Object => bad("must be true or false"),
    }
}

/// The type that a virtual number can be asked to have.
pub(crate) fn number_type(value: &Loose<'_>) -> Result<NumberType, Wrong> {
    let Loose::Text(text) = value else { return bad("must be the string mobile or landline") };
    match NumberType::parse(text) {
        Ok(number_type @ (NumberType::Mobile | NumberType::Landline)) => Ok(number_type),
        Ok(NumberType::TollFree) | Err(_) if text.contains('|') => {
            bad("'mobile|landline' shows the two choices; send one of them")
        }
        Ok(NumberType::TollFree) | Err(_) => bad("must be mobile or landline"),
    }
}

/// The client's name for an allocation.
pub(crate) fn connection_id(value: &Loose<'_>) -> Result<ConnectionId, Wrong> {
    let parsed = text(value).and_then(|text| ConnectionId::parse(text).or_else(|error| bad(error.0)));
    parsed.or_else(|_| bad("must be a string of 1 to 255 printable characters"))
}

/// A call flow's name.
pub(crate) fn flow_id(value: &Loose<'_>) -> Result<FlowId, Wrong> {
    FlowId::parse(text(value)?).or_else(|error| bad(error.0))
}

/// A length of time.
pub(crate) fn duration(value: &Loose<'_>) -> Result<Duration, Wrong> {
    let length = match value {
        Loose::Text(text) => parse_length(text),
        Loose::Bool(_)
        | Loose::Whole(_)
        | Loose::OtherNumber
        | Loose::List(_)
        | Loose::Null
        | Loose::Object => Err(callveil_domain::time::NotALength),
    };
    length.or_else(|error| bad(error.to_string()))
}

/// A party's word in events.
pub(crate) fn tag(value: &Loose<'_>) -> Result<String, Wrong> {
    let text = text(value)?;
    if text.chars().count() > 255 || text.chars().any(char::is_control) {
        return bad("must be a string of at most 255 printable characters");
    }
    Ok(text.to_owned())
}

/// A kind of event.
pub(crate) fn event_kind(value: &Loose<'_>) -> Result<EventKind, Wrong> {
    let kind = EventKind::parse(text(value)?);
    kind.ok_or(()).or_else(|()| {
        let names: Vec<&str> = EventKind::ALL.into_iter().map(EventKind::name).collect();
        bad(format!("must be one of {}", names.join(", ")))
    })
}

/// An address, whose form is looked at elsewhere.
pub(crate) fn url(value: &Loose<'_>) -> Result<String, Wrong> {
    match value {
        Loose::Text(text) => Ok(text.clone().into_owned()),
        Loose::Bool(_)
        | Loose::Whole(_)
        | Loose::OtherNumber
        | Loose::List(_)
        | Loose::Null
        | Loose::Object => bad("must be a string, such as \"https://example.com/hook\""),
    }
}

/// An endpoint's id.
pub(crate) fn endpoint_id(value: &Loose<'_>) -> Result<EndpointId, Wrong> {
    EndpointId::parse(text(value)?).ok_or(()).or_else(|()| bad("must be an endpoint's id"))
}

/// Any text of a usual length.
pub(crate) fn text<'v>(value: &'v Loose<'_>) -> Result<&'v str, Wrong> {
    match value {
        Loose::Text(text) if text.len() <= 1024 => Ok(text),
        Loose::Text(_) => bad("is too long"),
        Loose::Bool(_)
        | Loose::Whole(_)
        | Loose::OtherNumber
        | Loose::List(_)
        | Loose::Null
        | Loose::Object => bad("must be a string"),
    }
}

/// A number in a query, where a plus may have been read as a space.
pub(crate) fn number_in_query(text: &str, home: Country) -> Result<PhoneNumber, Wrong> {
    match text.strip_prefix(' ') {
        Some(digits) => read_number(&format!("+{digits}"), home),
        None => read_number(text, home),
    }
}

impl Wrong {
    /// The fault at this place.
    pub fn at(self, path: &'static str) -> Problem {
        Problem::at(self.kind, path, self.why)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Loose<'a>, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData))
    }
}

struct LooseVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for LooseVisitor<'a> {
    type Value = Loose<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Loose<'a>, E> {
        Ok(Loose::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Loose<'a>, E> {
        Ok(Loose::Whole(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Loose<'a>, E> {
        Ok(u64::try_from(value).map_or(Loose::OtherNumber, Loose::Whole))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Loose<'a>, E> {
        Ok(Loose::OtherNumber)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Loose<'a>, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Loose<'a>, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Loose<'a>, E> {
        Ok(Loose::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Loose<'a>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Loose::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Loose<'a>, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose::Object)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nested<T>, D::Error> {
        deserializer.deserialize_any(NestedVisitor(PhantomData))
    }
}

struct NestedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NestedVisitor<T> {
    type Value = Nested<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Nested<T>, A::Error> {
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Nested::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Nested<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(entries)).map(Nested::Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for PairsVisitor<'a> {
    type Value = Pairs<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Pairs<'a>, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            if pairs.insert(key, value).is_some() {
                return Err(de::Error::custom("a key stands twice"));
            }
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings_only() {
        assert!(!is_too_deep(br#"{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[[["}"#));
        assert!(!is_too_deep("[".repeat(DEPTH).as_bytes()));
        assert!(is_too_deep("[".repeat(DEPTH + 1).as_bytes()));
        assert!(!is_too_deep(br#"{"a":"\"#));
    }

    #[test]
    fn a_plus_in_a_query_may_have_become_a_space() {
        let read = |text: &str| number_in_query(text, Country::INDIA).ok().map(|n| n.expose().to_string());
        for text in ["+919900000001", " 919900000001", "919900000001", "09900000001"] {
            assert_eq!(read(text).as_deref(), Some("+919900000001"), "{text:?}");
        }
    }
}
