//! The phases of a session's life.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not wanted.
    Stopped,
    /// No AWS session until the next local connection.
    Dormant,
    /// StartSession and the first dial.
    Starting,
    /// Attached for the first time, not yet proven.
    Handshaking,
    /// Proven: the agent has answered.
    Attached,
    /// The websocket is gone; the session is not.
    Reattaching,
    /// Credentials are needed; goes on by itself.
    AwaitingLogin,
    /// The target is not connected; goes on by itself.
    AwaitingTarget,
    /// The session is over; a new one follows.
    Ended,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Stopped,
        Self::Dormant,
        Self::Starting,
        Self::Handshaking,
        Self::Attached,
        Self::Reattaching,
        Self::AwaitingLogin,
        Self::AwaitingTarget,
        Self::Ended,
    ];

    /// The word used in status, logs and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Dormant => "dormant",
            Self::Starting => "starting",
            Self::Handshaking => "handshaking",
            Self::Attached => "attached",
            Self::Reattaching => "reattaching",
            Self::AwaitingLogin => "awaiting_login",
            Self::AwaitingTarget => "awaiting_target",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
