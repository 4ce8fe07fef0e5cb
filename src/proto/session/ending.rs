//! How a session ends.

use super::{Command, Event, Phase, ResetCause, Session, Work};
use crate::Timestamp;
use crate::journal::Record;

impl Session {
    /// The session is no longer wanted: it is terminated, its local connections are reset.
    pub fn stop(&mut self, now: Timestamp) {
        self.wanted = false;
        self.abandon_work();
        self.end_live(true);
        self.reset_waiting();
        self.set_phase(Phase::Stopped, "stopped".to_owned(), now);
    }

    /// The AWS session is over; what follows is the configuration's choice.
    pub(super) fn end(&mut self, cause: &str, terminate: bool, now: Timestamp) {
        let live = self.live.as_ref();
        let worked = live.is_some_and(|live| live.channel.is_ready());
        let used = live.is_some_and(|live| !live.mux.is_empty());
        self.abandon_work();
        self.end_live(terminate);
        self.follow_end(cause, (worked, used), now);
    }

    /// Resets the local connections of the AWS session and forgets it. Those without a stream wait for the next.
    fn end_live(&mut self, terminate: bool) {
        // From here on the figures no longer include the present session: take them over.
        self.figures = self.figures();
        (self.figures.backlog_bytes, self.figures.reorder_bytes) = (0, 0);
        let Some(live) = self.live.take() else { return };
        for local in live.mux.locals() {
            self.events.push_back(Event::Reset {
                local,
                cause: ResetCause::SessionEnded,
            });
        }
        if terminate {
            self.commands.push_back(Command::Terminate {
                session_id: live.session_id,
            });
        }
        self.records.push_back(Record::Ended);
    }

    fn abandon_work(&mut self) {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Calling { attempt, .. } | Work::Dialing { attempt, .. } => {
                self.commands.push_back(Command::Abandon { attempt });
            }
            Work::Up(link) => self.commands.push_back(Command::Close { epoch: link.epoch }),
            Work::Idle | Work::Waiting { .. } => {}
        }
    }
}
