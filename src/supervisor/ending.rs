//! How a session's task ends: it delivers what it has, then leaves or terminates the AWS session.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::Phase;
use tokio::time::timeout;

use super::handle::{Ending, Reply};
use super::task::Supervisor;
use super::terminal::ShellFace;

/// How long what local connections have sent may take to be delivered.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an end waits for calls.
const CALLS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an end waits for local connections to be reset.
const RESET_TIMEOUT: Duration = Duration::from_millis(200);

/// The longest end of a session's task, and some time for what follows it.
pub const END_TIMEOUT: Duration = Duration::from_secs(9);

/// The task is to end.
#[derive(Debug)]
pub(super) struct Farewell {
    ending: Ending,
    /// From then on nothing more is delivered.
    pub(super) until: Timestamp,
    /// Who waits for it.
    replies: Vec<Reply<()>>,
}

impl Supervisor<'_> {
    /// The task is to end; accepts and reads no more from now on.
    pub(super) fn leave(&mut self, ending: Ending, reply: Reply<()>, now: Timestamp) {
        self.listeners.close();
        let farewell = self.farewell.get_or_insert_with(|| Farewell {
            ending,
            until: now.after(DRAIN_TIMEOUT),
            replies: Vec::new(),
        });
        if ending == Ending::Terminate {
            farewell.ending = ending;
        }
        farewell.replies.push(reply);
    }

    /// The task ends by itself: nobody waits for it.
    pub(super) fn leave_unasked(&mut self, ending: Ending, now: Timestamp) {
        self.listeners.close();
        self.farewell.get_or_insert_with(|| Farewell {
            ending,
            until: now.after(DRAIN_TIMEOUT),
            replies: Vec::new(),
        });
    }

    /// Without waiting for anything to be delivered.
    pub(super) fn leave_at_once(&mut self, now: Timestamp) {
        self.listeners.close();
        self.farewell = Some(Farewell {
            ending: Ending::Terminate,
            until: now,
            replies: Vec::new(),
        });
    }

    /// The task is to end and has nothing left to deliver, or no time.
    pub(super) fn may_leave(&self) -> bool {
        let Some(farewell) = &self.farewell else {
            return false;
        };
        let snapshot = self.session.snapshot();
        let delivered = match snapshot.phase {
            // With room in the window, what was taken is in the backlog, and without room the backlog is not empty.
            Phase::Attached => snapshot.figures.backlog_bytes == 0,
            // Nobody gets anything any more.
            Phase::Stopped | Phase::Dormant | Phase::Ended => true,
            // It may be back in time. A connection that has sent nothing, a shell's terminal above all, has nothing to wait for.
            Phase::Starting
            | Phase::Handshaking
            | Phase::Reattaching
            | Phase::AwaitingLogin
            | Phase::AwaitingTarget => {
                !self.session.has_undelivered() && !self.shell.as_ref().is_some_and(ShellFace::has_typed)
            }
        };
        if !delivered && self.clock.now() >= farewell.until {
            tracing::warn!(
                session = self.keep.settings.name,
                backlog_bytes = snapshot.figures.backlog_bytes,
                "not all that local connections have sent was delivered in time",
            );
            return true;
        }
        delivered
    }

    /// The end itself: local connections are reset, the AWS session is left or terminated.
    pub(super) async fn finish(mut self) {
        // It stays: whatever comes during the last calls must find that the task ends.
        let Some(ending) = self.farewell.as_ref().map(|farewell| farewell.ending) else {
            return;
        };
        let now = self.clock.now();
        self.shell_leaves(ending, now);
        let snapshot = self.session.snapshot();
        match (ending, &snapshot.session_id) {
            (Ending::Detach, Some(session_id)) if snapshot.phase != Phase::Stopped => {
                // The websocket goes with this value; the AWS session is not told.
                let cause = format!("detached; AWS session {session_id} lives on until it times out");
                self.keep.phases.set(snapshot.phase, Phase::Stopped, &cause);
                self.router.reset_all();
            }
            // A session whose StartSession is still under way would be one that nobody knows.
            (Ending::Detach | Ending::Terminate, _) => {
                if snapshot.phase != Phase::Stopped {
                    self.end_asked = true;
                    self.session.stop(now);
                    self.settle(now).await;
                }
            }
        }
        self.last_words().await;
        for reply in self.farewell.take().into_iter().flat_map(|farewell| farewell.replies) {
            reply.answer(());
        }
    }

    /// Waits a little for what was ordered last.
    async fn last_words(&mut self) {
        let session = &self.keep.settings.name;
        if let Some(shell) = &mut self.shell
            && timeout(RESET_TIMEOUT, shell.drained()).await.is_err()
        {
            tracing::debug!(session, "closing viewers of the terminal that do not read");
        }
        if timeout(RESET_TIMEOUT, self.router.drained()).await.is_err() {
            tracing::debug!(session, "closing local connections that linger");
        }
        if timeout(CALLS_TIMEOUT, self.last_calls()).await.is_err() {
            tracing::warn!(
                session,
                "the ssm endpoint did not answer in time; the session may live on until it times out",
            );
        }
    }

    /// TerminateSession, and a StartSession whose session must be terminated as soon as its id is known.
    async fn last_calls(&mut self) {
        while self.actions.is_unsettled() {
            tokio::select! {
                news = self.actions.next() => self.handle_action(news, self.clock.now()),
                // Who asks meanwhile gets an answer; it is ending already.
                Some(message) = self.keep.messages.recv() => self.handle_message(message, self.clock.now()),
            }
            self.settle(self.clock.now()).await;
        }
    }
}
