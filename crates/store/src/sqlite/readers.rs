//! Where reads run: keyed ones at once, on the calling thread; long ones on a thread of their own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use callveil_domain::store::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault::Fault;

/// How many long reads may wait. More would only be answered after their callers had left.
const LONG_READS: usize = 64;

/// Connections for reads by key. Each takes microseconds, less than handing it to another thread would.
pub(super) struct Pool {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
}

impl Pool {
    /// A pool of these connections.
    pub(super) fn new(connections: Vec<Connection>) -> Pool {
        Pool { connections: connections.into_iter().map(Mutex::new).collect(), next: AtomicUsize::new(0) }
    }

    /// Reads on the first connection that is free, or waits for one.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let (before, after) = self.connections.split_at(first);
        let free = after.iter().chain(before).find_map(|c| match c.try_lock() {
            Ok(connection) => Some(connection),
            // A panic leaves nothing half-made in a connection that only reads.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let connection =
            free.unwrap_or_else(|| self.connections[first].lock().unwrap_or_else(PoisonError::into_inner));
        work(&connection).map_err(StoreError::from)
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
