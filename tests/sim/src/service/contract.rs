//! What a session's task has in common with the rest.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::socket::PeerSocket;
use crate::agent::AgentState;
use crate::counters::{Counters, CountersSnapshot};
use crate::fault::{LinkFault, Side};

/// What a session's task can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client, or an agent outside, with a good token.
    Attach(Side, Box<PeerSocket>),
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
    pub(crate) document: String,
    pub(crate) counters: Arc<Counters>,
    pub(crate) connected: AtomicBool,
    pub(crate) ended: AtomicBool,
    /// An agent outside cannot connect until then.
    pub(crate) agent_refused_until: Mutex<Option<Instant>>,
}

impl Shared {
    pub(crate) fn refuse_agent_until(&self, until: Instant) {
        *self.agent_refused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    pub(crate) fn is_agent_refused(&self, now: Instant) -> bool {
        let until = *self.agent_refused_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }
}
