//! The signals that end a server.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CommandError;

/// SIGTERM and SIGINT, as they come.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn listen() -> Result<Signals, CommandError> {
        let listen = |kind| signal(kind).map_err(|e| CommandError::new("listening for signals", e));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
