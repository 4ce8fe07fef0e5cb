//! All sessions by name, for the control socket and the daemon itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::config::SessionSettings;
use crate::control::{ControlHandle, UnknownSession};
use crate::status::{DaemonStatus, SessionStatus};
use crate::supervisor::{SessionHandle, status_without_task};

/// A session's task that does not answer within this is reported as such: one must not hide the others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The daemon's sessions, in the order of their names. It never changes, so copies need no lock.
#[derive(Clone, Debug)]
pub(super) struct Registry(Arc<[Entry]>);

/// One session.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) settings: SessionSettings,
    pub(super) handle: SessionHandle,
}

impl Registry {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self(entries.into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Terminates all sessions; returns when the last has ended.
    pub(super) async fn stop(&self) {
        let stops = self.0.iter().map(|entry| async {
            if let Err(gone) = entry.handle.stop().await {
                tracing::debug!(session = entry.settings.name, %gone, "nothing to stop");
            }
        });
        join_all(stops).await;
    }
}

impl Entry {
    async fn status(&self) -> SessionStatus {
        let cause = match timeout(ANSWER_TIMEOUT, self.handle.status()).await {
            Ok(Ok(status)) => return status,
            Ok(Err(gone)) => gone.to_string(),
            Err(_) => format!("the session's task does not answer within {ANSWER_TIMEOUT:?}"),
        };
        status_without_task(&self.settings, &cause)
    }
}

impl ControlHandle for Registry {
    async fn status(&self) -> DaemonStatus {
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            sessions: join_all(self.0.iter().map(Entry::status)).await,
        }
    }

    async fn reconnect(&self, name: &str) -> Result<(), UnknownSession> {
        let named = |entry: &&Entry| entry.settings.name == name;
        let Some(entry) = self.0.iter().find(named) else {
            return Err(UnknownSession { name: name.to_owned() });
        };
        match timeout(ANSWER_TIMEOUT, entry.handle.reconnect()).await {
            Ok(Ok(())) => tracing::info!(session = name, "reconnect requested"),
            Ok(Err(gone)) => tracing::warn!(session = name, %gone, "no reconnect"),
            // It is in the session's queue and will be done.
            Err(_) => tracing::warn!(session = name, "the session's task is slow to reconnect"),
        }
        Ok(())
    }
}
