//! What the daemon's events say of each session.

use std::collections::BTreeMap;

use anyhow::bail;
use autossm::control::Events;
use autossm::status::{Event, EventLine};
use autossm_proto::session::Phase;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::now;

/// A session as its events have shown it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) phase: Option<Phase>,
    /// How often it stopped being attached.
    pub(crate) drops: u64,
    pub(crate) dropped_at: Option<Instant>,
    pub(crate) attached_at: Option<Instant>,
    /// How often a new AWS session was attached.
    pub(crate) fresh: u64,
}

impl Seen {
    fn change(&mut self, from: Phase, to: Phase) {
        self.phase = Some(to);
        if from == Phase::Attached && to != Phase::Attached {
            self.drops += 1;
            self.dropped_at = Some(now());
        }
        if from != Phase::Attached && to == Phase::Attached {
            self.attached_at = Some(now());
            self.fresh += u64::from(from == Phase::Handshaking);
        }
    }
}

/// Passes them on until they end, which they must not.
pub(crate) async fn pass_on(mut events: Events, sessions: BTreeMap<String, watch::Sender<Seen>>) -> anyhow::Result<()> {
    while let Some(line) = events.next().await? {
        let EventLine { event, .. } = serde_json::from_str(&line)?;
        match event {
            Event::Session { session, phase } => {
                if let Some(seen) = sessions.get(&session) {
                    seen.send_modify(|seen| seen.phase = Some(phase));
                }
            }
            Event::Phase { session, from, to, .. } => {
                if let Some(seen) = sessions.get(&session) {
                    seen.send_modify(|seen| seen.change(from, to));
                }
            }
            Event::Missed { count } => bail!("this program was too slow for the daemon's events: {count} missed"),
            Event::Hello { .. }
            | Event::Added { .. }
            | Event::Removed { .. }
            | Event::Reload { .. }
            | Event::Stopping { .. } => {}
        }
    }
    bail!("the daemon's events have ended")
}
