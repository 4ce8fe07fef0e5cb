//! What a [`Session`](super::Session) says to its driver and is told by it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Phase;
use crate::Timestamp;
use crate::cipher::{DataKey, NONCE_LENGTH};
use crate::handshake::WantedKey;

/// One try to start or resume; commands and outcomes carry it, stale ones are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attempt(pub u64);

/// One websocket in the life of a session; what comes from an older one is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// One local connection, named by the session when it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId(pub u64);

/// A text that must not appear in a log, an error or `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// What StartSession gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// The session's id.
    pub session_id: String,
    /// Opens one data channel.
    pub token: Secret,
    /// Where to dial; its query is never re-encoded.
    pub stream_url: String,
}

/// What ResumeSession gave. No token, or an empty one, means that the session has timed out.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeGrant {
    /// Opens one data channel.
    pub token: Option<Secret>,
    /// The new place to dial; the old one stays valid when it is missing.
    pub stream_url: Option<String>,
}

/// What KMS gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    /// The data key.
    pub key: DataKey,
    /// The same, encrypted by KMS, base64.
    pub cipher_text_key: String,
    /// Random: where this client's nonces begin.
    pub nonce: [u8; NONCE_LENGTH],
}

/// An effect the driver carries out. It reports back with an [`Outcome`] that carries the same attempt.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// Call StartSession, when its turn has come: say so with [`Session::handle_turn`](super::Session::handle_turn).
    Start {
        /// Name it in the outcome.
        attempt: Attempt,
        /// Better not later than this; the sooner, the earlier its turn.
        due: Timestamp,
    },
    /// Call ResumeSession, when its turn has come: say so with [`Session::handle_turn`](super::Session::handle_turn).
    Resume {
        /// Name it in the outcome.
        attempt: Attempt,
        /// Better not later than this; the sooner, the earlier its turn.
        due: Timestamp,
        /// Which session.
        session_id: String,
    },
    /// Ask KMS for the session's data key: a new one (GenerateDataKey), or the one agreed on (Decrypt).
    FetchKey {
        /// Name it in the outcome.
        attempt: Attempt,
        /// Which session: part of the key's encryption context.
        session_id: String,
        /// Which key.
        wanted: WantedKey,
    },
    /// Open a websocket. On success the driver reports [`Outcome::Dialed`] and drives it under that epoch.
    Dial {
        /// Name it in the outcome.
        attempt: Attempt,
        /// The new websocket's name.
        epoch: Epoch,
        /// Where to.
        stream_url: String,
    },
    /// Drop whatever runs for this attempt; its outcome no longer matters.
    Abandon {
        /// Which one.
        attempt: Attempt,
    },
    /// Abort this websocket at once, without a close handshake.
    Close {
        /// Which one.
        epoch: Epoch,
    },
    /// Read the account's session preferences, if that is allowed, and report them with
    /// [`Session::handle_preferences`](super::Session::handle_preferences); nobody waits for it.
    ReadPreferences,
    /// Call TerminateSession; nobody waits for its outcome.
    Terminate {
        /// Which session.
        session_id: String,
    },
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// StartSession answered.
    Started {
        /// The command's attempt.
        attempt: Attempt,
        /// What it gave.
        grant: Grant,
    },
    /// ResumeSession answered.
    Resumed {
        /// The command's attempt.
        attempt: Attempt,
        /// What it gave.
        grant: ResumeGrant,
    },
    /// KMS answered.
    Key {
        /// The command's attempt.
        attempt: Attempt,
        /// What it gave.
        grant: KeyGrant,
    },
    /// The websocket is open; nothing has been written to it yet.
    Dialed {
        /// The command's attempt.
        attempt: Attempt,
        /// The command's epoch.
        epoch: Epoch,
    },
    /// The command failed.
    Failed {
        /// The command's attempt.
        attempt: Attempt,
        /// Why.
        failure: Failure,
    },
}

/// A failed call or dial: what to do about it, and what to tell the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the session does about it.
    pub class: FailureClass,
    /// For the user: what happened, without secrets.
    pub text: String,
}

/// What a failure asks for. Exhaustive on purpose: a new class must be decided everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// No route, DNS, refused, reset, stalled TLS, timeout, 5xx: back off.
    Network,
    /// Back off more; at least as long as the service asked for.
    Throttled {
        /// The service's Retry-After.
        retry_after: Option<Duration>,
    },
    /// Credentials are missing or expired: wait for a login, keep trying slowly.
    Credentials,
    /// The identity may not do this: retry slowly.
    AccessDenied,
    /// The target is not connected to Session Manager: wait for it.
    TargetNotConnected,
    /// The session no longer exists.
    SessionGone,
    /// A certificate, host or protocol violation: say so, back off.
    Protocol,
    /// The request itself is wrong (document, parameters): retry slowly.
    Rejected,
}

/// A frame for the websocket, in order.
#[derive(Clone, PartialEq, Eq)]
pub enum Transmit {
    /// A text frame. It holds a token.
    Text(Secret),
    /// A binary frame.
    Binary(Bytes),
    /// A ping with this payload.
    Ping(Bytes),
}

/// A frame from the websocket.
#[derive(Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A binary frame.
    Binary(Bytes),
    /// A pong with its payload.
    Pong(Bytes),
    /// A text frame, a ping: nothing to read, but a sign of life.
    Other,
}

/// Why a websocket is gone (the session is not).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DropCause {
    /// A close frame.
    Closed {
        /// Its code; none when the frame had none.
        code: Option<u16>,
        /// Its reason, from the peer: sanitise before showing.
        reason: String,
    },
    /// End of stream without a close frame.
    EndOfStream,
    /// Connection reset.
    Reset,
    /// Any other error of the socket.
    Error {
        /// The error's text.
        text: String,
    },
    /// A ping got no answer.
    PongOverdue,
    /// Data stayed unacknowledged and a probe got no answer.
    BacklogStalled,
    /// The socket took no more bytes and nothing came.
    WriteStalled,
    /// The agent did not prove itself in time after the attach.
    NotProven,
    /// The websocket's local address is no longer this machine's.
    AddressGone,
    /// Somebody asked for a reconnect.
    Requested,
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed {
                code: Some(code),
                reason,
            } => write!(f, "closed by the service ({code} {reason})"),
            Self::Closed { code: None, .. } => f.write_str("closed by the service"),
            Self::EndOfStream => f.write_str("connection ended without a close frame"),
            Self::Reset => f.write_str("connection reset"),
            Self::Error { text } => write!(f, "connection failed: {text}"),
            Self::PongOverdue => f.write_str("no answer to a ping"),
            Self::BacklogStalled => f.write_str("data unacknowledged and no answer to a probe"),
            Self::WriteStalled => f.write_str("the socket takes no more bytes and nothing comes"),
            Self::NotProven => f.write_str("attached, but the agent did not answer"),
            Self::AddressGone => f.write_str("its local address is no longer this machine's"),
            Self::Requested => f.write_str("reconnect requested"),
        }
    }
}

/// Something the endpoints or the log must know.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// The phase has changed: one log line.
    Phase {
        /// Before.
        from: Phase,
        /// After.
        to: Phase,
        /// Why, for the user.
        cause: String,
    },
    /// Write these bytes to the local connection; report them with `handle_local_written`.
    Data {
        /// Which connection.
        local: LocalId,
        /// In order, each byte once.
        bytes: Bytes,
    },
    /// The same, of a command's standard error; reported together with the others.
    StdErr {
        /// Which connection.
        local: LocalId,
        /// In order with the others, each byte once.
        bytes: Bytes,
    },
    /// The command has ended; all its output was handed out before.
    Exit {
        /// Which connection.
        local: LocalId,
        /// As the agent says it; -1 when a signal ended it.
        code: i32,
    },
    /// The far side has closed after all its data: write what is left, then close. No more events follow.
    Finished {
        /// Which connection.
        local: LocalId,
    },
    /// The connection cannot be saved: reset it at once. No more events follow.
    Reset {
        /// Which connection.
        local: LocalId,
        /// Why, for the log.
        cause: ResetCause,
    },
    /// `local_room` of this connection has become positive: read it.
    Room {
        /// Which connection.
        local: LocalId,
    },
}

/// Why a local connection was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// Its session has ended.
    SessionEnded,
    /// The agent could not reach the destination.
    DestinationRefused,
    /// A session that is started only once could not be started.
    NotStarted(FailureClass),
}

/// Whether the driver may read the websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As fast as it likes.
    Open,
    /// One frame, once this time has come: the reorder buffer is nearly full.
    At(Timestamp),
    /// Not at all: local connections do not take what has come.
    Stopped,
}

/// The wait between attempts grows by this; the shell and the simulation bring their own, each from a seed.
pub trait Backoff: fmt::Debug + Send {
    /// The next wait, jitter included.
    fn next_wait(&mut self) -> Duration;
    /// Starts again with short waits.
    fn reset(&mut self);
}
