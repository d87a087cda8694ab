//! How the types of the domain stand in columns, the same in every engine.

use std::time::Duration;

use callveil_domain::allocation::{AllocationId, Ending, Standing, Usage};
use callveil_domain::delivery::DeliveryState;
use callveil_domain::endpoint::Dialect;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::store::ClaimKey;
use callveil_domain::time::Timestamp;
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_domain::virtual_number::Lending;

/// A column holds what no rule allows. Says which, never what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled(pub(crate) &'static str);

/// The number of these digits.
pub(crate) fn number(digits: i64) -> Result<PhoneNumber, Garbled> {
    let number = u64::try_from(digits).ok().and_then(PhoneNumber::from_digits);
    number.ok_or(Garbled("digits that are no telephone number"))
}

/// The pin of these digits.
pub(crate) fn pin(value: i64) -> Result<Pin, Garbled> {
    let pin = u64::try_from(value).ok().and_then(|v| Pin::from_value(v).ok());
    pin.ok_or(Garbled("digits that are no pin"))
}

/// The trunks of what is said of them: name, setting and text, in the order of the names. What is not taken was
/// written by a program with other rules: the setting's default holds, and without its bare bones there is no trunk.
pub(crate) fn trunks(said: Vec<(String, String, String)>) -> Vec<Trunk> {
    let mut trunks: Vec<Trunk> = Vec::new();
    for (name, setting, value) in said {
        let Some(name) = TrunkName::parse(&name) else { continue };
        if trunks.last().is_none_or(|last| last.name != name) {
            trunks.push(Trunk::new(name.clone()));
        }
        if let Some(trunk) = trunks.last_mut()
            && trunk.set(&setting, &value).is_err()
        {
            tracing::error!(trunk = %name, %setting, "trunk {name} has a {setting} that is not taken: its default holds");
        }
    }
    let complete = |trunk: Trunk| {
        let name = trunk.name.clone();
        let complete = trunk.complete();
        if let Err(why) = &complete {
            tracing::error!(trunk = %name, "trunk {name} is left out: {why}");
        }
        complete.ok()
    };
    trunks.into_iter().filter_map(complete).collect()
}

/// The code of a usage.
pub(crate) fn usage_code(usage: Usage) -> i16 {
    match usage {
        Usage::OneWay => 1,
        Usage::TwoWay => 2,
    }
}

/// The usage of a code.
pub(crate) fn usage(code: i16) -> Result<Usage, Garbled> {
    match code {
        1 => Ok(Usage::OneWay),
        2 => Ok(Usage::TwoWay),
        _ => Err(Garbled("an unknown usage")),
    }
}

/// The code of whether a virtual number is lent.
pub(crate) fn lending_code(lending: Lending) -> i16 {
    match lending {
        Lending::Open => 1,
        Lending::Draining => 2,
    }
}

/// Whether a virtual number is lent, of its code.
pub(crate) fn lending(code: i16) -> Result<Lending, Garbled> {
    match code {
        1 => Ok(Lending::Open),
        2 => Ok(Lending::Draining),
        _ => Err(Garbled("an unknown state of a virtual number")),
    }
}

/// The code of how far a delivery has come.
pub(crate) fn delivery_code(state: DeliveryState) -> i16 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Dead => 2,
    }
}

/// How far a delivery has come, of its code.
pub(crate) fn delivery_state(code: i16) -> Result<DeliveryState, Garbled> {
    match code {
        0 => Ok(DeliveryState::Pending),
        1 => Ok(DeliveryState::Delivered),
        2 => Ok(DeliveryState::Dead),
        _ => Err(Garbled("an unknown state of a delivery")),
    }
}

/// The code of what an endpoint is sent.
pub(crate) fn dialect_code(dialect: Dialect) -> i16 {
    match dialect {
        Dialect::Standard => 1,
        Dialect::LeadAssist => 2,
    }
}

/// What an endpoint is sent, of its code.
pub(crate) fn dialect(code: i16) -> Result<Dialect, Garbled> {
    match code {
        1 => Ok(Dialect::Standard),
        2 => Ok(Dialect::LeadAssist),
        _ => Err(Garbled("an unknown dialect of an endpoint")),
    }
}

/// The digits of a number, as the database has them.
pub(crate) fn digits(number: PhoneNumber) -> i64 {
    number.expose_digits().cast_signed()
}

/// The digits of a pin, as the database has them.
pub(crate) fn pin_digits(pin: Pin) -> i64 {
    pin.expose_value().cast_signed()
}

/// A count or a limit, as the database has them.
pub(crate) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The columns of a standing: either the first two are set or the last three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) expires_at: Option<i64>,
    pub(crate) cooling: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) cooling_until: Option<i64>,
    pub(crate) ending: Option<i16>,
}

impl Ends {
    /// How a standing stands in its columns.
    pub(crate) fn of(standing: Standing) -> Ends {
        match standing {
            Standing::Lent { expires_at, cooling } => Ends {
                expires_at: Some(expires_at.as_micros()),
                cooling: Some(i64::try_from(cooling.as_micros()).unwrap_or(i64::MAX)),
                ..Ends::default()
            },
            Standing::Ended { at, cooling_until, how } => Ends {
                ended_at: Some(at.as_micros()),
                cooling_until: Some(cooling_until.as_micros()),
                ending: Some(match how {
                    Ending::Expired => 1,
                    Ending::Released => 2,
                }),
                ..Ends::default()
            },
        }
    }

    /// The standing of these columns.
    pub(crate) fn standing(self) -> Result<Standing, Garbled> {
        let Ends { expires_at, cooling, ended_at, cooling_until, ending } = self;
        match (expires_at, cooling, ended_at, cooling_until, ending) {
            (Some(expires_at), Some(cooling), None, None, None) => Ok(Standing::Lent {
                expires_at: Timestamp::from_micros(expires_at),
                cooling: Duration::from_micros(cooling.cast_unsigned()),
            }),
            (None, None, Some(at), Some(cooling_until), Some(how)) => Ok(Standing::Ended {
                at: Timestamp::from_micros(at),
                cooling_until: Timestamp::from_micros(cooling_until),
                how: match how {
                    1 => Ending::Expired,
                    2 => Ending::Released,
                    _ => return Err(Garbled("an unknown ending")),
                },
            }),
            _ => Err(Garbled("an allocation that is neither lent nor ended")),
        }
    }
}

/// The columns that a claim's key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'key> {
    /// In `claim`.
    OnNumber { kind: i16, key: i64, virtual_number: i64 },
    /// In `connection_claim`.
    Connection { tenant: &'key str, connection: &'key str },
}

impl Place<'_> {
    /// Where the claim of this key stands.
    pub(crate) fn of(key: &ClaimKey) -> Place<'_> {
        let on_number = |kind, key, number| Place::OnNumber { kind, key, virtual_number: digits(number) };
        match key {
            ClaimKey::Number { number, virtual_number } => on_number(0, digits(*number), *virtual_number),
            ClaimKey::Pin { pin, virtual_number } => on_number(1, pin_digits(*pin), *virtual_number),
            ClaimKey::Whole { virtual_number } => on_number(2, 0, *virtual_number),
            ClaimKey::Connection { tenant, connection } => {
                Place::Connection { tenant: tenant.as_str(), connection: connection.as_str() }
            }
        }
    }
}

/// A list of numbers as one text.
pub(crate) fn write_numbers(numbers: &[PhoneNumber]) -> String {
    list(numbers.iter().map(|n| n.expose_digits()))
}

/// A list of pins as one text.
pub(crate) fn write_pins(pins: &[Pin]) -> String {
    list(pins.iter().map(|p| p.expose_value()))
}

fn list(items: impl Iterator<Item = u64>) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&item.to_string());
    }
    text
}

/// The numbers of a list.
pub(crate) fn read_numbers(text: &str) -> Result<Vec<PhoneNumber>, Garbled> {
    let number = |item: &str| item.parse().ok().and_then(PhoneNumber::from_digits);
    items(text).map(number).collect::<Option<_>>().ok_or(Garbled("a list that is not one of numbers"))
}

/// The pins of a list.
pub(crate) fn read_pins(text: &str) -> Result<Vec<Pin>, Garbled> {
    let pin = |item: &str| item.parse().ok().and_then(|value| Pin::from_value(value).ok());
    items(text).map(pin).collect::<Option<_>>().ok_or(Garbled("a list that is not one of pins"))
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| !item.is_empty())
}

/// The ids that anything made between two moments can have: from the first on, and before the second.
pub(crate) fn ids_between(from: Timestamp, to: Timestamp) -> (AllocationId, AllocationId) {
    // An id has 48 bits for its milliseconds: enough until the year 10889.
    const LAST: Timestamp = Timestamp::from_micros(((1 << 48) - 2) * 1_000);
    let next_ms = Timestamp::from_micros(to.min(LAST).as_micros().saturating_add(1_000));
    (AllocationId::least_at(from.min(LAST)), AllocationId::least_at(next_ms))
}
