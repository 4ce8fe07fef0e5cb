//! What the core wants after each turn.

use autossm_proto::Timestamp;
use autossm_proto::session::{Command, Event, ResetCause};
use autossm_proto::shell::Source;

use super::actions::Call;
use super::task::Supervisor;

/// Frames sent in one turn, so that reading gets its own.
const SEND_BATCH: usize = 512;

impl Supervisor<'_> {
    /// Carries out what the core wants, until it wants nothing more or the turn is over.
    pub(super) async fn settle(&mut self, now: Timestamp) {
        let mut budget = SEND_BATCH;
        loop {
            self.drain();
            if budget == 0 {
                return;
            }
            let sent = self.link.send(&mut self.session, now, budget).await;
            budget = budget.saturating_sub(sent);
            if sent == 0 {
                // Even a look for frames may have made events.
                self.drain();
                return;
            }
        }
    }

    fn drain(&mut self) {
        // Nobody stores the journal yet.
        while self.session.poll_record().is_some() {}
        while let Some(command) = self.session.poll_command() {
            self.execute(command);
        }
        while let Some(event) = self.session.poll_event() {
            self.deliver(event);
        }
        if *self.keep.wanted && !self.session.is_wanted() {
            // It has ended for good, as its settings ask.
            *self.keep.wanted = false;
            self.listeners.close();
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Start { attempt, due } => self.actions.queue(attempt, due, Call::Start),
            Command::Resume {
                attempt,
                due,
                session_id,
            } => self.actions.queue(attempt, due, Call::Resume(session_id)),
            Command::FetchKey {
                attempt,
                session_id,
                wanted,
            } => {
                let session = &self.keep.settings.name;
                tracing::info!(session, "the session is encrypted: asking KMS for its data key");
                self.actions.fetch_key(attempt, session_id, wanted);
            }
            Command::ReadPreferences => self.actions.read_preferences(),
            Command::Dial {
                attempt,
                epoch,
                stream_url,
            } => self.actions.dial(attempt, epoch, stream_url),
            Command::Abandon { attempt } => self.actions.abandon(attempt),
            Command::Close { epoch } => self.link.close(epoch),
            Command::Terminate { session_id } => self.actions.terminate(session_id),
        }
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Phase { from, to, cause } => {
                self.follow_phase(to);
                let lost = std::mem::take(&mut self.lost);
                // Who has asked for the end knows.
                let lost = if std::mem::take(&mut self.end_asked) { 0 } else { lost };
                let loud = self.alarm.handle_phase(to);
                self.keep.phases.set_with(from, to, &cause, (lost, loud));
            }
            Event::Data { bytes, .. } if self.shell.is_some() => self.shell_output(Source::Stdout, &bytes),
            Event::Data { local, bytes } => self.router.write(local, bytes),
            Event::StdErr { bytes, .. } => self.shell_output(Source::Stderr, &bytes),
            Event::Exit { code, .. } => self.shell_exit(code),
            Event::Finished { .. } if self.shell.is_some() => self.shell_finished(),
            Event::Finished { local } => {
                self.proxy_finished();
                self.router.finish(local);
            }
            Event::Reset { cause, .. } if self.shell.is_some() => self.shell_reset(cause),
            Event::Reset { local, cause } => {
                self.log_reset(cause);
                self.lost += usize::from(matches!(cause, ResetCause::SessionEnded));
                self.proxy_reset(cause);
                self.router.reset(local);
            }
            // Looked after in each turn.
            Event::Room { .. } if self.shell.is_some() => {}
            Event::Room { local } => {
                if self.farewell.is_none() {
                    self.router.grant(local, self.session.local_room(local));
                }
            }
        }
    }

    fn log_reset(&self, cause: ResetCause) {
        let session = &self.keep.settings.name;
        match cause {
            // The phase says it once for all of them.
            ResetCause::SessionEnded => {
                tracing::debug!(session, "local connection reset: its session has ended");
            }
            ResetCause::NotStarted(_) => {
                tracing::debug!(session, "local connection reset: its session could not be started");
            }
            ResetCause::DestinationRefused => {
                let forward = self.keep.settings.forward.as_ref();
                let host = forward.and_then(|forward| forward.host.as_deref());
                tracing::info!(
                    session,
                    host = host.unwrap_or("the target itself"),
                    port = forward.map(|forward| forward.port),
                    "local connection reset: the agent cannot reach the destination",
                );
            }
        }
    }
}
