//! Moves the log into the database file, so that neither grows without end and no answer waits for it.
//!
//! A thread of its own copies pages while the writer goes on appending. What was appended meanwhile is little, and
//! less with each pass; when it is little enough the writer copies that itself between two batches, and then begins
//! the log again from its start.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::readers::Pool;

/// After how many changed rows a checkpoint begins. While its pages go to the disk, commits wait longer: raising it makes
/// such times rarer, and the log larger. A row is a page of the log at most, so that this is some 200 MiB.
const EVERY: u64 = 100_000;

/// How many rows' pages the writer copies itself. Raising it makes the answers of one batch in many wait longer;
/// lowering it asks for more passes before.
const LITTLE: u64 = 3_000;

/// After how many passes the writer copies the rest however much it is: then the disk takes no more than is written.
const PASSES: u32 = 6;

/// The writer's side of the work.
pub(super) struct Checkpointer {
    /// Asks for a pass. `None` only while it is dropped.
    begin: Option<SyncSender<()>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    phase: Phase,
    readers: Arc<Pool>,
}

/// Rows are those that the writer has ever changed.
#[derive(Clone, Copy)]
enum Phase {
    /// Nothing is to be done until many rows more than these have changed.
    Waiting { since: u64 },
    /// A pass that began at these rows is under way.
    Passing { since: u64, pass: u32 },
}

impl Checkpointer {
    /// Starts the thread with its connection.
    pub(super) fn start(db: Connection, readers: Arc<Pool>) -> io::Result<Checkpointer> {
        let (begin, begun) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        let theirs = Arc::clone(&readers);
        let thread = thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
            for () in begun {
                copy(&db, &theirs);
                if tell.send(()).is_err() {
                    break;
                }
            }
        })?;
        let phase = Phase::Waiting { since: 0 };
        let mut started = Checkpointer { begin: Some(begin), done, thread: Some(thread), phase, readers };
        // Whoever was killed has left a log, which would grow from one kill to the next.
        started.phase = started.pass(0, 1);
        Ok(started)
    }

    /// Does what is due, between two batches of the writer.
    pub(super) fn after_commit(&mut self, db: &Connection) {
        let rows = db.total_changes();
        self.phase = match self.phase {
            Phase::Waiting { since } if rows - since >= EVERY => self.pass(rows, 1),
            Phase::Passing { since, pass } if self.done.try_recv().is_ok() => {
                if rows - since <= LITTLE || pass >= PASSES {
                    copy(db, &self.readers);
                    Phase::Waiting { since: rows }
                } else {
                    self.pass(rows, pass + 1)
                }
            }
            phase @ (Phase::Waiting { .. } | Phase::Passing { .. }) => phase,
        };
    }

    /// Begins the log again if that can be done: on a full disk it is what there is room in.
    pub(super) fn after_failure(&mut self, db: &Connection) {
        copy(db, &self.readers);
    }

    fn pass(&self, rows: u64, pass: u32) -> Phase {
        match self.begin.as_ref().map(|begin| begin.try_send(())) {
            Some(Ok(())) => Phase::Passing { since: rows, pass },
            // Without its thread the log grows until the database is closed, and nothing is lost.
            Some(Err(_)) | None => Phase::Waiting { since: rows },
        }
    }
}

/// Copies as much of the log as can be copied while others read and write. Nothing can that a reader still needs to
/// be as it was, and the log cannot begin again while a reader looks into it: so they let go before and after.
fn copy(db: &Connection, readers: &Pool) {
    readers.release();
    let copied = db.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
    readers.release();
    if let Err(error) = copied {
        // The writer meets the same disk and tells whether it recovers.
        tracing::warn!(error = ?error.sqlite_error_code(), "the log could not be moved into the database file");
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed its connection as well.
            let _ = thread.join();
        }
    }
}
