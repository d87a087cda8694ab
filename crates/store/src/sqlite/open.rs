//! Opens a database: the lock that keeps a second server away, the connections, and what each is told.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrate;

/// How a database is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the one server that answers from it.
    Serve,
    /// By a command of the operator, maybe beside a server.
    Tool,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is made outside what is there.
    #[error("there is no directory {}: make it first, or name a database elsewhere", .0.display())]
    NoDirectory(PathBuf),
    /// There is nothing to read.
    #[error("there is no database {}", .0.display())]
    NoDatabase(PathBuf),
    /// A server holds the lock.
    #[error("another server uses the database {}: stop it first, or name another database", .0.display())]
    InUse(PathBuf),
    /// The file is something else.
    #[error("{} is not a database of callveil: name another file", .0.display())]
    NotOurs(PathBuf),
    /// A later program wrote it.
    #[error(
        "the database {} has schema {found} and this program knows schemas up to {known}: use the version of \
        callveil that wrote it, or a later one",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The latest that this program knows.
        known: usize,
    },
    /// A program with other steps wrote it.
    #[error(
        "the database {} was brought up by another {name} than this program has: use the version of callveil that \
        wrote it",
        path.display()
    )]
    ChangedMigration {
        /// The database.
        path: PathBuf,
        /// The step that differs.
        name: String,
    },
    /// The operating system refused.
    #[error("{doing} {}: {source}", path.display())]
    System {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it was refused.
        source: io::Error,
    },
    /// The engine refused.
    #[error("opening the database {}: {source}", path.display())]
    Engine {
        /// The database.
        path: PathBuf,
        /// Why it was refused.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// The engine's refusal to open this file.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> OpenError {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => OpenError::NotOurs(path),
            Some(_) | None => OpenError::Engine { path, source },
        }
    }

    /// The system's refusal to start a thread for this database.
    pub(super) fn thread(path: &Path, source: io::Error) -> OpenError {
        OpenError::System { doing: "starting a thread for", path: path.to_owned(), source }
    }
}

/// A database that is ready, as connections for those who use it.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) checkpointer: Connection,
    pub(super) readers: Vec<Connection>,
    pub(super) slow: Connection,
    pub(super) lock: Option<Lock>,
}

/// How many connections read by key: as many as threads can do so at a time, and not so many that each has little to
/// remember.
fn readers() -> usize {
    std::thread::available_parallelism().map_or(2, NonZeroUsize::get).clamp(2, 8)
}

/// Opens or makes the database at `path`.
pub(super) fn open(path: &Path, mode: Mode) -> Result<Opened, OpenError> {
    require_directory(path)?;
    let lock = match mode {
        Mode::Serve => Some(Lock::take(path)?),
        Mode::Tool => None,
    };
    make_private(path)?;
    let readers = readers();
    let connect = |cache_kib| connect(path, cache_kib).map_err(|e| OpenError::sqlite(path, e));
    let mut writer = connect(WRITER_CACHE_KIB)?;
    migrate::migrate(&mut writer, path)?;
    Ok(Opened {
        writer,
        checkpointer: connect(SMALL_CACHE_KIB)?,
        readers: (0..readers)
            .map(|_| connect(READERS_CACHE_KIB / readers as i64))
            .collect::<Result<_, _>>()?,
        slow: connect(SMALL_CACHE_KIB)?,
        lock,
    })
}

/// Refuses a file that is not there.
pub(super) fn require_file(path: &Path) -> Result<(), OpenError> {
    match path.is_file() {
        true => Ok(()),
        false => Err(OpenError::NoDatabase(path.to_owned())),
    }
}

/// Refuses a file whose directory is not there.
pub(super) fn require_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory_of(path);
    match directory.is_dir() {
        true => Ok(()),
        false => Err(OpenError::NoDirectory(directory)),
    }
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// A file whose name is that of the database and an ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The lock that one server at a time holds. It goes with the process, however that ends.
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of a database.
    pub(super) fn take(path: &Path) -> Result<Lock, OpenError> {
        let lock_path = beside(path, "-lock");
        let system = |source| OpenError::System { doing: "locking", path: lock_path.clone(), source };
        let file = private().create(true).truncate(false).open(&lock_path).map_err(system)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(system(source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that this one is just starting may have it open too.
        let _ = self.0.unlock();
    }
}

/// Makes the file when there is none, readable by nobody else: it holds numbers in clear. The engine gives the files
/// beside it the same permissions.
fn make_private(path: &Path) -> Result<(), OpenError> {
    match private().create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::System { doing: "making", path: path.to_owned(), source }),
    }
}

/// Opens files for writing that only their owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Raising these costs memory; lowering them makes more reads go to the system's cache. The readers' is shared out
/// among them.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
const READERS_CACHE_KIB: i64 = 64 * 1024;
pub(super) const SMALL_CACHE_KIB: i64 = 2 * 1024;

/// How long one program waits for the other's transaction.
const WAIT_FOR_WRITER: Duration = Duration::from_secs(5);

/// A connection to a database that is there.
pub(super) fn connect(path: &Path, cache_kib: i64) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(WAIT_FOR_WRITER)?;
    db.set_prepared_statement_cache_capacity(128);
    // Else the engine plans a statement anew whenever a value is bound that a partial index might depend on.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "page_size", PAGE)?;
    use_log(&db)?;
    db.execute_batch(&format!(
        "-- A commit is on the disk before it is answered, and survives a power cut.
        pragma synchronous = full;
        pragma fullfsync = on;
        pragma checkpoint_fullfsync = on;
        pragma foreign_keys = on;
        -- What is deleted is overwritten.
        pragma secure_delete = on;
        pragma temp_store = memory;
        pragma trusted_schema = off;
        pragma cache_size = -{cache_kib};
        -- An error of the disk is then an error of a read, and not the end of the program.
        pragma mmap_size = 0;
        -- The log is moved into the file by `checkpoint`.
        pragma wal_autocheckpoint = 0;
        pragma journal_size_limit = {LOG_KEPT};",
    ))?;
    Ok(db)
}

/// Has changes go to a log beside the file, so that readers and the writer do not wait for each other. The file
/// remembers it; making it so is refused, and not waited for, while another program does the same.
fn use_log(db: &Connection) -> Result<(), rusqlite::Error> {
    const TRIES: u32 = 50;
    let set = || db.query_one("pragma journal_mode = wal", [], |_| Ok(()));
    for _ in 1..TRIES {
        match set() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                // This is waited for.
                db.execute_batch("begin exclusive; commit")?;
            }
            done => return done,
        }
    }
    set()
}

/// The size of a page in bytes, of a database that is made. Claims lie all over their table, and each that changes is a
/// page of the log: half the engine's own size is little more than half the log.
const PAGE: u32 = 2048;

/// How large a log is kept to be written over, in bytes: writing over costs less than growing.
const LOG_KEPT: u64 = 256 * 1024 * 1024;
