//! The one thread that writes: it takes all that wait, applies each alone, commits them together, then answers.
//!
//! A durable commit costs a wait for the disk. Shared by all that wait, it costs each a little of it, the more
//! callers the less. What one change does wrong it does to itself, and what the disk does wrong happens to the whole
//! batch: nothing of it is kept, all are told, and the next batch tries anew.
//!
//! A savepoint for each change has the engine copy every page that the change touches, for undoing it alone. Hardly any
//! is undone, so a batch is written without them first; when a change is refused after it wrote something, the batch is
//! undone and written again with them.
//!
//! Changes that nobody waits for, the steps of calls, lie on a shelf until somebody's change comes or [`LINGER`] has passed:
//! a call's four steps would cost four commits otherwise.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use callveil_domain::delivery::{Lease, Settled};
use callveil_domain::live::NodeId;
use callveil_domain::store::{Change, Haste, Outcome, StoreError, Tidied, Tidy};
use callveil_domain::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::apply::apply;
use super::checkpoint::Checkpointer;
use super::directory::Held;
use super::facts::{self, Leased};
use super::fault::Fault;
use super::readers::Commits;
use super::statements as sql;
use super::tidy::{self, Position};

/// How many changes may wait. More would be answered later than anybody waits for; they are told so at once.
const QUEUE: usize = 8_192;

/// How many changes are committed together at most. Raising it makes the first of a batch wait for longer;
/// lowering it makes each pay more for the disk.
const BATCH: usize = 512;

/// How long a change that nobody waits for may lie.
const LINGER: Duration = Duration::from_millis(10);

/// How many batches are written with savepoints after one that had to be undone. Raising it makes changes dearer for longer
/// after a refusal; lowering it has more batches written twice where refusals are many.
const CAREFUL: u32 = 64;

/// Changes that nobody waits for.
type Shelf = Arc<Mutex<Vec<Job>>>;

/// The way to the writing thread.
pub(super) struct Writer {
    /// `None` only while it is dropped.
    jobs: Option<SyncSender<Job>>,
    shelf: Shelf,
    thread: Option<JoinHandle<()>>,
}

/// What may be asked of the writer.
enum Job {
    /// To look at the shelf.
    Look,
    Apply(Asked<Box<Wanted>, Outcome>),
    Rehearse(Asked<Box<Wanted>, Outcome>),
    Tidy(Asked<Box<Tidy>, Tidied>),
    Beat(Asked<Beat, ()>),
    Lease(Asked<Lease, Vec<Leased>>),
    Settle(Asked<(Timestamp, Vec<Settled>), ()>),
}

/// A node that tells that it lives.
pub(super) struct Beat {
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
    pub(super) lease: Duration,
}

/// A change, and where anything is held if it ends numbers.
pub(super) struct Wanted {
    pub(super) change: Change,
    pub(super) held: Option<Held>,
}

/// A question, what was found, and who waits for it.
struct Asked<Q, A> {
    question: Q,
    found: Option<Result<A, StoreError>>,
    answer: oneshot::Sender<Result<A, StoreError>>,
}

impl Writer {
    /// Starts the thread with its connection.
    pub(super) fn start(db: Connection, checkpointer: Checkpointer, commits: Commits) -> io::Result<Writer> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let shelf = Shelf::default();
        let position = Position::default();
        let desk = Desk {
            db,
            checkpointer,
            commits,
            shelf: Arc::clone(&shelf),
            position,
            careful: 0,
            failing: false,
        };
        let thread =
            thread::Builder::new().name("store-writer".to_owned()).spawn(move || desk.work(&waiting))?;
        Ok(Writer { jobs: Some(jobs), shelf, thread: Some(thread) })
    }

    /// Applies a change.
    pub(super) async fn apply(&self, wanted: Wanted) -> Result<Outcome, StoreError> {
        match wanted.change.haste {
            Haste::Prompt => self.ask(Box::new(wanted), Job::Apply).await,
            Haste::CanWait => {
                let (answer, answered) = oneshot::channel();
                self.lay(Job::Apply(Asked { question: Box::new(wanted), found: None, answer }))?;
                answered.await.unwrap_or_else(|_| Err(gone()))
            }
        }
    }

    /// Lays a job on the shelf, and calls for somebody to look when it is the first there.
    fn lay(&self, job: Job) -> Result<(), StoreError> {
        let mut shelf = lock(&self.shelf);
        if shelf.len() >= QUEUE {
            return Err(StoreError::Busy);
        }
        shelf.push(job);
        if shelf.len() > 1 {
            return Ok(());
        }
        drop(shelf);
        match self.jobs.as_ref().map(|jobs| jobs.try_send(Job::Look)) {
            // A thread that has so much to do looks at the shelf each time.
            Some(Ok(()) | Err(TrySendError::Full(_))) => Ok(()),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(gone()),
        }
    }

    /// Applies a change and undoes it.
    pub(super) async fn rehearse(&self, wanted: Wanted) -> Result<Outcome, StoreError> {
        self.ask(Box::new(wanted), Job::Rehearse).await
    }

    /// Takes a step of tidying.
    pub(super) async fn tidy(&self, what: Tidy) -> Result<Tidied, StoreError> {
        self.ask(Box::new(what), Job::Tidy).await
    }

    /// Keeps that a node lives.
    pub(super) async fn beat(&self, beat: Beat) -> Result<(), StoreError> {
        self.ask(beat, Job::Beat).await
    }

    /// Leases deliveries.
    pub(super) async fn lease(&self, lease: Lease) -> Result<Vec<Leased>, StoreError> {
        self.ask(lease, Job::Lease).await
    }

    /// Settles deliveries.
    pub(super) async fn settle(&self, now: Timestamp, settled: Vec<Settled>) -> Result<(), StoreError> {
        self.ask((now, settled), Job::Settle).await
    }

    async fn ask<Q, A>(&self, question: Q, job: impl FnOnce(Asked<Q, A>) -> Job) -> Result<A, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = job(Asked { question, found: None, answer });
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => answered.await.unwrap_or_else(|_| Err(gone())),
            Some(Err(TrySendError::Full(_))) => Err(StoreError::Busy),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(gone()),
        }
    }
}

fn lock(shelf: &Shelf) -> MutexGuard<'_, Vec<Job>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writing thread has ended".to_owned())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed its connection as well.
            let _ = thread.join();
        }
    }
}

/// Where the writing thread does its work.
struct Desk {
    db: Connection,
    checkpointer: Checkpointer,
    commits: Commits,
    shelf: Shelf,
    position: Position,
    /// How many batches are still to be written with savepoints.
    careful: u32,
    /// Whether the batch before could not be kept, so that only the first failure and the recovery are told.
    failing: bool,
}

impl Desk {
    /// Writes until nobody can ask any more.
    fn work(mut self, waiting: &Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
            let mut batch = self.gather(first, waiting);
            if batch.is_empty() {
                continue;
            }
            let kept = self.write(&mut batch);
            self.commits.count();
            self.note(&kept, batch.len());
            for job in batch {
                job.answer(&kept);
            }
            match kept {
                Ok(()) => self.checkpointer.after_commit(&self.db),
                Err(_) => self.checkpointer.after_failure(&self.db),
            }
        }
    }

    /// All that wait, after the first. Only the shelf is waited for, and only while nobody waits for us.
    fn gather(&self, first: Job, waiting: &Receiver<Job>) -> Vec<Job> {
        let mut batch = Vec::new();
        if matches!(first, Job::Look) {
            batch.extend(waiting.recv_timeout(LINGER).ok());
        }
        batch.push(first);
        batch.extend(waiting.try_iter().take(BATCH - batch.len()));
        batch.retain(|job| !matches!(job, Job::Look));
        batch.append(&mut lock(&self.shelf));
        batch
    }

    /// Does all jobs of a batch in one transaction.
    fn write(&mut self, batch: &mut [Job]) -> Result<(), StoreError> {
        let mut care = if self.careful == 0 { Care::Hopeful } else { Care::Savepoints };
        self.careful = self.careful.saturating_sub(1);
        loop {
            self.undo_what_is_open()?;
            run(&self.db, sql::BEGIN)?;
            let done = self.do_all(batch, care);
            let kept = done.and_then(|()| run(&self.db, sql::COMMIT).map_err(Broken::Disk));
            match kept {
                Ok(()) => return Ok(()),
                Err(Broken::Hope) => (care, self.careful) = (Care::Savepoints, CAREFUL),
                Err(Broken::Disk(error)) => {
                    self.undo_what_is_open()?;
                    return Err(error);
                }
            }
        }
    }

    /// Some failures end the transaction, others leave that to us; and on a failing disk this may fail as well.
    fn undo_what_is_open(&self) -> Result<(), StoreError> {
        match self.db.is_autocommit() {
            true => Ok(()),
            false => run(&self.db, sql::ROLLBACK),
        }
    }

    fn do_all(&mut self, batch: &mut [Job], care: Care) -> Result<(), Broken> {
        let mut position = self.position.clone();
        let mut latest: Option<Timestamp> = None;
        for job in batch {
            let now = job.work(&self.db, care, &mut position)?;
            latest = latest.max(now);
        }
        if let Some(latest) = latest {
            keep_moment(&self.db, latest)?;
        }
        self.position = position;
        Ok(())
    }

    fn note(&mut self, kept: &Result<(), StoreError>, jobs: usize) {
        match kept {
            Ok(()) if self.failing => tracing::info!("the store can be written to again"),
            Err(error) if !self.failing => {
                tracing::error!(error = %error, jobs, "nothing of {jobs} changes could be kept: {error}");
            }
            Ok(()) | Err(_) => {}
        }
        self.failing = kept.is_err();
    }
}

/// How what one change did is undone.
#[derive(Clone, Copy)]
enum Care {
    /// With all of the batch, which is written again.
    Hopeful,
    /// Alone.
    Savepoints,
}

/// Why nothing of a batch could be kept.
enum Broken {
    /// A change was to be undone and had no savepoint.
    Hope,
    /// What the disk did.
    Disk(StoreError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Broken {
        Broken::Disk(error)
    }
}

impl Job {
    /// Does the work and keeps what was found. Answers with the moment of a change that is to be kept, and fails
    /// when nothing of the batch can be.
    fn work(
        &mut self,
        db: &Connection,
        care: Care,
        position: &mut Position,
    ) -> Result<Option<Timestamp>, Broken> {
        match self {
            Job::Look => Ok(None),
            Job::Apply(asked) => {
                let Wanted { change, held } = &*asked.question;
                let is_applied = |outcome: &Outcome| *outcome == Outcome::Applied;
                let found = alone(db, care, is_applied, || apply(db, change, held.as_ref()))?;
                let now = matches!(found, Ok(Outcome::Applied)).then_some(change.now);
                asked.found = Some(found);
                Ok(now)
            }
            Job::Rehearse(asked) => {
                let Wanted { change, held } = &*asked.question;
                asked.found =
                    Some(alone(db, Care::Savepoints, |_| false, || apply(db, change, held.as_ref()))?);
                Ok(None)
            }
            Job::Tidy(asked) => {
                asked.found = Some(alone(db, care, |_| true, || tidy::tidy(db, &asked.question, position))?);
                Ok(None)
            }
            Job::Beat(asked) => {
                let Beat { node, now, lease } = asked.question;
                asked.found = Some(alone(db, care, |()| true, || facts::beat(db, node, now, lease))?);
                Ok(None)
            }
            Job::Lease(asked) => {
                asked.found = Some(alone(db, care, |_| true, || facts::lease(db, &asked.question))?);
                Ok(None)
            }
            Job::Settle(asked) => {
                let (now, settled) = &asked.question;
                asked.found = Some(alone(db, care, |()| true, || facts::settle(db, *now, settled))?);
                Ok(None)
            }
        }
    }

    /// Tells what was found, if it was kept.
    fn answer(self, kept: &Result<(), StoreError>) {
        match self {
            Job::Look => {}
            Job::Apply(asked) | Job::Rehearse(asked) => asked.answer(kept),
            Job::Tidy(asked) => asked.answer(kept),
            Job::Beat(asked) => asked.answer(kept),
            Job::Settle(asked) => asked.answer(kept),
            Job::Lease(asked) => asked.answer(kept),
        }
    }
}

impl<Q, A> Asked<Q, A> {
    fn answer(self, kept: &Result<(), StoreError>) {
        let found = kept.clone().and_then(|()| self.found.unwrap_or_else(|| Err(gone())));
        // Whoever asked may have left; the work is done all the same.
        let _ = self.answer.send(found);
    }
}

/// Does work of which nothing is kept unless `keep` says so of its result. The outer failure is the whole batch's; the
/// inner one is the work's own.
fn alone<T>(
    db: &Connection,
    care: Care,
    keep: impl FnOnce(&T) -> bool,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<Result<T, StoreError>, Broken> {
    let before = db.total_changes();
    if let Care::Savepoints = care {
        run(db, sql::OPEN_SAVEPOINT)?;
    }
    let found = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::Bug)).map_err(StoreError::from);
    let is_kept = match &found {
        Ok(value) => keep(value),
        Err(StoreError::Corrupt(_)) => false,
        Err(StoreError::Busy | StoreError::Unavailable(_)) => return found.map(Ok).map_err(Broken::Disk),
    };
    match care {
        Care::Hopeful if is_kept || db.total_changes() == before => {}
        Care::Hopeful => return Err(Broken::Hope),
        Care::Savepoints => {
            if !is_kept {
                run(db, sql::UNDO_SAVEPOINT)?;
            }
            run(db, sql::CLOSE_SAVEPOINT)?;
        }
    }
    Ok(found)
}

fn keep_moment(db: &Connection, latest: Timestamp) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql::KEEP_MOMENT).map_err(Fault::from)?;
    statement.execute([latest.as_micros()]).map_err(Fault::from)?;
    Ok(())
}

fn run(db: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(Fault::from)?;
    statement.execute([]).map_err(Fault::from)?;
    Ok(())
}
