//! Whether the websocket is read, and what that means for those who wait for answers.

use std::time::Duration;

use super::{Reading, Session, Work};
use crate::Timestamp;
use crate::channel::Hearing;

/// The pace of reading once the reorder buffer has reached its limit, and once it is twice that: half of what
/// an agent sends, and little. Never nothing: the missing message comes the same way.
const SLOW: Duration = Duration::from_millis(2);
const SLOWEST: Duration = Duration::from_millis(20);
/// The reorder buffer at so many times its limit holds more than any agent's own list: this one is not honest.
const REORDER_END: usize = 4;

impl Session {
    /// Memory is bounded whatever an agent does: slower reading is only the first answer.
    pub(super) fn end_if_overfull(&mut self, now: Timestamp) {
        let held = self
            .live
            .as_ref()
            .map_or(0, |live| live.channel.stream().received().held_memory());
        if held > self.config.reorder_limit.saturating_mul(REORDER_END) {
            let cause = "the agent leaves out a message and goes on and on: too much is held out of order, a new \
                         session is started";
            self.end(cause, true, now);
            self.drain(now);
        }
    }

    /// Whether the websocket may be read.
    pub fn reading(&self) -> Reading {
        let Some(live) = &self.live else {
            return Reading::Open;
        };
        if live.channel.stream().received().is_flooded() {
            return Reading::Stopped;
        }
        if live.workload.is_full() {
            // Who does not read keeps no session from coming back: of a new websocket the frames that prove it are read.
            return if self.wants_proof() {
                Reading::At(self.last_read)
            } else {
                Reading::Stopped
            };
        }
        let held = live.channel.stream().received().held_memory();
        let limit = self.config.reorder_limit;
        if held < limit {
            Reading::Open
        } else {
            let pace = if held < limit.saturating_mul(2) { SLOW } else { SLOWEST };
            Reading::At(self.last_read.after(pace))
        }
    }

    /// Whether nobody has answered on this websocket yet.
    const fn wants_proof(&self) -> bool {
        matches!(&self.work, Work::Up(link) if !link.proven)
    }

    /// What is heard of the agent.
    pub(super) fn hearing(&self) -> Hearing {
        match &self.work {
            _ if self.reading() == Reading::Stopped => Hearing::Deaf,
            Work::Up(link) if link.proven => Hearing::Answers,
            Work::Up(_) | Work::Idle | Work::Waiting { .. } | Work::Calling { .. } | Work::Dialing { .. } => {
                Hearing::Silent
            }
        }
    }

    /// To be called after whatever may have stopped reading, and before anything is judged late: what could not be heard does
    /// not count once reading goes on.
    pub(super) fn note_reading(&mut self, now: Timestamp) {
        let stopped = self.reading() == Reading::Stopped;
        if !std::mem::replace(&mut self.deaf, stopped) || stopped {
            return;
        }
        if let (Work::Up(link), Some(live)) = (&mut self.work, &mut self.live) {
            link.handle_reading_resumed(now);
            live.channel.excuse_silence(now);
        }
    }
}
