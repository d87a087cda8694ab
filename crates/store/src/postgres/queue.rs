//! How a job comes to the tasks that do many at once, and its answer back.

use callveil_domain::store::StoreError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// How many jobs may wait. More would be answered later than anybody waits for; they are told so at once.
pub(super) const QUEUE: usize = 8_192;

/// The way back to who waits.
pub(super) type Answer<A> = oneshot::Sender<Result<A, StoreError>>;

/// Has a job wait in its queue, and waits for its answer; `gone` says that nobody takes jobs any more.
pub(super) async fn ask<J, A>(
    jobs: &mpsc::Sender<J>,
    gone: impl Fn() -> StoreError,
    job: impl FnOnce(Answer<A>) -> J,
) -> Result<A, StoreError> {
    let (answer, answered) = oneshot::channel();
    match jobs.try_send(job(answer)) {
        Ok(()) => answered.await.unwrap_or_else(|_| Err(gone())),
        Err(TrySendError::Full(_)) => Err(StoreError::Busy),
        Err(TrySendError::Closed(_)) => Err(gone()),
    }
}
