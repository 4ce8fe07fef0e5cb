//! How changes of the machine's network reach the sessions.

use autossm_proto::session::NetworkChange;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Changes that may wait for a session's task; more of them mean no more than the last.
const QUEUE: usize = 8;

/// Tells all sessions.
#[derive(Clone, Debug)]
pub struct NetworkBoard(broadcast::Sender<NetworkChange>);

/// What one session hears.
#[derive(Debug)]
pub(super) struct NetworkNews(broadcast::Receiver<NetworkChange>);

impl Default for NetworkBoard {
    fn default() -> Self {
        Self(broadcast::Sender::new(QUEUE))
    }
}

impl NetworkBoard {
    /// Tells whoever listens.
    pub fn tell(&self, change: NetworkChange) {
        if self.0.send(change).is_err() {
            tracing::trace!("no session listens");
        }
    }

    pub(super) fn listen(&self) -> NetworkNews {
        NetworkNews(self.0.subscribe())
    }
}

impl NetworkNews {
    /// Waits for the next change. Cancel safe.
    pub(super) async fn next(&mut self) -> NetworkChange {
        match self.0.recv().await {
            Ok(change) => change,
            // Several were missed: one of them may have been any.
            Err(RecvError::Lagged(_)) => NetworkChange::Route,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
