//! The dialogues that stand, found by what their requests carry, and forgotten when their legs end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{HeadersExt, Request, Response};
use rsipstack::transaction::key::TransactionRole;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::mpsc;

/// Call-ID and our tag: known before the peer's tag is, and never changed.
type Key = (String, String);

/// All dialogues of all stacks. The library's own table misses an outbound dialogue for a moment after its answer.
#[derive(Clone, Default)]
pub(super) struct Dialogs(Arc<Mutex<HashMap<Key, Entry>>>);

/// A dialogue that stands.
struct Entry {
    dialog: InviteDialog,
    /// Takes the PRACKs for provisional responses of ours, where those are reliable.
    pracks: Option<mpsc::Sender<Box<Transaction>>>,
}

impl Dialogs {
    /// Keeps a dialogue until the guard is dropped.
    pub(super) fn keep(
        &self,
        layer: &Arc<DialogLayer>,
        dialog: InviteDialog,
        pracks: Option<mpsc::Sender<Box<Transaction>>>,
    ) -> Kept {
        let DialogId { call_id, local_tag, .. } = dialog.id();
        let key = (call_id, local_tag);
        self.table().insert(key.clone(), Entry { dialog: dialog.clone(), pracks });
        Kept { dialogs: self.clone(), layer: Arc::clone(layer), key, dialog }
    }

    /// The dialogue that a request from the peer belongs to.
    pub(super) fn find(&self, request: &Request) -> Option<InviteDialog> {
        self.look(request, |entry| entry.dialog.clone())
    }

    /// Who takes the PRACKs of the dialogue that a request from the peer belongs to.
    pub(super) fn pracks_of(&self, request: &Request) -> Option<mpsc::Sender<Box<Transaction>>> {
        self.look(request, |entry| entry.pracks.clone()).flatten()
    }

    fn look<T>(&self, request: &Request, take: impl FnOnce(&Entry) -> T) -> Option<T> {
        let DialogId { call_id, local_tag, remote_tag } =
            DialogId::try_from((request, TransactionRole::Server)).ok()?;
        let table = self.table();
        let entry = table.get(&(call_id, local_tag))?;
        let known = entry.dialog.id().remote_tag;
        (known.is_empty() || known == remote_tag).then(|| take(entry))
    }

    /// The dialogue that a response from the peer belongs to, by its Call-ID and our tag in From.
    pub(super) fn of_response(&self, response: &Response) -> Option<InviteDialog> {
        let call_id = response.call_id_header().ok()?.value().to_owned();
        let local_tag = response.from_header().ok()?.tag().ok()??.value().to_owned();
        self.table().get(&(call_id, local_tag)).map(|entry| entry.dialog.clone())
    }

    /// How many stand.
    pub(super) fn len(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dialogue that is kept. Dropping this forgets it, here and in the library, which would keep it for ever.
pub(super) struct Kept {
    dialogs: Dialogs,
    layer: Arc<DialogLayer>,
    key: Key,
    pub(super) dialog: InviteDialog,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.dialogs.table().remove(&self.key);
        self.layer.remove_dialog(&self.dialog.id());
    }
}
