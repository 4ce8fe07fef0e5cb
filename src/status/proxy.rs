//! How the connection of an `autossm proxy` ended.

use serde::{Deserialize, Serialize};

/// The end of one connection that `autossm proxy` brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyEnd {
    /// In one word.
    pub end: ProxyEndKind,
    /// For people; empty when there is nothing to say.
    pub cause: String,
}

impl ProxyEnd {
    /// Whether there is nothing to say of it.
    pub const fn is_clean(&self) -> bool {
        matches!(self.end, ProxyEndKind::Closed) && self.cause.is_empty()
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyEndKind {
    /// One of the two sides has closed, and the other one got everything.
    Closed,
    /// The session ended before it could be used: nobody answers on that port of the target.
    Refused,
    /// The session could not be started: credentials are missing or have expired.
    LoginNeeded,
    /// The session could not be started: the identity may not do that.
    Denied,
    /// The session could not be started: the target is not connected to Session Manager.
    TargetOffline,
    /// The session could not be started: AWS refuses what it was asked.
    Rejected,
    /// The session could not be started in time: no network, or no answer.
    Unreachable,
    /// AWS has ended the session.
    Lost,
    /// Somebody has stopped the session or the daemon.
    Stopped,
}
