//! Tells whoever delivers that something is owed, so that it need not look all the time.

use callveil_domain::store::{Change, Outcome};
use tokio::sync::Notify;

/// Whether something has been owed since somebody waited for it last.
#[derive(Default)]
pub(crate) struct Owed {
    told: Notify,
}

impl Owed {
    /// Looks whether a change owes something, before the change goes its way.
    pub(crate) fn by(&self, change: &Change) -> Owing<'_> {
        Owing { owed: (!change.deliveries.is_empty()).then_some(self) }
    }

    /// Comes back when something is owed.
    pub(crate) async fn wait(&self) {
        self.told.notified().await;
    }
}

/// A change under way that may owe something.
pub(crate) struct Owing<'o> {
    owed: Option<&'o Owed>,
}

impl Owing<'_> {
    /// Tells of it, if the change was applied.
    pub(crate) fn tell(self, outcome: &Outcome) {
        if let Some(owed) = self.owed.filter(|_| *outcome == Outcome::Applied) {
            // Kept for the next who waits, if nobody does now.
            owed.told.notify_one();
        }
    }
}
