//! What a session looks like from outside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Deadlines, DropCause, Phase, Trouble};
use crate::Timestamp;

/// A session at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Why it came there, for the user.
    pub cause: String,
    /// The AWS session, while there is one.
    pub session_id: Option<String>,
    /// The agent's version, once it has said it.
    pub agent_version: Option<String>,
    /// Attempts since the last proven attach.
    pub attempts: u32,
    /// When the next attempt is due, while waiting for it.
    pub next_attempt: Option<Timestamp>,
    /// What stands in its way although it is attached, or keeps it from being so.
    pub trouble: Option<Trouble>,
    /// Between which times it ends by itself, while there is an AWS session.
    pub deadlines: Option<Deadlines>,
    /// Local connections.
    pub connections: usize,
    /// The figures.
    pub figures: Figures,
    /// The last drops, oldest first.
    pub history: Vec<DropRecord>,
}

/// Counters of a session since the daemon started, and its present levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Bytes taken from local connections.
    pub bytes_up: u64,
    /// Bytes handed to local connections.
    pub bytes_down: u64,
    /// Websockets lost.
    pub drops: u64,
    /// AWS sessions started.
    pub starts: u64,
    /// Messages sent again.
    pub resent: u64,
    /// Messages received again and acknowledged again.
    pub duplicates: u64,
    /// Frames ignored because they were damaged or made no sense.
    pub ignored: u64,
    /// Bytes sent and not acknowledged.
    pub backlog_bytes: u64,
    /// Bytes received out of order.
    pub reorder_bytes: u64,
    /// Smoothed round-trip time of messages, microseconds; 0 before the first.
    pub rtt_us: u64,
}

/// One drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRecord {
    /// When it was noticed.
    pub at: Timestamp,
    /// Why.
    pub cause: DropCause,
    /// From the last sign of life to noticing it.
    pub noticed_after: Duration,
    /// Attempts it took to recover, so far.
    pub attempts: u32,
    /// From noticing it to the proven re-attach; none while it lasts or when the session ended instead.
    pub recovered_after: Option<Duration>,
    /// Bytes in the backlog when it was noticed: what the re-attach sends again.
    pub backlog_bytes: u64,
}
