//! What stands in a session's way, for whoever asks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{DropCause, Phase, Session, Work};

/// Websockets in a row that must come to the same nothing before it is said.
const ENOUGH: u32 = 3;

/// A state within a phase that a person may want to do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The service says that the agent is away.
    AgentAway,
    /// Many calls of this account are due at once, and this session's turn has not come.
    Queued,
    /// The link and the agent live, but the agent has taken nothing for a while.
    DestinationNotReading,
    /// Local programs do not read what has come, so reading has stopped.
    LocalNotReading,
    /// The agent acknowledges later data, but not the oldest.
    Wedged,
    /// Again and again the agent answers and then the service closes: another client uses the same session.
    Contested,
    /// Again and again a websocket opens and nobody answers on it: a captive portal or a proxy in between.
    NeverProven,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AgentAway => "the agent is away",
            Self::Queued => "waits for its turn to call AWS: many sessions want to at once",
            Self::DestinationNotReading => {
                "the agent takes nothing: the destination does not read, or cannot be reached yet"
            }
            Self::LocalNotReading => "a local program does not read what has come",
            Self::Wedged => "the agent does not acknowledge the oldest data",
            Self::Contested => "another client seems to take the session over again and again",
            Self::NeverProven => "websockets open, but nobody answers on them: a captive portal or a proxy?",
        })
    }
}

/// How the last websockets ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Streak {
    /// Proven, and closed by the other side before they had held.
    taken: u32,
    /// Opened, and never proven.
    unproven: u32,
}

impl Streak {
    pub(super) const fn forget(&mut self) {
        *self = Self { taken: 0, unproven: 0 };
    }

    pub(super) const fn handle_drop(&mut self, cause: &DropCause, proven: bool, held: bool) {
        // The service says goodbye to a client that another one replaces; a bad network does not.
        let closed = matches!(cause, DropCause::Closed { .. });
        if held {
            self.forget();
        } else if !proven {
            self.unproven = self.unproven.saturating_add(1);
        } else {
            self.unproven = 0;
            self.taken = if closed { self.taken.saturating_add(1) } else { 0 };
        }
    }
}

impl Session {
    /// Its phase now.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The one thing most worth saying.
    pub fn trouble(&self) -> Option<Trouble> {
        if let (Work::Up(link), Some(live)) = (&self.work, &self.live)
            && link.proven
        {
            if live.channel.is_agent_away() {
                return Some(Trouble::AgentAway);
            }
            if live.workload.is_full() {
                return Some(Trouble::LocalNotReading);
            }
            if live.channel.stream().send().contradicted_since().is_some() {
                return Some(Trouble::Wedged);
            }
            if link.is_stuck() {
                return Some(Trouble::DestinationNotReading);
            }
        }
        if matches!(self.work, Work::Calling { deadline: None, .. }) {
            return Some(Trouble::Queued);
        }
        if self.streak.taken >= ENOUGH {
            return Some(Trouble::Contested);
        }
        (self.streak.unproven >= ENOUGH).then_some(Trouble::NeverProven)
    }
}
