//! Copies everything from one database into another, whatever engine each is of: the way up from one machine, and
//! back.
//!
//! Tables are copied in the order of their keys, so that a copy which was broken off goes on after the last row that
//! has arrived. In the end both sides are read once more and compared row by row.

mod end;
mod tables;

use callveil_domain::store::StoreError;

use end::End;
use tables::{Row, TABLES, Table};

pub use end::{Place, PlaceError};

/// How many rows are copied at a time.
const PAGE: usize = 2_000;

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Rows that are done.
    pub done: u64,
    /// Rows that there are.
    pub total: u64,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Rows are copied.
    Copying,
    /// Rows are compared.
    Comparing,
}

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Rows that both sides have now.
    pub rows: u64,
    /// Rows that had arrived before, by a copy that was broken off.
    pub before: u64,
}

/// Why nothing, or not all, was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of them cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The other side has tenants that this one has not.
    #[error("{0} holds tenants of its own: copy into an empty database")]
    NotEmpty(String),
    /// The two sides are not the same in the end.
    #[error("the table {0} is not the same on both sides: does a server work on one of them?")]
    Different(&'static str),
    /// A side could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies everything from one place into another, and compares. No server may work on either meanwhile: on a file
/// that is made sure of, on a PostgreSQL it is for the operator to see to.
pub async fn copy(
    from: &Place,
    to: &Place,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Copied, CopyError> {
    let (mut from, mut to) = (End::open(from).await?, End::open(to).await?);
    refuse_strangers(&mut from, &mut to).await?;

    let mut total = 0;
    for table in TABLES {
        total += from.count(table).await?;
    }
    let (mut done, mut before) = (0, 0);
    for table in TABLES {
        let arrived = to.count(table).await?;
        before += arrived;
        done += arrived;
        let mut last = to.last(table).await?;
        loop {
            progress(Progress { phase: Phase::Copying, done, total });
            let page = from.page(table, last.as_ref(), PAGE).await?;
            let Some(end) = page.last() else { break };
            last = Some(end.clone());
            done += page.len() as u64;
            to.put(table, page).await?;
        }
    }
    let marks = from.marks().await?;
    to.set_marks(&marks).await?;

    let mut rows = 0;
    for table in TABLES {
        compare(&mut from, &mut to, table, &mut |more| {
            rows += more;
            progress(Progress { phase: Phase::Comparing, done: rows, total });
        })
        .await?;
    }
    Ok(Copied { rows, before })
}

/// Every table and column that is copied.
pub fn columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLES.iter().flat_map(|table| table.columns.iter().map(|(column, _)| (table.name, *column)))
}

/// A target that has tenants which the source has not is somebody else's.
async fn refuse_strangers(from: &mut End, to: &mut End) -> Result<(), CopyError> {
    let Some(tenants) = TABLES.first() else { return Ok(()) };
    let known = everything(from, tenants).await?;
    let there = everything(to, tenants).await?;
    match there.iter().all(|row| known.contains(row)) {
        true => Ok(()),
        false => Err(CopyError::NotEmpty(to.name())),
    }
}

async fn everything(end: &mut End, table: &Table) -> Result<Vec<Row>, StoreError> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let page = end.page(table, rows.last(), PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

async fn compare(
    from: &mut End,
    to: &mut End,
    table: &'static Table,
    compared: &mut (dyn FnMut(u64) + Send),
) -> Result<(), CopyError> {
    let mut last: Option<Row> = None;
    loop {
        let expected = from.page(table, last.as_ref(), PAGE).await?;
        let found = to.page(table, last.as_ref(), PAGE).await?;
        if expected != found {
            return Err(CopyError::Different(table.name));
        }
        let Some(end) = expected.last() else { return Ok(()) };
        last = Some(end.clone());
        compared(expected.len() as u64);
    }
}
