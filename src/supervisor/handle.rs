//! How the rest of the daemon talks to a session's task.

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::endpoint::{LocalSocket, ViewRequest};
use crate::status::SessionStatus;

/// Messages that may wait for a session's task.
const QUEUE: usize = 16;

/// The session's task does not answer: it has ended, or is being restarted after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session's task does not answer; it has ended or is being restarted")]
pub struct SessionGone;

/// What becomes of the AWS session when its task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is left as it is, to be resumed or to time out.
    Detach,
    /// It is terminated.
    Terminate,
}

/// Reaches one session's task; clones reach the same one.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    messages: mpsc::Sender<Message>,
}

/// What the task is asked.
#[derive(Debug)]
pub(super) enum Message {
    Status(Reply<SessionStatus>),
    Order(Order, Reply<Obedience>),
    End(Ending, Reply<()>),
    Attach(LocalSocket),
    Ping(Reply<()>),
    View(UnixStream, ViewRequest),
    Unwanted,
}

/// What a user can ask of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Skips the wait for the next attempt, or drops a live websocket and re-attaches; starts a dormant session.
    Reconnect,
    /// Ends the AWS session and its local connections, and starts a new one.
    Restart,
    /// Goes on with a stopped session; nothing to do for any other.
    Start,
    /// Ends the AWS session and its local connections, and listens no more until it is started.
    Stop,
}

/// What has become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obedience {
    /// It has begun.
    Begun,
    /// There is nothing to start: the session runs.
    Running,
    /// The session is on demand, and its one connection cannot be brought again: it ends.
    Ended,
    /// The session is stopped, and only a start changes that.
    Stopped,
    /// The session's task is ending: the daemon stops, or the configuration has the session no more.
    Ending,
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

    /// Gives the order; what it brings about has only begun when this returns, if it is obeyed at all.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn order(&self, order: Order) -> Result<Obedience, SessionGone> {
        self.ask(|reply| Message::Order(order, reply)).await
    }

    /// Ends the task: what local connections have sent is still delivered, if that can be done in time; then they are
    /// reset and the AWS session is left or terminated. Returns when all that is done, after a few seconds at most.
    ///
    /// # Errors
    /// The task has ended already.
    pub async fn end(&self, ending: Ending) -> Result<(), SessionGone> {
        self.ask(|reply| Message::End(ending, reply)).await
    }

    /// Brings the one connection of a session on demand, which starts with it.
    ///
    /// # Errors
    /// The task has ended; the connection is closed.
    pub async fn attach(&self, socket: LocalSocket) -> Result<(), SessionGone> {
        self.messages.send(Message::Attach(socket)).await.or(Err(SessionGone))
    }

    /// Returns when the task has looked at its messages: it does not hang.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn ping(&self) -> Result<(), SessionGone> {
        self.ask(Message::Ping).await
    }

    /// A handle to a task that never looks at its messages; they are kept with the second value.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> (Self, Box<dyn std::any::Any>) {
        let (handle, queue) = Self::new();
        (handle, Box::new(queue))
    }

    /// Shows the session's terminal to somebody; a session on demand starts with the first.
    ///
    /// # Errors
    /// The task has ended; the connection is closed.
    pub async fn view(&self, stream: UnixStream, request: ViewRequest) -> Result<(), SessionGone> {
        let message = Message::View(stream, request);
        self.messages.send(message).await.or(Err(SessionGone))
    }

    /// Who the session was made for does not come; one that others look at, or that is configured, goes on.
    ///
    /// # Errors
    /// The task has ended.
    pub async fn unwanted(&self) -> Result<(), SessionGone> {
        self.messages.send(Message::Unwanted).await.or(Err(SessionGone))
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
