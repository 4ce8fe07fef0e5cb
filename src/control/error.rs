//! Why the daemon gave no answer, or not the one hoped for.

use std::path::PathBuf;
use std::time::Duration;

use super::UnknownSession;

/// Why the daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no autossm daemon at {}; start one with `autossm run`, or say where it is with --socket PATH", .path.display())]
    NoDaemon {
        /// The control socket.
        path: PathBuf,
    },
    /// It is another user's.
    #[error("the control socket {} is not yours to use", .path.display())]
    NotAllowed {
        /// The control socket.
        path: PathBuf,
    },
    /// Somebody else listens there.
    #[error(
        "the control socket {} belongs to user {uid}, not to you (user {own}): nothing was sent to it; \
         another user could have put it there, look at its directory, or say where yours is with --socket PATH", .path.display()
    )]
    Stranger {
        /// The control socket.
        path: PathBuf,
        /// Who listens.
        uid: u32,
        /// Who asks.
        own: u32,
    },
    /// There was no answer in time.
    #[error("the daemon at {} did not answer within {}", .path.display(), humantime::format_duration(*.after))]
    Timeout {
        /// The control socket.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },
    /// The conversation failed.
    #[error("cannot talk to the daemon at {}", .path.display())]
    Broken {
        /// The control socket.
        path: PathBuf,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error("the daemon refused: {message}")]
    Refused {
        /// Its words.
        message: String,
    },
    /// The daemon cannot do it now.
    #[error("the daemon cannot do that now: {message}")]
    Busy {
        /// Its words.
        message: String,
    },
    /// The daemon did not understand what it was given.
    #[error("{message}")]
    BadRequest {
        /// Its words.
        message: String,
    },
    /// The new configuration is wrong.
    #[error("the configuration is wrong, so nothing has changed:\n{problems}")]
    BadConfiguration {
        /// Its problems, a line or more each.
        problems: String,
    },
    /// The session is in a phase in which that cannot be done.
    #[error("{message}")]
    WrongPhase {
        /// The daemon's words.
        message: String,
    },
    /// No session has that name.
    #[error(transparent)]
    UnknownSession(#[from] UnknownSession),
}
