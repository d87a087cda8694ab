//! Rows, and the types of the domain in them.

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId, Parties, Party};
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::store::{Claim, ClaimKey, PastClaim};
use callveil_domain::tenant::Sid;
use callveil_domain::time::Timestamp;
use callveil_domain::virtual_number::FlowId;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::fault::Fault;
use crate::encoding::{self, Ends, Garbled, read_numbers, read_pins};

/// The cells of a row, taken in the order of the columns.
pub(super) struct Cells<'row> {
    row: &'row Row,
    next: usize,
}

impl<'row> Cells<'row> {
    /// The cells from a column on.
    pub(super) fn from(row: &'row Row, column: usize) -> Cells<'row> {
        Cells { row, next: column }
    }

    /// The next cell.
    pub(super) fn take<T: FromSql<'row>>(&mut self) -> Result<T, Fault> {
        let cell = self.row.try_get(self.next)?;
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
        self.bytes().map(AllocationId::from_bytes)
    }

    /// The next cell, which is so many bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes: &[u8] = self.take()?;
        Ok(bytes.try_into().map_err(|_| Garbled("bytes that are not as many as they should be"))?)
    }

    /// The next cell, which is the name of a tenant.
    pub(super) fn sid(&mut self) -> Result<Sid, Fault> {
        Ok(Sid::parse(self.take()?).map_err(|_| Garbled("a text that is no tenant's SID"))?)
    }

    /// The next cell, which is a client's name for an allocation.
    pub(super) fn connection(&mut self) -> Result<ConnectionId, Fault> {
        Ok(ConnectionId::parse(self.take()?).map_err(|_| Garbled("a text that is no connection id"))?)
    }
}

/// The allocation that begins at a column, in the order of `allocation_columns!`.
pub(super) fn allocation(row: &Row, column: usize) -> Result<Allocation, Fault> {
    let mut cells = Cells::from(row, column);
    Ok(Allocation {
        tenant: cells.sid()?,
        id: cells.allocation_id()?,
        connection: cells.connection()?,
        virtual_number: cells.number()?,
        parties: Parties { a: party(&mut cells)?, b: party(&mut cells)? },
        usage: encoding::usage(cells.take()?)?,
        flow: match cells.take::<Option<&str>>()? {
            Some(flow) => Some(FlowId::parse(flow).map_err(|_| Garbled("a text that is no flow id"))?),
            None => None,
        },
        exclusive: cells.take()?,
        created_at: cells.moment()?,
        standing: Ends {
            expires_at: cells.take()?,
            cooling: cells.take()?,
            ended_at: cells.take()?,
            cooling_until: cells.take()?,
            ending: cells.take()?,
        }
        .standing()?,
        version: cells.take::<i64>()?.cast_unsigned(),
    })
}

fn party(cells: &mut Cells<'_>) -> Result<Party, Fault> {
    Ok(Party {
        numbers: read_numbers(cells.take()?)?,
        pins: read_pins(cells.take()?)?,
        learned: read_numbers(cells.take()?)?,
        tag: cells.take()?,
    })
}

/// A claim on a virtual number: the columns of `claim`.
pub(super) fn claim(row: &Row) -> Result<Claim, Fault> {
    let mut cells = Cells::from(row, 0);
    let key = key(&mut cells)?;
    Ok(Claim { key, allocation: cells.allocation_id()?, held_until: cells.moment()? })
}

/// The key of a claim on a virtual number: the first three columns of `claim`.
pub(super) fn key(cells: &mut Cells<'_>) -> Result<ClaimKey, Fault> {
    Ok(match cells.take::<i16>()? {
        0 => ClaimKey::Number { number: cells.number()?, virtual_number: cells.number()? },
        1 => ClaimKey::Pin { pin: cells.pin()?, virtual_number: cells.number()? },
        2 => {
            let _: i64 = cells.take()?;
            ClaimKey::Whole { virtual_number: cells.number()? }
        }
        _ => return Err(Garbled("a claim of an unknown kind").into()),
    })
}

/// A claim on a connection id: the columns of `connection_claim`.
pub(super) fn connection_claim(row: &Row) -> Result<Claim, Fault> {
    let mut cells = Cells::from(row, 0);
    let key = connection_key(&mut cells)?;
    Ok(Claim { key, allocation: cells.allocation_id()?, held_until: cells.moment()? })
}

/// The key of a claim on a connection id: the first two columns of `connection_claim`.
pub(super) fn connection_key(cells: &mut Cells<'_>) -> Result<ClaimKey, Fault> {
    Ok(ClaimKey::Connection { tenant: cells.sid()?, connection: cells.connection()? })
}

/// A claim of a number: the columns of `claim` after its kind.
pub(super) fn past_claim(row: &Row) -> Result<PastClaim, Fault> {
    let mut cells = Cells::from(row, 0);
    Ok(PastClaim {
        number: cells.number()?,
        virtual_number: cells.number()?,
        allocation: cells.allocation_id()?,
        held_until: cells.moment()?,
    })
}
