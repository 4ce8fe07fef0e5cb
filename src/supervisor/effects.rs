//! What the core wants after each turn.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{Command, Event, Phase, ResetCause};
use tokio::time::timeout;

use super::report;
use super::task::Supervisor;

/// Frames sent in one turn, so that reading gets its own.
const SEND_BATCH: usize = 512;
/// How long a stop waits for calls.
const CALLS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a stop waits for local connections to be reset.
const RESET_TIMEOUT: Duration = Duration::from_millis(200);

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
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Start { attempt } => self.actions.start(attempt),
            Command::Resume { attempt, session_id } => self.actions.resume(attempt, session_id),
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
            Event::Phase { from, to, cause } => self.announce(from, to, &cause),
            Event::Data { local, bytes } => self.router.write(local, bytes),
            Event::Finished { local } => self.router.finish(local),
            Event::Reset { local, cause } => {
                self.log_reset(cause);
                self.router.reset(local);
            }
            Event::Room { local } => {
                self.router.grant(local, self.session.local_room(local));
            }
        }
    }

    fn announce(&self, from: Phase, to: Phase, cause: &str) {
        report::log_phase(&self.settings.name, from, to, cause);
        self.phases.set(to);
    }

    fn log_reset(&self, cause: ResetCause) {
        let session = &self.settings.name;
        match cause {
            // The phase says it once for all of them.
            ResetCause::SessionEnded => {
                tracing::debug!(session, "local connection reset: its session has ended");
            }
            ResetCause::DestinationRefused => {
                let host = self.settings.forward.host.as_deref();
                tracing::info!(
                    session,
                    host = host.unwrap_or("the target itself"),
                    port = self.settings.forward.port,
                    "local connection reset: the agent cannot reach the destination",
                );
            }
        }
    }

    /// After a stop: accepts no more, waits a little for what was ordered last.
    pub(super) async fn finish(mut self) {
        self.listeners.close();
        if timeout(RESET_TIMEOUT, self.router.drained()).await.is_err() {
            tracing::debug!(session = self.settings.name, "closing local connections that linger");
        }
        if timeout(CALLS_TIMEOUT, self.last_calls()).await.is_err() {
            tracing::warn!(
                session = self.settings.name,
                "the ssm endpoint did not answer in time; the session may live on until it times out",
            );
        }
        for reply in self.stopped {
            reply.answer(());
        }
    }

    /// TerminateSession, and a StartSession whose session must be terminated as soon as its id is known.
    async fn last_calls(&mut self) {
        while self.actions.is_unsettled() {
            tokio::select! {
                news = self.actions.next() => self.handle_action(news, self.clock.now()),
                // Who asks meanwhile gets an answer; it is stopping already.
                Some(message) = self.messages.recv() => {
                    let _stopping = self.handle_message(message, self.clock.now());
                }
            }
            self.settle(self.clock.now()).await;
        }
    }
}
