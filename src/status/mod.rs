//! What sessions look like from outside: plain values, the JSON of `autossm status --json` and of the control API.

mod event;
mod proxy;
mod sandbox;
mod snapshot;

use autossm_proto::session::{DropCause, Figures, Phase, Trouble};
use serde::{Deserialize, Serialize};

pub use event::{Event, EventLine};
pub use proxy::{ProxyEnd, ProxyEndKind};
pub use sandbox::{Place, Sandbox};

/// The daemon and all its sessions at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// What it logs now.
    #[serde(default)]
    pub log_level: String,
    /// The last time the configuration was read again; none before the first.
    #[serde(default)]
    pub last_reload: Option<ReloadStatus>,
    /// In the order of their names.
    pub sessions: Vec<SessionStatus>,
}

/// How reading the configuration again went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// Milliseconds since then.
    pub ago_ms: u64,
    /// Whether it is in force; else nothing has changed.
    pub ok: bool,
    /// What changed, or why nothing did.
    pub message: String,
}

/// One session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// From the configuration.
    pub name: String,
    /// From the configuration.
    pub target: String,
    /// What a target that is looked up was at the last start.
    #[serde(default)]
    pub instance: Option<String>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Milliseconds in this phase.
    pub phase_for_ms: u64,
    /// Why it is in this phase, for people.
    pub cause: String,
    /// The AWS session, while there is one.
    pub session_id: Option<String>,
    /// The agent's version, once known.
    pub agent_version: Option<String>,
    /// It was made for one `autossm proxy`, and ends with it.
    #[serde(default)]
    pub on_demand: bool,
    /// It carries a shell, for `autossm attach`.
    #[serde(default)]
    pub shell: bool,
    /// Where local connections are accepted, with the ports the kernel chose; empty while a listener is not up.
    pub listeners: Vec<String>,
    /// Why a listener is not up, for people.
    pub listener_error: Option<String>,
    /// Open local connections.
    pub connections: usize,
    /// Attempts since the last proven attach.
    pub attempts: u32,
    /// Milliseconds until the next attempt, while one is waited for.
    pub next_attempt_in_ms: Option<u64>,
    /// The service says that the agent is away.
    pub agent_away: bool,
    /// What stands in its way, if anything.
    pub trouble: Option<Trouble>,
    /// Milliseconds until AWS may end the session by itself, while it is not attached.
    pub may_end_in_ms: Option<u64>,
    /// The counters.
    pub figures: Figures,
    /// The last drops, oldest first.
    pub history: Vec<DropStatus>,
}

/// One drop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DropStatus {
    /// Milliseconds since it was noticed.
    pub ago_ms: u64,
    /// Why.
    pub cause: DropCause,
    /// The cause as a sentence.
    pub cause_text: String,
    /// Milliseconds from the last sign of life to noticing it.
    pub noticed_after_ms: u64,
    /// Attempts it took.
    pub attempts: u32,
    /// Milliseconds from noticing it to the proven re-attach; none while it lasts.
    pub recovered_after_ms: Option<u64>,
    /// Bytes that were not acknowledged when it was noticed.
    pub backlog_bytes: u64,
}

/// Text that may come from the other side, without what could move a terminal's cursor or forge a log line.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
