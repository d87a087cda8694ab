//! What a running node holds: the store, the clock, the randomness, and its picture of the directory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::audit::Origin;
use crate::live::{LEASE, NodeId};
use crate::number::PhoneNumber;
use crate::store::{Store, StoreError};
use crate::tenant::Directory;
use crate::time::{Clock, Timestamp};
use crate::virtual_number::Load;
use crate::{Chance, Ctx, Effect};

/// Makes a fresh generator for one use case.
pub type Randomness = Arc<dyn Fn() -> Box<Chance> + Send + Sync>;

/// A running node.
pub struct Node {
    id: NodeId,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    randomness: Randomness,
    directory: RwLock<Arc<Directory>>,
    /// How many nodes there are, as of the last count.
    nodes: AtomicUsize,
}

impl Node {
    /// A node on this store, with a picture of the directory as it is now.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        randomness: Randomness,
    ) -> Result<Node, StoreError> {
        let loads: HashMap<PhoneNumber, u32> = store.loads().await?.into_iter().collect();
        let mut directory = store.directory().await?;
        directory.adopt_loads(&|number| Load::of(loads.get(&number).copied().unwrap_or(0)));
        let id = NodeId::new(clock.now(), &mut *randomness());
        Ok(Node {
            id,
            store,
            clock,
            randomness,
            directory: RwLock::new(Arc::new(directory)),
            nodes: AtomicUsize::new(1),
        })
    }

    /// Its name, a new one at each start.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// How many nodes live, this one among them. At most as old as the last [`Node::count_nodes`].
    pub fn nodes(&self) -> usize {
        self.nodes.load(Ordering::Relaxed)
    }

    /// Counts the nodes that live. To be done at every [`BEAT`](crate::live::BEAT).
    pub async fn count_nodes(&self) -> Result<(), StoreError> {
        let nodes = self.store.nodes(LEASE).await?;
        self.nodes.store(nodes.max(1), Ordering::Relaxed);
        Ok(())
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh generator.
    pub fn rng(&self) -> Box<Chance> {
        (self.randomness)()
    }

    /// The context of one use case, at the present moment, by the program itself.
    pub fn ctx<'a>(&'a self, rng: &'a mut Chance, effect: Effect) -> Ctx<'a> {
        Ctx { store: &*self.store, now: self.now(), rng, effect, by: Origin::PROGRAM }
    }

    /// The picture of the directory. At most as old as the last [`Node::refresh`].
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renews the picture if the directory has moved. Answers whether it had.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        if self.store.revision().await? == self.directory().revision {
            return Ok(false);
        }
        let mut fresh = self.store.directory().await?;
        let old = self.directory();
        fresh.adopt_loads(&|number| {
            let known = old.owner(number).and_then(|tenant| tenant.pool.get(number));
            known.map(|pooled| pooled.load.clone()).unwrap_or_default()
        });
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        // Two may renew at once; the later picture stays.
        if directory.revision < fresh.revision {
            *directory = Arc::new(fresh);
        }
        Ok(true)
    }
}
