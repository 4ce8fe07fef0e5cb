//! The phases of all sessions, where the daemon can watch them.

use autossm_proto::session::Phase;
use tokio::sync::watch;

/// One place for each session, all in one watched value.
#[derive(Clone, Debug)]
pub struct PhaseBoard(watch::Sender<Vec<Phase>>);

/// One session's place.
#[derive(Clone, Debug)]
pub struct PhaseSlot {
    board: watch::Sender<Vec<Phase>>,
    index: usize,
}

impl PhaseBoard {
    /// A board for so many sessions, all stopped.
    pub fn new(sessions: usize) -> Self {
        Self(watch::Sender::new(vec![Phase::Stopped; sessions]))
    }

    /// The place of one session; there is no other one for the same index.
    pub fn slot(&self, index: usize) -> PhaseSlot {
        PhaseSlot {
            board: self.0.clone(),
            index,
        }
    }

    /// Sees every later change.
    pub fn watch(&self) -> watch::Receiver<Vec<Phase>> {
        self.0.subscribe()
    }
}

impl PhaseSlot {
    /// The session is in this phase now.
    pub(super) fn set(&self, phase: Phase) {
        self.board.send_if_modified(|phases| {
            let Some(place) = phases.get_mut(self.index) else {
                return false;
            };
            std::mem::replace(place, phase) != phase
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_news() {
        let board = PhaseBoard::new(2);
        let mut watch = board.watch();
        board.slot(1).set(Phase::Stopped);
        assert!(!watch.has_changed().unwrap());
        board.slot(1).set(Phase::Attached);
        assert!(watch.has_changed().unwrap());
        assert_eq!(*watch.borrow_and_update(), [Phase::Stopped, Phase::Attached]);
        board.slot(2).set(Phase::Attached);
        assert!(!watch.has_changed().unwrap());
    }
}
