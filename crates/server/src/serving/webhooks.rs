//! Delivers events while the server runs.

use std::sync::Arc;

use callveil_domain::node::Node;
use callveil_domain::recording::Links;
use callveil_webhooks::client::{Client, Patience};
use callveil_webhooks::courier::{Courier, Terms};
use callveil_webhooks::guard::Guard;
use callveil_webhooks::resolve::Resolver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config;
use crate::error::CommandError;

/// The courier at work.
pub struct Webhooks {
    stop: oneshot::Sender<()>,
    work: JoinHandle<()>,
}

impl Webhooks {
    /// Starts to deliver what is owed.
    pub fn start(
        node: &Arc<Node>,
        config: &config::Webhooks,
        links: Option<Links>,
    ) -> Result<Webhooks, CommandError> {
        let waits = config.retries.values().iter().map(|wait| (*wait).into()).collect();
        let courier =
            Courier::new(Arc::clone(node), client(config)?, Terms { waits, links, ..Terms::default() });
        let (stop, stopped) = oneshot::channel();
        let work = tokio::spawn(courier.run(async move { drop(stopped.await) }));
        Ok(Webhooks { stop, work })
    }

    /// Begins no attempt any more, and waits for those under way: no longer than one takes.
    pub async fn stop(self) {
        drop(self.stop);
        if self.work.await.is_err() {
            tracing::error!("the courier of the webhooks ended by a defect");
        }
    }
}

/// The client that goes where the configuration lets it.
pub fn client(config: &config::Webhooks) -> Result<Client, CommandError> {
    let guard = Guard { allow: config.allow.values().to_vec(), allow_http: config.allow_http };
    let made =
        Resolver::of_the_system().and_then(|resolver| Client::new(guard, resolver, Patience::default()));
    made.map_err(|e| CommandError::new("preparing the webhooks", e))
}
