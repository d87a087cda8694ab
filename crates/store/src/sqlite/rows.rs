//! How the types of the domain stand in rows, and back.

use std::time::Duration;

use callveil_domain::allocation::{
    Allocation, AllocationId, ConnectionId, Ending, Parties, Party, Standing, Usage,
};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::store::{Claim, ClaimKey, PastClaim};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::FlowId;
use rusqlite::types::FromSql;
use rusqlite::{CachedStatement, Connection, Params, Row};

use super::fault::Fault;

/// All rows of a statement.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row of a statement, if it finds any.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    parameters: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(read).transpose()
}

/// The cells of a row, taken in the order of the columns.
pub(super) struct Cells<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl<'row> Cells<'row> {
    /// The cells from a column on.
    pub(super) fn from(row: &'row Row<'row>, column: usize) -> Cells<'row> {
        Cells { row, next: column }
    }

    /// The next cell.
    pub(super) fn take<T: FromSql>(&mut self) -> Result<T, Fault> {
        let cell = self.row.get(self.next)?;
        self.next += 1;
        Ok(cell)
    }

    /// The next cell, which is text, without copying it.
    pub(super) fn text(&mut self) -> Result<&'row str, Fault> {
        let cell = self.row.get_ref(self.next)?.as_str()?;
        self.next += 1;
        Ok(cell)
    }

    /// The next cell, which is a number of the telephone network.
    pub(super) fn number(&mut self) -> Result<PhoneNumber, Fault> {
        let digits: i64 = self.take()?;
        let number = u64::try_from(digits).ok().and_then(PhoneNumber::from_digits);
        number.ok_or(Fault::Row("digits that are no telephone number"))
    }

    /// The next cell, which is a pin.
    pub(super) fn pin(&mut self) -> Result<Pin, Fault> {
        let value: i64 = self.take()?;
        let pin = u64::try_from(value).ok().and_then(|v| Pin::from_value(v).ok());
        pin.ok_or(Fault::Row("digits that are no pin"))
    }

    /// The next cell, which is a moment.
    pub(super) fn moment(&mut self) -> Result<Timestamp, Fault> {
        self.take().map(Timestamp::from_micros)
    }

    /// The next cell, which is the id of an allocation.
    pub(super) fn allocation_id(&mut self) -> Result<AllocationId, Fault> {
        self.take().map(AllocationId::from_bytes)
    }

    /// The next cell, which is the name of a tenant.
    pub(super) fn sid(&mut self) -> Result<Sid, Fault> {
        Sid::parse(self.text()?).map_err(|_| Fault::Row("a text that is no tenant's SID"))
    }

    fn connection(&mut self) -> Result<ConnectionId, Fault> {
        ConnectionId::parse(self.text()?).map_err(|_| Fault::Row("a text that is no connection id"))
    }
}

/// The digits of a number, as the database has them.
pub(super) fn digits(number: PhoneNumber) -> i64 {
    number.expose_digits().cast_signed()
}

/// The digits of a pin, as the database has them.
pub(super) fn pin_digits(pin: Pin) -> i64 {
    pin.expose_value().cast_signed()
}

/// A count or a limit, as the database has them.
pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The allocation that begins at a column, in the order of `allocation_columns!`.
pub(super) fn allocation(row: &Row<'_>, column: usize) -> Result<Allocation, Fault> {
    let mut cells = Cells::from(row, column);
    Ok(Allocation {
        tenant: cells.sid()?,
        id: cells.allocation_id()?,
        connection: cells.connection()?,
        virtual_number: cells.number()?,
        parties: Parties { a: party(&mut cells)?, b: party(&mut cells)? },
        usage: match cells.take()? {
            1 => Usage::OneWay,
            2 => Usage::TwoWay,
            _ => return Err(Fault::Row("an unknown usage")),
        },
        flow: match cells.take::<Option<String>>()? {
            Some(flow) => Some(FlowId::parse(&flow).map_err(|_| Fault::Row("a text that is no flow id"))?),
            None => None,
        },
        exclusive: cells.take()?,
        created_at: cells.moment()?,
        standing: standing(&mut cells)?,
        version: cells.take::<i64>()?.cast_unsigned(),
    })
}

fn party(cells: &mut Cells<'_>) -> Result<Party, Fault> {
    Ok(Party {
        numbers: read_numbers(cells.text()?)?,
        pins: read_pins(cells.text()?)?,
        learned: read_numbers(cells.text()?)?,
        tag: cells.take()?,
    })
}

fn standing(cells: &mut Cells<'_>) -> Result<Standing, Fault> {
    let expires_at: Option<i64> = cells.take()?;
    let cooling: Option<i64> = cells.take()?;
    let ended_at: Option<i64> = cells.take()?;
    let cooling_until: Option<i64> = cells.take()?;
    let ending: Option<i64> = cells.take()?;
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
                _ => return Err(Fault::Row("an unknown ending")),
            },
        }),
        _ => Err(Fault::Row("an allocation that is neither lent nor ended")),
    }
}

/// Gives all columns of an allocation to a statement that has them as its first parameters, and runs it.
pub(super) fn write_allocation(
    statement: &mut CachedStatement<'_>,
    allocation: &Allocation,
) -> Result<usize, rusqlite::Error> {
    let Allocation {
        id,
        tenant,
        connection,
        virtual_number,
        parties: Parties { a, b },
        usage,
        flow,
        exclusive,
        created_at,
        standing,
        version,
    } = allocation;
    let Ends { expires_at, cooling, ended_at, cooling_until, ending } = ends(*standing);
    statement.execute(rusqlite::params![
        tenant.as_str(),
        id.as_bytes(),
        connection.as_str(),
        digits(*virtual_number),
        write_numbers(&a.numbers),
        write_pins(&a.pins),
        write_numbers(&a.learned),
        a.tag,
        write_numbers(&b.numbers),
        write_pins(&b.pins),
        write_numbers(&b.learned),
        b.tag,
        match usage {
            Usage::OneWay => 1,
            Usage::TwoWay => 2,
        },
        flow.as_ref().map(FlowId::as_str),
        exclusive,
        created_at.as_micros(),
        expires_at,
        cooling,
        ended_at,
        cooling_until,
        ending,
        version.cast_signed(),
    ])
}

/// The columns of a standing: either the first two are set or the last three.
#[derive(Default)]
struct Ends {
    expires_at: Option<i64>,
    cooling: Option<i64>,
    ended_at: Option<i64>,
    cooling_until: Option<i64>,
    ending: Option<i64>,
}

fn ends(standing: Standing) -> Ends {
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

/// A claim on a virtual number: the columns of `claim`.
pub(super) fn claim(row: &Row<'_>) -> Result<Claim, Fault> {
    let mut cells = Cells::from(row, 0);
    let key = match cells.take()? {
        0 => ClaimKey::Number { number: cells.number()?, virtual_number: cells.number()? },
        1 => ClaimKey::Pin { pin: cells.pin()?, virtual_number: cells.number()? },
        2 => {
            let _: i64 = cells.take()?;
            ClaimKey::Whole { virtual_number: cells.number()? }
        }
        _ => return Err(Fault::Row("a claim of an unknown kind")),
    };
    Ok(Claim { key, allocation: cells.allocation_id()?, held_until: cells.moment()? })
}

/// A claim on a connection id: the columns of `connection_claim`.
pub(super) fn connection_claim(row: &Row<'_>) -> Result<Claim, Fault> {
    let mut cells = Cells::from(row, 0);
    let key = ClaimKey::Connection { tenant: cells.sid()?, connection: cells.connection()? };
    Ok(Claim { key, allocation: cells.allocation_id()?, held_until: cells.moment()? })
}

/// A claim of a number: the columns of `claim` after its kind.
pub(super) fn past_claim(row: &Row<'_>) -> Result<PastClaim, Fault> {
    let mut cells = Cells::from(row, 0);
    Ok(PastClaim {
        number: cells.number()?,
        virtual_number: cells.number()?,
        allocation: cells.allocation_id()?,
        held_until: cells.moment()?,
    })
}

/// The columns that a claim's key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'key> {
    /// In `claim`.
    OnNumber { kind: i64, key: i64, virtual_number: i64 },
    /// In `connection_claim`.
    Connection { tenant: &'key str, connection: &'key str },
}

impl Place<'_> {
    /// Where the claim of this key stands.
    pub(super) fn of(key: &ClaimKey) -> Place<'_> {
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

fn write_numbers(numbers: &[PhoneNumber]) -> String {
    list(numbers.iter().map(|n| n.expose_digits()))
}

fn write_pins(pins: &[Pin]) -> String {
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

fn read_numbers(text: &str) -> Result<Vec<PhoneNumber>, Fault> {
    let number = |item: &str| item.parse().ok().and_then(PhoneNumber::from_digits);
    items(text).map(number).collect::<Option<_>>().ok_or(Fault::Row("a list that is not one of numbers"))
}

fn read_pins(text: &str) -> Result<Vec<Pin>, Fault> {
    let pin = |item: &str| item.parse().ok().and_then(|value| Pin::from_value(value).ok());
    items(text).map(pin).collect::<Option<_>>().ok_or(Fault::Row("a list that is not one of pins"))
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| !item.is_empty())
}
