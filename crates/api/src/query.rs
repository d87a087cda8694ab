//! The query of a list: which filters it has, and where a page of it goes on.

use std::fmt;

use axum::extract::Query;
use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callveil_domain::allocation::AllocationId;
use callveil_domain::call::CallId;
use callveil_domain::country::Country;
use callveil_domain::endpoint::EndpointId;
use callveil_domain::event::EventId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::settings::TimeZone;
use callveil_domain::time::Timestamp;

use crate::lenient;
use crate::problem::{Kind, Problem};
use crate::times;

/// The keys of the query, each of them known and sent once.
pub(crate) struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads the query of a list that has these filters.
    pub fn read(uri: &Uri, known: &[&'static str]) -> Result<Filters, Problem> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Err(Problem::new(Kind::Bad, "the query cannot be read"));
        };
        let filters = Filters(pairs);
        if filters.0.iter().any(|(name, _)| !known.contains(&name.as_str())) {
            let message = format!("unsupported search filter; there are {}", known.join(", "));
            return Err(Problem::new(Kind::UnknownFilter, message));
        }
        match known.iter().find(|name| filters.0.iter().filter(|(n, _)| n == **name).count() > 1) {
            Some(twice) => Err(Problem::at(Kind::Bad, *twice, "must be sent once")),
            None => Ok(filters),
        }
    }

    /// A filter's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A filter that is one of few words, or an id: `why` says what it must be.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
        why: &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| Problem::at(Kind::Bad, name, why))
    }

    /// A moment.
    pub fn time(&self, name: &'static str, zone: TimeZone) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let why = "must be a time such as 2026-11-16T14:54:06, or with Z or an offset";
        let time = times::read(text, zone);
        time.map(Some).ok_or_else(|| Problem::at(Kind::BadDates, name, why))
    }

    /// The span from `time_from` to `time_to`, which is in it: its first moment, and the first millisecond after it.
    pub fn span(&self, zone: TimeZone) -> Result<(Timestamp, Timestamp), Problem> {
        let from = self.time("time_from", zone)?.unwrap_or(Timestamp::EPOCH);
        let Some(to) = self.time("time_to", zone)? else { return Ok((from, Timestamp::NEVER)) };
        if to < from {
            return Err(Problem::at(Kind::BadDates, "time_to", "is before time_from"));
        }
        Ok((from, Timestamp::from_micros(to.as_micros() + 1_000)))
    }

    /// A whole number.
    pub fn count(&self, name: &'static str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let count: Option<u32> = text.parse().ok().filter(|n| digits && (least..=most).contains(n));
        let why = || format!("must be a whole number from {least} to {most}");
        count.map(Some).ok_or_else(|| Problem::at(Kind::Bad, name, why()))
    }

    /// How many a page is to hold.
    pub fn page_size(&self) -> Result<usize, Problem> {
        Ok(self.count("page_size", 1, 100)?.unwrap_or(50) as usize)
    }

    /// A telephone number.
    pub fn number(&self, name: &'static str, home: Country) -> Result<Option<PhoneNumber>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        lenient::number_in_query(text, home).map(Some).map_err(|wrong| wrong.at(name))
    }

    /// An allocation.
    pub fn allocation(&self) -> Result<Option<AllocationId>, Problem> {
        self.parsed("greenvn_id", AllocationId::parse, "must be an allocation's id")
    }

    /// Where the page goes on, if it is not the first: `own` knows the cursors of its list.
    pub fn cursor<T>(&self, own: impl FnOnce(Cursor) -> Option<T>) -> Result<Option<T>, Problem> {
        let why = "must be next_cursor of the page before";
        self.parsed("cursor", |text| Cursor::parse(text).and_then(own), why)
    }
}

/// The last row of a page, after which the next one goes on. Clients see a text that tells them nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// In a list of calls.
    Call(CallId),
    /// In a list of events.
    Event(EventId),
    /// In a list of deliveries.
    Delivery(EventId, EndpointId),
}

impl Cursor {
    fn parse(text: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (list, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        match (list, rest) {
            (b'c', []) => Some(Cursor::Call(CallId::from_bytes(*id))),
            (b'e', []) => Some(Cursor::Event(EventId::from_bytes(*id))),
            (b'd', endpoint) => {
                let endpoint = EndpointId::parse(std::str::from_utf8(endpoint).ok()?)?;
                Some(Cursor::Delivery(EventId::from_bytes(*id), endpoint))
            }
            (_, _) => None,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Cursor::Call(id) => [b"c", id.as_bytes().as_slice()].concat(),
            Cursor::Event(id) => [b"e", id.as_bytes().as_slice()].concat(),
            Cursor::Delivery(id, endpoint) => {
                [b"d", id.as_bytes().as_slice(), endpoint.as_str().as_bytes()].concat()
            }
        };
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        let event = EventId::from_bytes([7; 16]);
        for cursor in [
            Cursor::Call(CallId::from_bytes([255; 16])),
            Cursor::Event(event),
            Cursor::Delivery(event, EndpointId::parse("ep_1").unwrap()),
        ] {
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        for text in ["", "0", "YQ", "%00", "ZQcHBwcHBwcHBwcHBwcHBwcH", "ZAcHBwcHBwcHBwcHBwcHBwc"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
