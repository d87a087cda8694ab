//! The ways by which a node writes: each takes all changes that wait, writes them in one transaction, then answers.
//!
//! A batch costs two round trips and one durable commit, however many changes are in it. When one of its changes does
//! not fit, the batch is undone and the others are written again without it: nothing is kept in halves, and no
//! savepoint is needed. What became of a batch whose answer was lost is read from the row that every batch of a writer
//! numbers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::store::{Change, Outcome, StoreError};
use deadpool_postgres::Pool;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout};

use super::batch::{self, Note, Touches};
use super::directory::{self, Stop};
use super::facts;
use super::fault::Fault;
use super::queue::{Answer, QUEUE, ask};
use super::rows::Cells;
use super::session::{Preparing, Session};
use super::statements as sql;

/// How many changes are committed together at most. Raising it makes the first of a batch wait for longer;
/// lowering it makes each pay more for round trips and for the disk.
const BATCH: usize = 256;

/// How many batches are under way at a time: while one waits for its commit, another is written.
const LANES: u8 = 2;

/// How long a change is tried while the database cannot be reached or is taken over by another host. Afterwards its
/// client is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a batch may be without an answer. The engine bounds statements itself, unless it hangs: its machine then
/// acknowledges all that it is sent, and only this finds out. A commit may have to wait for another standby.
const ANSWERED: Duration = Duration::from_secs(20);

/// The same for what is written alone, which may go through all claims.
const ANSWERED_LONG: Duration = Duration::from_secs(120);

/// The same for what only ends a batch, or asks after it.
const ENDED: Duration = Duration::from_secs(5);

/// How long is waited before a host is tried again.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// How often a batch is tried that others are in the way of.
const TRIES: u32 = 20;

/// By what writers are told apart: 16 bytes that no other process has, and the number of the lane.
pub(super) type WriterId = [u8; 17];

/// The way to the writers.
pub(super) struct Writers {
    jobs: mpsc::Sender<Job>,
    /// Changes that are written alone, and rehearsals.
    alone: Arc<Mutex<Lane>>,
}

/// A change and who waits for its outcome.
struct Job {
    change: Box<Change>,
    answer: Answer<Outcome>,
}

impl Writers {
    /// Starts the lanes; they end when all that waited has been answered after this is dropped.
    pub(super) fn start(pool: &Pool, preparing: Preparing, process: [u8; 16]) -> Writers {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let lane = |number: u8| {
            let mut writer = [number; 17];
            writer[..16].copy_from_slice(&process);
            Lane { pool: pool.clone(), preparing, writer, batch: 0 }
        };
        for number in 1..=LANES {
            tokio::spawn(lane(number).work(Arc::clone(&waiting)));
        }
        Writers { jobs, alone: Arc::new(Mutex::new(lane(0))) }
    }

    /// Applies a change.
    pub(super) async fn apply(&self, change: Change) -> Result<Outcome, StoreError> {
        if !batch::is_ordinary(&change) {
            return self.alone(change, Keep::Kept).await;
        }
        ask(&self.jobs, gone, |answer| Job { change: Box::new(change), answer }).await
    }

    /// Applies a change and undoes it.
    pub(super) async fn rehearse(&self, change: Change) -> Result<Outcome, StoreError> {
        self.alone(change, Keep::Undone).await
    }

    /// A task of its own, so that a transaction is not left open by a caller who leaves.
    async fn alone(&self, change: Change, keep: Keep) -> Result<Outcome, StoreError> {
        let lane = Arc::clone(&self.alone);
        let done = tokio::spawn(async move { lane.lock().await.settle_one(&change, keep).await });
        done.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("a writer has ended".to_owned())
}

/// Whether what fits is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Kept,
    Undone,
}

/// One way of writing: one batch at a time.
struct Lane {
    pool: Pool,
    preparing: Preparing,
    writer: WriterId,
    /// The number of the last batch that was tried.
    batch: i64,
}

/// What one try of a batch came to.
enum Tried {
    /// All of it is kept, or would be.
    Fits,
    /// Nothing of it is kept: these outcomes are why, for each change.
    Refused(Vec<Option<Outcome>>),
}

/// Why one try came to nothing.
enum Failed {
    /// Nothing is kept.
    Before(Fault),
    /// It may be kept or not.
    Committing(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed::Before(fault)
    }
}

impl Lane {
    /// Writes until nobody can ask any more.
    async fn work(mut self, waiting: Arc<Mutex<mpsc::Receiver<Job>>>) {
        let mut put_off = VecDeque::new();
        while let Some(batch) = gather(&waiting, &mut put_off).await {
            self.settle(batch).await;
        }
    }

    /// Finds out what becomes of every change of a batch, and tells.
    async fn settle(&mut self, mut jobs: Vec<Job>) {
        while !jobs.is_empty() {
            let changes: Vec<&Change> = jobs.iter().map(|job| &*job.change).collect();
            match self.insist(&changes, Keep::Kept).await {
                Ok(Tried::Fits) => return jobs.into_iter().for_each(|job| job.tell(Ok(Outcome::Applied))),
                Ok(Tried::Refused(outcomes)) => {
                    // What was refused by the earliest moment of the batch may be free at the change's own.
                    let earliest = changes.iter().map(|change| change.now).min();
                    let (mut rest, mut later) = (Vec::new(), Vec::new());
                    for (job, outcome) in jobs.into_iter().zip(outcomes) {
                        match outcome {
                            None => rest.push(job),
                            Some(refused) if Some(job.change.now) == earliest => job.tell(Ok(refused)),
                            Some(_) => later.push(job),
                        }
                    }
                    for job in later {
                        let outcome = self.settle_one(&job.change, Keep::Kept).await;
                        job.tell(outcome);
                    }
                    jobs = rest;
                }
                // One of them cannot be written: which one is found by writing each alone.
                Err(Fault::Defect(_)) if jobs.len() > 1 => {
                    for job in jobs {
                        let outcome = self.settle_one(&job.change, Keep::Kept).await;
                        job.tell(outcome);
                    }
                    return;
                }
                Err(fault) => {
                    let error = StoreError::from(fault);
                    return jobs.into_iter().for_each(|job| job.tell(Err(error.clone())));
                }
            }
        }
    }

    async fn settle_one(&mut self, change: &Change, keep: Keep) -> Result<Outcome, StoreError> {
        match self.insist(&[change], keep).await? {
            Tried::Fits => Ok(Outcome::Applied),
            Tried::Refused(outcomes) => Ok(outcomes.into_iter().flatten().next().unwrap_or(Outcome::Applied)),
        }
    }

    /// Tries a batch until it is known what becomes of it, or patience is at its end.
    async fn insist(&mut self, changes: &[&Change], keep: Keep) -> Result<Tried, Fault> {
        let give_up = Instant::now() + PATIENCE;
        let mut tries = 0;
        loop {
            tries += 1;
            let tried = self.attempt(changes, keep).await;
            if let Err(Failed::Before(Fault::Lost(_)) | Failed::Committing(Fault::Lost(_))) = &tried {
                // The idle ones lead to the same host: each would be found out at the same price.
                self.pool.retain(|_, _| false);
            }
            let fault = match tried {
                Ok(tried) => return Ok(tried),
                Err(Failed::Before(fault)) => fault,
                Err(Failed::Committing(fault)) => match self.was_committed(give_up, fault).await? {
                    true => return Ok(Tried::Fits),
                    false => Fault::Collided,
                },
            };
            match fault {
                Fault::Collided if tries < TRIES && Instant::now() < give_up => {
                    tracing::debug!(tries, "a batch met another, and is tried again");
                }
                Fault::Lost(_) if Instant::now() < give_up => pause().await,
                Fault::Collided | Fault::Lost(_) | Fault::Slow | Fault::Refused(_) | Fault::Defect(_) => {
                    return Err(fault);
                }
            }
        }
    }

    /// Finds out what became of the last batch. Its row is locked until its transaction is over.
    async fn was_committed(&self, give_up: Instant, lost: Fault) -> Result<bool, Fault> {
        loop {
            match self.last_batch().await {
                Ok(last) => return Ok(last == Some(self.batch)),
                Err(_) if Instant::now() < give_up => pause().await,
                Err(_) => {
                    tracing::error!("it is not known whether a batch was kept: its clients must ask");
                    return Err(lost);
                }
            }
        }
    }

    async fn last_batch(&self) -> Result<Option<i64>, Fault> {
        let session = Session::open(&self.pool, self.preparing).await?;
        let found = within(ENDED, session.query(&sql::LAST_BATCH, &[&self.writer.as_slice()])).await;
        match found {
            Ok(rows) => rows.first().map(|row| Cells::from(row, 0).take()).transpose(),
            Err(fault) => {
                session.discard();
                Err(fault)
            }
        }
    }

    async fn attempt(&mut self, changes: &[&Change], keep: Keep) -> Result<Tried, Failed> {
        self.batch += 1;
        let session = Session::open(&self.pool, self.preparing).await?;
        let limit = match batch::are_ordinary(changes) {
            true => ANSWERED,
            false => ANSWERED_LONG,
        };
        let outcomes = match within(limit, self.write(&session, changes)).await {
            Ok(outcomes) => outcomes,
            Err(fault) => {
                undo(session).await;
                return Err(fault.into());
            }
        };
        if outcomes.iter().any(Option::is_some) {
            undo(session).await;
            return Ok(Tried::Refused(outcomes));
        }
        match keep {
            Keep::Undone => undo(session).await,
            Keep::Kept => {
                if let Err(fault) = within(ANSWERED, session.run(sql::COMMIT)).await {
                    session.discard();
                    return Err(Failed::Committing(fault));
                }
            }
        }
        Ok(Tried::Fits)
    }

    /// Writes a batch in a transaction, and tells why each change that does not fit does not.
    async fn write(&self, session: &Session, changes: &[&Change]) -> Result<Vec<Option<Outcome>>, Fault> {
        let note = Note { writer: &self.writer, batch: self.batch };
        let conflicts = batch::write(session, changes, &note).await?;
        let mut outcomes: Vec<_> = conflicts.into_iter().map(|c| c.map(Outcome::Refused)).collect();
        // A change that cannot be written beside others is alone in its batch.
        if let ([change], [None]) = (changes, outcomes.as_slice())
            && !batch::is_ordinary(change)
        {
            match write_alone(session, change).await {
                Ok(()) => {}
                Err(Stop::Refused(conflict)) => outcomes = vec![Some(Outcome::Refused(conflict))],
                Err(Stop::Fault(fault)) => return Err(fault),
            }
        }
        Ok(outcomes)
    }
}

/// Writes what a change has that is not written beside others.
async fn write_alone(session: &Session, change: &Change) -> Result<(), Stop> {
    if !change.directory.is_empty() {
        directory::apply(session, &change.directory, change.now).await?;
    }
    if let Some(seal) = &change.seal {
        facts::seal(session, seal).await?;
    }
    facts::redact(session, &change.redact).await?;
    if let Some(number) = change.forget {
        facts::forget(session, number).await?;
    }
    Ok(())
}

/// Undoes what is open, or closes the connection if that cannot be done: the engine undoes it then.
async fn undo(session: Session) {
    if within(ENDED, session.run(sql::ROLLBACK)).await.is_err() {
        session.discard();
    }
}

/// What a host answers in this time. One that does not is of no more use than one that is gone.
async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err(Fault::Lost("the server does not answer".to_owned())))
}

async fn pause() {
    #[expect(clippy::disallowed_methods, reason = "this is the driver that waits for another host")]
    tokio::time::sleep(BETWEEN_TRIES).await;
}

impl Job {
    fn tell(self, outcome: Result<Outcome, StoreError>) {
        // Whoever asked may have left; the work is done all the same.
        let _ = self.answer.send(outcome);
    }
}

/// Waits for a change and takes with it all that wait and have nothing to do with each other. Those that have are put
/// off, and go first the next time.
async fn gather(waiting: &Mutex<mpsc::Receiver<Job>>, put_off: &mut VecDeque<Job>) -> Option<Vec<Job>> {
    let mut batch = Gathered::default();
    for job in std::mem::take(put_off) {
        batch.admit(job, put_off);
    }
    let mut waiting = match batch.jobs.is_empty() {
        true => {
            let mut waiting = waiting.lock().await;
            let job = waiting.recv().await?;
            batch.admit(job, put_off);
            waiting
        }
        // Another lane may hold the queue while it waits for a first change: this one has work already.
        false => match waiting.try_lock() {
            Ok(waiting) => waiting,
            Err(_) => return Some(batch.jobs),
        },
    };
    while batch.jobs.len() + put_off.len() < BATCH {
        match waiting.try_recv() {
            Ok(job) => batch.admit(job, put_off),
            Err(_) => break,
        }
    }
    Some(batch.jobs)
}

/// A batch that grows.
#[derive(Default)]
struct Gathered {
    touches: Touches,
    jobs: Vec<Job>,
}

impl Gathered {
    fn admit(&mut self, job: Job, put_off: &mut VecDeque<Job>) {
        match self.touches.admit(&job.change) {
            true => self.jobs.push(job),
            false => put_off.push_back(job),
        }
    }
}
