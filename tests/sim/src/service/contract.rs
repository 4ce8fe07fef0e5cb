//! What a session's task has in common with the rest.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::socket::ClientSocket;
use crate::agent::AgentState;
use crate::counters::{Counters, CountersSnapshot};
use crate::fault::{LinkFault, Side};

/// What a session's task can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client with a good token.
    Attach(Box<ClientSocket>),
    /// ResumeSession was called.
    Touch,
    /// A fault; the answer says that it has been done.
    Fault(Side, LinkFault, oneshot::Sender<()>),
    /// The session ends; with a text the client is told.
    End(Option<String>, oneshot::Sender<()>),
    /// What does the agent know?
    Inspect(oneshot::Sender<AgentState>),
}

/// A session as `/_sim/state` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// Its id.
    pub session_id: String,
    /// Its target.
    pub target: String,
    /// A client is connected.
    pub connected: bool,
    /// It is over.
    pub ended: bool,
    /// The service's and the agent's counters.
    pub counters: CountersSnapshot,
    /// The agent's own state; its default once the session is over.
    pub agent: AgentState,
}

/// What others may see of a session without asking its task.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) session_id: String,
    pub(crate) target: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) connected: AtomicBool,
    pub(crate) ended: AtomicBool,
}
