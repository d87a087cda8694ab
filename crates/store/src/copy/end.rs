//! One side of a copy: a database of either engine, read and written row by row.

use std::fmt;
use std::path::PathBuf;

use callveil_domain::store::StoreError;
use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, params_from_iter};
use tokio_postgres::types::{ToSql, Type};

use super::tables::{Cell, Kind, Row, Table};
use crate::postgres::{self, Raw, Url};
use crate::sqlite::{self, Mode, SqliteStore};

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite's.
    Sqlite(PathBuf),
    /// A PostgreSQL.
    Postgres(Box<Url>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(url) => url.fmt(f),
        }
    }
}

/// Why a side cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The file.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
}

/// What a database remembers beside its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    revision: i64,
    latest: i64,
    audit_place: i64,
    audit_hash: Vec<u8>,
}

/// A side that is open. A file is locked: no server works on it.
pub(super) enum End {
    Sqlite { db: Connection, _lock: SqliteStore, place: Place },
    Postgres { db: Raw, place: Place },
}

impl End {
    /// Opens it, bringing its schema up to date.
    pub(super) async fn open(place: &Place) -> Result<End, PlaceError> {
        match place {
            Place::Sqlite(path) => {
                let lock = SqliteStore::open(path, Mode::Serve)?;
                let db = sqlite::connection(path)?;
                Ok(End::Sqlite { db, _lock: lock, place: place.clone() })
            }
            Place::Postgres(url) => {
                postgres::migrate(url).await?;
                Ok(End::Postgres { db: Raw::open(url).await?, place: place.clone() })
            }
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            End::Sqlite { place, .. } | End::Postgres { place, .. } => place.to_string(),
        }
    }

    /// How many rows a table has.
    pub(super) async fn count(&mut self, table: &Table) -> Result<u64, StoreError> {
        let text = format!("select count(*) from {}", table.name);
        let rows = self.rows(&text, &[], &[("count", Kind::Int)]).await?;
        match rows.first().and_then(|row| row.first()) {
            Some(Cell::Int(count)) => Ok(count.cast_unsigned()),
            Some(_) | None => Err(StoreError::Corrupt("a count that is none".to_owned())),
        }
    }

    /// The last row of a table in the order of its key.
    pub(super) async fn last(&mut self, table: &Table) -> Result<Option<Row>, StoreError> {
        let backwards: Vec<String> =
            table.key_columns().iter().map(|(name, _)| format!("{name} desc")).collect();
        let text =
            format!("select {} from {} order by {} limit 1", table.names(), table.name, backwards.join(", "));
        Ok(self.rows(&text, &[], table.columns).await?.pop())
    }

    /// The rows that follow one in the order of the key.
    pub(super) async fn page(
        &mut self,
        table: &Table,
        after: Option<&Row>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let key = after.map_or(&[][..], |row| row.split_at(table.key).0);
        let placeholders: Vec<String> = (1..=key.len()).map(|n| self.placeholder(n)).collect();
        let following = match key.is_empty() {
            true => String::new(),
            false => format!("where ({}) > ({})", table.key_names(), placeholders.join(", ")),
        };
        let text = format!(
            "select {} from {} {following} order by {} limit {limit}",
            table.names(),
            table.name,
            table.key_names()
        );
        self.rows(&text, key, table.columns).await
    }

    fn placeholder(&self, n: usize) -> String {
        match self {
            End::Sqlite { .. } => format!("?{n}"),
            End::Postgres { .. } => format!("${n}"),
        }
    }

    /// The rows of a statement whose parameters are the key of a table.
    async fn rows(
        &mut self,
        text: &str,
        key: &[Cell],
        columns: &[(&str, Kind)],
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            End::Sqlite { db, .. } => Ok(sqlite_rows(db, text, key, columns)?),
            End::Postgres { db, .. } => {
                let kinds = columns.iter().map(|(_, kind)| *kind);
                let key: Vec<(Box<dyn ToSql + Sync + Send>, Type)> =
                    key.iter().zip(kinds).map(|(cell, kind)| (single(cell, kind), of_one(kind))).collect();
                let rows = db.query(text, &key).await?;
                rows.iter().map(|row| postgres_row(row, columns)).collect()
            }
        }
    }

    /// Writes rows; one whose key is there already stays as it is.
    pub(super) async fn put(&mut self, table: &Table, rows: Vec<Row>) -> Result<(), StoreError> {
        match self {
            End::Sqlite { db, .. } => Ok(sqlite_put(db, table, &rows)?),
            End::Postgres { db, .. } => {
                let places: Vec<String> = (1..=table.columns.len()).map(|n| format!("${n}")).collect();
                let text = format!(
                    "insert into {0} ({1}) select {1} from unnest({2}) as r ({1}) on conflict do nothing",
                    table.name,
                    table.names(),
                    places.join(", ")
                );
                let columns: Vec<(Box<dyn ToSql + Sync + Send>, Type)> = table
                    .columns
                    .iter()
                    .enumerate()
                    .map(|(n, (_, kind))| (column(&rows, n, *kind), of_many(*kind)))
                    .collect();
                db.query(&text, &columns).await.map(drop)
            }
        }
    }

    /// What the database remembers beside its rows.
    pub(super) async fn marks(&mut self) -> Result<Marks, StoreError> {
        let latest = match self {
            End::Sqlite { .. } => "(select latest from moment)",
            End::Postgres { .. } => "(select coalesce(max(latest), 0) from writer)",
        };
        let text = format!(
            "select (select number from revision), {latest},
            (select place from audit_head), (select hash from audit_head)"
        );
        let columns = [("", Kind::Int), ("", Kind::Int), ("", Kind::Int), ("", Kind::Bytes)];
        match self.rows(&text, &[], &columns).await?.pop().as_deref() {
            Some([Cell::Int(revision), Cell::Int(latest), Cell::Int(place), Cell::Bytes(hash)]) => {
                Ok(Marks {
                    revision: *revision,
                    latest: *latest,
                    audit_place: *place,
                    audit_hash: hash.clone(),
                })
            }
            Some(_) | None => Err(StoreError::Corrupt("a database without its marks".to_owned())),
        }
    }

    /// Remembers what the other side did.
    pub(super) async fn set_marks(&mut self, marks: &Marks) -> Result<(), StoreError> {
        let Marks { revision, latest, audit_place, audit_hash } = marks;
        match self {
            End::Sqlite { db, .. } => {
                let set = |db: &Connection| -> Result<(), rusqlite::Error> {
                    db.execute("update revision set number = max(number, ?1)", [revision])?;
                    db.execute("update moment set latest = max(latest, ?1)", [latest])?;
                    db.execute("update audit_head set place = ?1, hash = ?2", (audit_place, audit_hash))?;
                    Ok(())
                };
                Ok(set(db).map_err(sqlite::told)?)
            }
            End::Postgres { db, .. } => {
                let boxed = |n: i64| -> Box<dyn ToSql + Sync + Send> { Box::new(n) };
                let int = Type::INT8;
                db.query(
                    "update revision set number = greatest(number, $1)",
                    &[(boxed(*revision), int.clone())],
                )
                .await?;
                db.query(
                    "insert into writer (writer_id, batch, latest) values ('copy', 0, $1)
                    on conflict (writer_id) do update set latest = greatest(writer.latest, excluded.latest)",
                    &[(boxed(*latest), int.clone())],
                )
                .await?;
                let head: [(Box<dyn ToSql + Sync + Send>, Type); 2] =
                    [(boxed(*audit_place), int), (Box::new(audit_hash.clone()), Type::BYTEA)];
                db.query("update audit_head set place = $1, hash = $2", &head).await?;
                Ok(())
            }
        }
    }
}

fn sqlite_rows(
    db: &Connection,
    text: &str,
    key: &[Cell],
    columns: &[(&str, Kind)],
) -> Result<Vec<Row>, StoreError> {
    let read = || -> Result<Vec<Row>, rusqlite::Error> {
        let mut statement = db.prepare_cached(text)?;
        let mut rows = statement.query(params_from_iter(key))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let cell = |(n, (_, kind)): (usize, &(&str, Kind))| {
                Ok(match (row.get_ref(n)?, kind) {
                    (ValueRef::Null, _) => Cell::Null,
                    (ValueRef::Integer(value), Kind::Bool) => Cell::Bool(value != 0),
                    (ValueRef::Integer(value), _) => Cell::Int(value),
                    (ValueRef::Text(text), _) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                    (ValueRef::Blob(bytes), _) => Cell::Bytes(bytes.to_vec()),
                    (ValueRef::Real(_), _) => {
                        return Err(rusqlite::Error::IntegralValueOutOfRange(n, 0));
                    }
                })
            };
            found.push(columns.iter().enumerate().map(cell).collect::<Result<_, rusqlite::Error>>()?);
        }
        Ok(found)
    };
    read().map_err(sqlite::told)
}

fn sqlite_put(db: &mut Connection, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
    let places: Vec<String> = (1..=table.columns.len()).map(|n| format!("?{n}")).collect();
    let text = format!(
        "insert into {} ({}) values ({}) on conflict do nothing",
        table.name,
        table.names(),
        places.join(", ")
    );
    let mut put = || -> Result<(), rusqlite::Error> {
        let tx = db.transaction()?;
        for row in rows {
            tx.prepare_cached(&text)?.execute(params_from_iter(row))?;
        }
        tx.commit()
    };
    put().map_err(sqlite::told)
}

impl rusqlite::ToSql for Cell {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        Ok(match self {
            Cell::Null => ToSqlOutput::Owned(SqliteValue::Null),
            Cell::Int(value) => ToSqlOutput::Owned(SqliteValue::Integer(*value)),
            Cell::Bool(value) => ToSqlOutput::Owned(SqliteValue::Integer(i64::from(*value))),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

fn postgres_row(row: &tokio_postgres::Row, columns: &[(&str, Kind)]) -> Result<Row, StoreError> {
    let cell = |(n, (_, kind)): (usize, &(&str, Kind))| -> Result<Cell, tokio_postgres::Error> {
        Ok(match kind {
            Kind::Int => row.try_get::<_, Option<i64>>(n)?.map_or(Cell::Null, Cell::Int),
            Kind::Small => row.try_get::<_, Option<i16>>(n)?.map_or(Cell::Null, |v| Cell::Int(i64::from(v))),
            Kind::Bool => row.try_get::<_, Option<bool>>(n)?.map_or(Cell::Null, Cell::Bool),
            Kind::Text => row.try_get::<_, Option<String>>(n)?.map_or(Cell::Null, Cell::Text),
            Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(n)?.map_or(Cell::Null, Cell::Bytes),
        })
    };
    let cells: Result<Row, tokio_postgres::Error> = columns.iter().enumerate().map(cell).collect();
    cells.map_err(postgres::told)
}

fn of_one(kind: Kind) -> Type {
    match kind {
        Kind::Int => Type::INT8,
        Kind::Small => Type::INT2,
        Kind::Bool => Type::BOOL,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

fn of_many(kind: Kind) -> Type {
    match kind {
        Kind::Int => Type::INT8_ARRAY,
        Kind::Small => Type::INT2_ARRAY,
        Kind::Bool => Type::BOOL_ARRAY,
        Kind::Text => Type::TEXT_ARRAY,
        Kind::Bytes => Type::BYTEA_ARRAY,
    }
}

fn single(cell: &Cell, kind: Kind) -> Box<dyn ToSql + Sync + Send> {
    match kind {
        Kind::Int => Box::new(int(cell)),
        Kind::Small => Box::new(small(cell)),
        Kind::Bool => Box::new(boolean(cell)),
        Kind::Text => Box::new(text(cell)),
        Kind::Bytes => Box::new(bytes(cell)),
    }
}

fn column(rows: &[Row], n: usize, kind: Kind) -> Box<dyn ToSql + Sync + Send> {
    fn each<T>(rows: &[Row], n: usize, of: impl Fn(&Cell) -> Option<T>) -> Vec<Option<T>> {
        rows.iter().map(|row| row.get(n).and_then(&of)).collect()
    }
    match kind {
        Kind::Int => Box::new(each(rows, n, int)),
        Kind::Small => Box::new(each(rows, n, small)),
        Kind::Bool => Box::new(each(rows, n, boolean)),
        Kind::Text => Box::new(each(rows, n, text)),
        Kind::Bytes => Box::new(each(rows, n, bytes)),
    }
}

fn int(cell: &Cell) -> Option<i64> {
    if let Cell::Int(value) = cell { Some(*value) } else { None }
}

fn small(cell: &Cell) -> Option<i16> {
    int(cell).and_then(|value| i16::try_from(value).ok())
}

fn boolean(cell: &Cell) -> Option<bool> {
    if let Cell::Bool(value) = cell { Some(*value) } else { None }
}

fn text(cell: &Cell) -> Option<String> {
    if let Cell::Text(text) = cell { Some(text.clone()) } else { None }
}

fn bytes(cell: &Cell) -> Option<Vec<u8>> {
    if let Cell::Bytes(bytes) = cell { Some(bytes.clone()) } else { None }
}
