//! How the rest of the daemon talks to a session's task.

use tokio::sync::{mpsc, oneshot};

use crate::status::SessionStatus;

/// Messages that may wait for a session's task.
const QUEUE: usize = 16;

/// The session's task does not answer: it has been stopped, or is being restarted after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session's task does not answer; it has stopped or is being restarted")]
pub struct SessionGone;

/// Reaches one session's task; clones reach the same one.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    messages: mpsc::Sender<Message>,
}

/// What the task is asked.
#[derive(Debug)]
pub(super) enum Message {
    Status(Reply<SessionStatus>),
    Reconnect(Reply<()>),
    Stop(Reply<()>),
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    pub(super) fn answer(self, answer: T) {
        if self.0.send(answer).is_err() {
            tracing::trace!("who asked does not wait for the answer any more");
        }
    }
}

impl SessionHandle {
    /// A handle and the queue it fills.
    pub(super) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (messages, queue) = mpsc::channel(QUEUE);
        (Self { messages }, queue)
    }

    /// What the session looks like now.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn status(&self) -> Result<SessionStatus, SessionGone> {
        self.ask(Message::Status).await
    }

    /// Skips the wait for the next attempt, or drops a live websocket and re-attaches.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn reconnect(&self) -> Result<(), SessionGone> {
        self.ask(Message::Reconnect).await
    }

    /// Terminates the AWS session and resets its local connections; returns when the task has done so, after a few
    /// seconds at most.
    ///
    /// # Errors
    /// The task has ended already.
    pub async fn stop(&self) -> Result<(), SessionGone> {
        self.ask(Message::Stop).await
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, SessionGone> {
        let (reply, answer) = oneshot::channel();
        // Both errors say the same and carry nothing more.
        let Ok(()) = self.messages.send(message(Reply(reply))).await else {
            return Err(SessionGone);
        };
        answer.await.or(Err(SessionGone))
    }
}
