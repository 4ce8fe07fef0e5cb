//! What the machine says about its network and its sleep.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Command, DropCause, Epoch, Session, Work};
use crate::Timestamp;

/// A change that makes it worth trying again at once, or asking whether the websocket still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkChange {
    /// A network interface came up or went down.
    Link,
    /// A local address came or went.
    Address,
    /// A default route came or went.
    Route,
    /// The machine woke up.
    Woke,
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Link => "a network interface has changed",
            Self::Address => "a local address has changed",
            Self::Route => "the default route has changed",
            Self::Woke => "the machine has woken up",
        })
    }
}

impl Session {
    /// The network has changed: a wait between attempts is over, an attempt that began before the change starts anew
    /// (its packets may still go the old way), and a live websocket is asked for a sign of life.
    pub fn handle_network(&mut self, change: NetworkChange, now: Timestamp) {
        match &mut self.work {
            Work::Idle => {}
            Work::Waiting { not_before, .. } if *not_before > now => {}
            Work::Waiting { .. } => {
                self.backoff.reset();
                self.attempt_or_rest(&change.to_string(), now);
            }
            // It goes the new way when its turn comes.
            Work::Calling { deadline: None, .. } => {}
            // To abandon a StartSession is to start a second session: it has a time-out of its own.
            Work::Calling { .. } if self.live.is_none() => {}
            Work::Calling { attempt, .. } | Work::Dialing { attempt, .. } => {
                let attempt = *attempt;
                self.commands.push_back(Command::Abandon { attempt });
                self.backoff.reset();
                self.begin_attempt(&change.to_string(), now);
            }
            Work::Up(link) => link.shake(now),
        }
        self.drain(now);
    }

    /// There may be credentials now, after a login or an edit of the profile: a wait between attempts is over, unless the
    /// service asked for it.
    pub fn handle_credentials_changed(&mut self, now: Timestamp) {
        if let Work::Waiting { not_before, .. } = &self.work
            && *not_before <= now
        {
            self.backoff.reset();
            self.attempt_or_rest("credentials have changed", now);
            self.drain(now);
        }
    }

    /// The machine has slept this long and `now` includes it: what seems overdue was not late, and everything asks
    /// for a new sign of life.
    pub fn handle_slept(&mut self, slept: Duration, now: Timestamp) {
        match &mut self.work {
            Work::Up(link) => link.handle_slept(now),
            Work::Calling { deadline: Some(at), .. } => *at = at.after(slept),
            Work::Calling { deadline: None, .. } | Work::Dialing { .. } | Work::Waiting { .. } | Work::Idle => {}
        }
        if let Some(live) = &mut self.live {
            live.channel.excuse_silence(now);
            live.workload.handle_late(now);
            live.handshake_deadline = live.handshake_deadline.map(|at| at.after(slept));
        }
        self.handle_network(NetworkChange::Woke, now);
    }

    /// The local address of this websocket is no longer this machine's: nothing will ever come back on it.
    pub fn handle_address_gone(&mut self, epoch: Epoch, now: Timestamp) {
        self.handle_dropped(epoch, DropCause::AddressGone, now);
    }
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
