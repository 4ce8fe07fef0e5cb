//! The phases of all sessions and the events of the daemon, where others can watch them.

use std::collections::BTreeMap;

use autossm_proto::Timestamp;
use autossm_proto::session::Phase;
use tokio::sync::{broadcast, watch};

use super::report;
use crate::clock::Clock;
use crate::status::{Event, EventLine, printable};

/// Events kept for a reader that is behind. A busy daemon makes a handful a second.
const KEPT_EVENTS: usize = 1024;

/// All sessions by name.
pub type Shown = BTreeMap<String, Standing>;

/// How one session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its phase.
    pub phase: Phase,
    /// Since when, on the boot-time clock.
    pub since: Timestamp,
    /// Why, for people.
    pub cause: String,
}

/// One place for each session, all in one watched value, and the stream of what happens.
#[derive(Clone, Debug)]
pub struct PhaseBoard {
    clock: Clock,
    phases: watch::Sender<Shown>,
    events: broadcast::Sender<EventLine>,
}

/// One session's place.
#[derive(Clone, Debug)]
pub struct PhaseSlot {
    board: PhaseBoard,
    session: String,
}

impl PhaseBoard {
    /// A board without sessions.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            phases: watch::Sender::new(BTreeMap::new()),
            events: broadcast::Sender::new(KEPT_EVENTS),
        }
    }

    /// The place of this session, stopped; there is no other one of the same name.
    pub fn slot(&self, session: &str) -> PhaseSlot {
        let standing = Standing {
            phase: Phase::Stopped,
            since: self.clock.now(),
            cause: String::new(),
        };
        self.phases.send_modify(|phases| {
            phases.insert(session.to_owned(), standing);
        });
        PhaseSlot {
            board: self.clone(),
            session: session.to_owned(),
        }
    }

    /// The session is no longer held.
    pub fn remove(&self, session: &str) {
        self.phases.send_if_modified(|phases| phases.remove(session).is_some());
    }

    /// Sees every later change.
    pub fn watch(&self) -> watch::Receiver<Shown> {
        self.phases.subscribe()
    }

    /// Tells those who read events.
    pub fn announce(&self, event: Event) {
        if self.events.receiver_count() > 0 && self.events.send(self.line(event)).is_err() {
            tracing::trace!("nobody reads events any more");
        }
    }

    /// The event as it happens now.
    pub fn line(&self, event: Event) -> EventLine {
        let unix_ms = u64::try_from(self.clock.unix_now().as_millis()).unwrap_or(u64::MAX);
        EventLine { unix_ms, event }
    }

    /// Every event from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<EventLine> {
        self.events.subscribe()
    }
}

impl PhaseSlot {
    /// The session is in this phase now, for this cause: one log line, one status change, one event.
    pub(super) fn set(&self, from: Phase, to: Phase, cause: &str) {
        self.set_with(from, to, cause, (0, false));
    }

    /// The same, and so many local connections went with the session that AWS has ended; `loud` makes it a warning.
    pub(super) fn set_with(&self, from: Phase, to: Phase, cause: &str, (lost_connections, loud): (usize, bool)) {
        report::log_phase(&self.session, (from, to), cause, loud);
        let (now, cause) = (self.board.clock.now(), printable(cause));
        self.board.phases.send_if_modified(|phases| {
            // A session that was removed has no place to come back to.
            let Some(place) = phases.get_mut(&self.session) else {
                return false;
            };
            if place.phase != to {
                (place.phase, place.since) = (to, now);
            } else if place.cause == cause {
                return false;
            }
            place.cause.clone_from(&cause);
            true
        });
        self.board.announce(Event::Phase {
            session: self.session.clone(),
            from,
            to,
            cause,
            lost_connections,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_phase_or_cause_is_news_and_each_is_an_event() {
        let board = PhaseBoard::new(Clock);
        let slots = [board.slot("a"), board.slot("b")];
        let mut watch = board.watch();
        let mut events = board.subscribe();
        let since = watch.borrow_and_update()["b"].since;
        slots[1].set(Phase::Stopped, Phase::Stopped, "still");
        assert_eq!(watch.borrow_and_update()["b"].since, since, "the same phase goes on");
        slots[1].set(Phase::Stopped, Phase::Attached, "bell\u{7}");
        assert!(watch.has_changed().unwrap());
        let phases: Vec<Phase> = watch.borrow_and_update().values().map(|place| place.phase).collect();
        assert_eq!(phases, [Phase::Stopped, Phase::Attached]);
        slots[1].set(Phase::Attached, Phase::Attached, "bell\u{7}");
        assert!(!watch.has_changed().unwrap());
        board.remove("b");
        slots[1].set(Phase::Attached, Phase::Stopped, "removed");
        assert_eq!(watch.borrow_and_update().len(), 1);
        let causes: Vec<String> = std::iter::from_fn(|| events.try_recv().ok())
            .map(|line| {
                serde_json::to_value(&line).unwrap()["cause"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(causes, ["still", "bell\u{fffd}", "bell\u{fffd}", "removed"]);
    }
}
