//! How the types of the domain stand in rows, and back.

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId, Parties, Party, Standing};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::store::{Claim, ClaimKey, PastClaim};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::FlowId;
use rusqlite::types::FromSql;
use rusqlite::{CachedStatement, Connection, Params, Row};

use super::fault::Fault;
use crate::encoding::{self, Ends, read_numbers, read_pins, write_numbers, write_pins};
pub(super) use crate::encoding::{Place, count, digits, pin_digits};

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
        Ok(encoding::number(self.take()?)?)
    }

    /// The next cell, which is a pin.
    pub(super) fn pin(&mut self) -> Result<Pin, Fault> {
        Ok(encoding::pin(self.take()?)?)
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

/// The allocation that begins at a column, in the order of `allocation_columns!`.
pub(super) fn allocation(row: &Row<'_>, column: usize) -> Result<Allocation, Fault> {
    let mut cells = Cells::from(row, column);
    Ok(Allocation {
        tenant: cells.sid()?,
        id: cells.allocation_id()?,
        connection: cells.connection()?,
        virtual_number: cells.number()?,
        parties: Parties { a: party(&mut cells)?, b: party(&mut cells)? },
        usage: encoding::usage(cells.take()?)?,
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
    let ends = Ends {
        expires_at: cells.take()?,
        cooling: cells.take()?,
        ended_at: cells.take()?,
        cooling_until: cells.take()?,
        ending: cells.take()?,
    };
    Ok(ends.standing()?)
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
    let Ends { expires_at, cooling, ended_at, cooling_until, ending } = Ends::of(*standing);
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
        encoding::usage_code(*usage),
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
