//! How a session ends.

use std::time::Duration;

use super::{CLOSED, Command, Event, Phase, ResetCause, Session, Work};
use crate::Timestamp;
use crate::journal::Record;

/// A destination that closes so soon after something was sent again may have been given it twice.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// What is said then.
const DOUBTFUL_CAUSE: &str = " (just after a resend: AWS's agent may have handed over twice what was sent again, which \
                              a protocol with checksums, such as ssh, answers by closing)";

impl Session {
    /// The session is no longer wanted: it is terminated, its local connections are reset.
    pub fn stop(&mut self, now: Timestamp) {
        self.wanted = false;
        self.abandon_work();
        self.end_live(true);
        self.reset_waiting();
        self.set_phase(Phase::Stopped, "stopped".to_owned(), now);
    }

    /// The agent or the service has ended the session. In one for a single connection that is how the destination closes: it
    /// gets what is left and an end, unless something before it is missing.
    pub(super) fn handle_far_end(&mut self, reason: Option<&str>, now: Timestamp) {
        let single = self.live.as_ref().is_some_and(|live| live.workload.is_single());
        let cause = match reason {
            None if single => CLOSED.to_owned(),
            _ => format!("the session has ended: {}", reason.unwrap_or("no reason given")),
        };
        if let Some(live) = self.live.as_mut().filter(|live| live.workload.is_single()) {
            let complete = live.channel.stream().received().held_memory() == 0;
            let ready = live.channel.is_ready();
            let told = complete.then(|| live.workload.handle_far_end(ready)).flatten();
            if let Some(stream) = told {
                self.records.push_back(Record::Finished { stream });
            }
            if !live.workload.is_taken()
                && let Some(local) = self.waiting.pop_first()
            {
                // The agent could not even begin: the connection that waits for it would wait for ever.
                let cause = ResetCause::SessionEnded;
                self.events.push_back(Event::Reset { local, cause });
            }
            self.drain_locals();
        }
        self.end_gone(cause, now);
    }

    /// The AWS session has ended, not by us.
    pub(super) fn end_gone(&mut self, mut cause: String, now: Timestamp) {
        let raw = self.live.as_ref().filter(|live| live.workload.is_raw());
        if raw.is_some_and(|live| live.repeated.is_some_and(|at| now.since(at) < DOUBTFUL)) {
            cause.push_str(DOUBTFUL_CAUSE);
        }
        self.end(&cause, false, now);
    }

    /// The AWS session is over; what follows is the configuration's choice.
    pub(super) fn end(&mut self, cause: &str, terminate: bool, now: Timestamp) {
        let live = self.live.as_ref();
        let worked = live.is_some_and(|live| live.channel.is_ready());
        let used = live.is_some_and(|live| !live.workload.is_empty());
        self.abandon_work();
        self.end_live(terminate);
        if self.config.once {
            return self.give_up(ResetCause::SessionEnded, cause, now);
        }
        self.follow_end(cause, (worked, used), now);
    }

    /// A session that is started only once is over, or cannot be started: what waits for it waits no more.
    pub(super) fn give_up(&mut self, cause: ResetCause, text: &str, now: Timestamp) {
        self.wanted = false;
        self.work = Work::Idle;
        for local in std::mem::take(&mut self.waiting) {
            self.events.push_back(Event::Reset { local, cause });
        }
        self.set_phase(Phase::Stopped, text.to_owned(), now);
    }

    /// Resets the local connections of the AWS session and forgets it. Those without a stream wait for the next.
    pub(super) fn end_live(&mut self, terminate: bool) {
        // From here on the figures no longer include the present session: take them over.
        self.figures = self.figures();
        (self.figures.backlog_bytes, self.figures.reorder_bytes) = (0, 0);
        let Some(live) = self.live.take() else { return };
        self.history.handle_end();
        if let Some(attempt) = live.key_call.running() {
            self.commands.push_back(Command::Abandon { attempt });
        }
        for local in live.workload.locals() {
            self.events.push_back(Event::Reset {
                local,
                cause: ResetCause::SessionEnded,
            });
        }
        // One whose place was not found yet is still another client's.
        if terminate && !live.channel.is_adopting() {
            self.commands.push_back(Command::Terminate {
                session_id: live.session_id,
            });
        }
        self.records.push_back(Record::Ended);
    }

    pub(super) fn abandon_work(&mut self) {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Calling { attempt, .. } | Work::Dialing { attempt, .. } => {
                self.commands.push_back(Command::Abandon { attempt });
            }
            Work::Up(link) => self.commands.push_back(Command::Close { epoch: link.epoch }),
            Work::Idle | Work::Waiting { .. } => {}
        }
    }
}
