//! Copies a database while it is in use, and puts a copy back in its place.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use callveil_domain::store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::open::{self, Lock, OpenError, beside, connect, directory_of, private};
use super::{migrate, reads};

/// Why no copy was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A copy never overwrites.
    #[error("there is a file {} already: name another, or remove it", .0.display())]
    Exists(PathBuf),
    /// What is to be copied cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Another program keeps the database locked for longer than is waited.
    #[error("another program keeps the database locked: try again")]
    Locked,
    /// The engine gave up.
    #[error("copying the database: {0}")]
    Engine(#[from] rusqlite::Error),
}

/// Why the copy was not put in place. The database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy is not whole.
    #[error("the copy {} is damaged: {found}", path.display())]
    Damaged {
        /// The copy.
        path: PathBuf,
        /// The first thing that is wrong with it.
        found: String,
    },
    /// The copy is no database of this program, or a server uses what it would replace.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy could not be read.
    #[error("checking the copy: {0}")]
    Store(#[from] StoreError),
}

/// Copies the database `from`, as it is at one moment, to the new file `to`. Servers go on as if nothing happened.
pub fn backup(from: &Path, to: &Path) -> Result<(), BackupError> {
    open::require_file(from)?;
    open::require_directory(to)?;
    let source = connect(from, COPY_CACHE_KIB).map_err(|e| OpenError::sqlite(from, e))?;
    migrate::recognise(&source, from)?;
    match private().create_new(true).open(to) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(BackupError::Exists(to.to_owned())),
        Err(e) => return Err(system("making", to)(e).into()),
    }
    // The name is ours now. It stays empty until all of the copy is on the disk.
    let partial = beside(to, "-partial");
    let copied = copy_pages(&source, &partial).and_then(|()| Ok(put_in_place(&partial, to)?));
    if copied.is_err() {
        // What cannot be removed either is told by the error that is answered.
        let _ = fs::remove_file(&partial);
        let _ = fs::remove_file(to);
    }
    copied
}

/// The copy reads each page once.
const COPY_CACHE_KIB: i64 = 1_024;

/// Copies all pages in one step, which sees one moment; with several, each write meanwhile would begin it anew.
fn copy_pages(source: &Connection, to: &Path) -> Result<(), BackupError> {
    private().create(true).truncate(true).open(to).map_err(system("making", to))?;
    let mut target = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    target.execute_batch("pragma journal_mode = off; pragma synchronous = off;")?;
    match Backup::new(source, &mut target)?.step(-1)? == StepResult::Done {
        true => Ok(()),
        false => Err(BackupError::Locked),
    }
}

/// Checks the copy `from` and puts it in the place of the database `to`. Refused while a server uses that.
pub fn restore(from: &Path, to: &Path) -> Result<(), RestoreError> {
    open::require_file(from)?;
    open::require_directory(to)?;
    let _lock = Lock::take(to)?;
    let incoming = beside(to, "-restoring");
    remove_with_log(&incoming)?;
    let checked = take_in(from, &incoming).and_then(|()| {
        settle(to)?;
        Ok(put_in_place(&incoming, to)?)
    });
    if checked.is_err() {
        remove_with_log(&incoming)?;
    }
    checked
}

/// Copies the copy, with the log beside it if it has one, and checks what has arrived.
fn take_in(from: &Path, incoming: &Path) -> Result<(), RestoreError> {
    copy_file(from, incoming)?;
    let log = beside(from, "-wal");
    if log.exists() {
        copy_file(&log, &beside(incoming, "-wal"))?;
    }
    let engine = |e| OpenError::sqlite(from, e);
    let db = connect(incoming, COPY_CACHE_KIB).map_err(engine)?;
    migrate::recognise(&db, from)?;
    if let Some(found) = reads::damage(&db).map_err(StoreError::from)?.into_iter().next() {
        return Err(RestoreError::Damaged { path: from.to_owned(), found });
    }
    // Closing the last connection moves the log into the file and removes it.
    db.close().map_err(|(_, e)| engine(e))?;
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), OpenError> {
    let mut source = File::open(from).map_err(system("reading", from))?;
    let mut target = private().create(true).truncate(true).open(to).map_err(system("making", to))?;
    io::copy(&mut source, &mut target).map_err(system("copying to", to))?;
    Ok(())
}

/// Leaves nothing of the old database beside its file: a log that stayed would be moved into the new one.
fn settle(old: &Path) -> Result<(), OpenError> {
    if old.exists()
        && let Ok(db) = connect(old, COPY_CACHE_KIB)
    {
        // Moves the log into the old file, so that this is whole if nothing more happens. A damaged one stays damaged.
        let _ = db.close();
    }
    for ending in ["-wal", "-shm"] {
        remove(&beside(old, ending))?;
    }
    sync_directory(old)
}

/// Gives a finished file its name, and answers when both are on the disk.
fn put_in_place(finished: &Path, name: &Path) -> Result<(), OpenError> {
    File::open(finished).and_then(|file| file.sync_all()).map_err(system("writing", finished))?;
    fs::rename(finished, name).map_err(system("naming", name))?;
    sync_directory(name)
}

fn sync_directory(of: &Path) -> Result<(), OpenError> {
    let directory = directory_of(of);
    File::open(&directory).and_then(|d| d.sync_all()).map_err(system("writing", &directory))
}

fn remove_with_log(path: &Path) -> Result<(), OpenError> {
    for ending in ["", "-wal", "-shm"] {
        remove(&beside(path, ending))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(system("removing", path)(e)),
    }
}

fn system(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::System { doing, path, source }
}
