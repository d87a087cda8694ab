//! Where reads run: keyed ones at once, on the calling thread; long ones on a thread of their own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callveil_domain::store::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::statements as sql;

/// How many long reads may wait. More would only be answered after their callers had left.
const LONG_READS: usize = 64;

/// Connections for reads by key. Each takes microseconds, less than handing it to another thread would.
///
/// Beginning a read and ending it costs several system calls, as much as the read itself. So a reader keeps its
/// snapshot for the next read, as long as nothing has been committed since.
pub(super) struct Pool {
    readers: Vec<Mutex<Reader>>,
    next: AtomicUsize,
    commits: Commits,
}

/// How many times the writer has committed: it counts before it answers, so that whoever has an answer finds every
/// snapshot from before it to be old.
#[derive(Clone, Debug, Default)]
pub(super) struct Commits(Arc<AtomicU64>);

impl Commits {
    /// Counts one.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    fn so_far(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// How old a snapshot may grow where nothing is committed here. What another program commits is seen this much later
/// at most: an operator's command, beside a server.
const FRESH: Duration = Duration::from_millis(10);

struct Reader {
    db: Connection,
    snapshot: Option<Snapshot>,
}

/// What a reader sees: everything up to so many commits, and what other programs did until then.
struct Snapshot {
    commits: u64,
    taken: Instant,
}

impl Reader {
    /// Sees to it that the next read sees at least so many commits.
    fn renew(&mut self, commits: u64) -> Result<(), Fault> {
        let now = stopwatch();
        if self.snapshot.as_ref().is_some_and(|s| s.commits == commits && now - s.taken < FRESH) {
            return Ok(());
        }
        self.release()?;
        self.db.prepare_cached(sql::BEGIN_READ)?.execute([])?;
        self.snapshot = Some(Snapshot { commits, taken: now });
        Ok(())
    }

    fn release(&mut self) -> Result<(), Fault> {
        self.snapshot = None;
        if !self.db.is_autocommit() {
            self.db.prepare_cached(sql::COMMIT)?.execute([])?;
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "no moment that a rule could see: the age of a snapshot")]
fn stopwatch() -> Instant {
    Instant::now()
}

impl Pool {
    /// A pool of these connections, for as long as this is how the writer counts.
    pub(super) fn new(connections: Vec<Connection>, commits: Commits) -> Pool {
        let reader = |db| Mutex::new(Reader { db, snapshot: None });
        Pool { readers: connections.into_iter().map(reader).collect(), next: AtomicUsize::new(0), commits }
    }

    /// Reads on the first connection that is free, or waits for one. All that one read does, it does on one snapshot.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        let (before, after) = self.readers.split_at(first);
        let free = after.iter().chain(before).find_map(|reader| match reader.try_lock() {
            Ok(reader) => Some(reader),
            // A panic leaves nothing half-made in a connection that only reads.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let mut reader =
            free.unwrap_or_else(|| self.readers[first].lock().unwrap_or_else(PoisonError::into_inner));
        let read = reader.renew(self.commits.so_far()).and_then(|()| work(&reader.db));
        if read.is_err() {
            // Whatever went wrong, the next read begins anew; if that cannot be done it fails as well, and says so.
            let _ = reader.release();
        }
        read.map_err(StoreError::from)
    }

    /// Lets all snapshots go, so that the log can be moved and begun again.
    pub(super) fn release(&self) {
        for reader in &self.readers {
            // One that cannot be let go fails at its next read.
            let _ = reader.lock().unwrap_or_else(PoisonError::into_inner).release();
        }
    }
}

type Task = Box<dyn FnOnce(&Connection) + Send>;

/// The thread for reads that go through many rows: no async caller ever stands still for one.
pub(super) struct SlowReader {
    /// `None` only while it is dropped.
    tasks: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl SlowReader {
    /// Starts the thread with its connection.
    pub(super) fn start(connection: Connection) -> io::Result<SlowReader> {
        let (tasks, waiting): (SyncSender<Task>, Receiver<Task>) = sync_channel(LONG_READS);
        let thread = thread::Builder::new().name("store-reader".to_owned()).spawn(move || {
            for task in waiting {
                // A read that panics drops its answer, and so fails alone.
                let _ = catch_unwind(AssertUnwindSafe(|| task(&connection)));
            }
        })?;
        Ok(SlowReader { tasks: Some(tasks), thread: Some(thread) })
    }

    /// Reads when the reads before it are done.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |connection| {
            // Whoever asked may have left; then there is nobody to tell.
            let _ = answer.send(work(connection).map_err(StoreError::from));
        });
        match self.tasks.as_ref().map(|tasks| tasks.try_send(task)) {
            Some(Ok(())) => answered.await.unwrap_or_else(|_| Err(gone())),
            Some(Err(TrySendError::Full(_))) => Err(StoreError::Busy),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(gone()),
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("a read was broken off".to_owned())
}

impl Drop for SlowReader {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed its connection as well.
            let _ = thread.join();
        }
    }
}
