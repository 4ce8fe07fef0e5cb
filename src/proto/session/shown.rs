//! `Debug` of what holds tokens, signed addresses or the bytes of users: it says how much there is, never what.

use std::fmt;

use super::{Command, Event, Grant, Inbound, Live, ResumeGrant, Session, Transmit};

/// An address without its query, which may hold a signature or a token.
struct WithoutQuery<'a>(&'a str);

impl fmt::Debug for WithoutQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split(['?', '#']).next().unwrap_or_default();
        write!(f, "{shown:?}")
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("session_id", &self.session_id)
            .field("stream_url", &WithoutQuery(&self.stream_url))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResumeGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeGrant")
            .field("token", &self.token)
            .field("stream_url", &self.stream_url.as_deref().map(WithoutQuery))
            .finish()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { attempt, due } => write!(f, "Start({attempt:?} by {due:?})"),
            Self::Resume {
                attempt,
                due,
                session_id,
            } => write!(f, "Resume({attempt:?} by {due:?}, {session_id:?})"),
            Self::FetchKey {
                attempt,
                session_id,
                wanted,
            } => write!(f, "FetchKey({attempt:?}, {session_id:?}, {wanted:?})"),
            Self::ReadPreferences => f.write_str("ReadPreferences"),
            Self::Dial {
                attempt,
                epoch,
                stream_url,
            } => write!(f, "Dial({attempt:?}, {epoch:?}, {:?})", WithoutQuery(stream_url)),
            Self::Abandon { attempt } => write!(f, "Abandon({attempt:?})"),
            Self::Close { epoch } => write!(f, "Close({epoch:?})"),
            Self::Terminate { session_id } => write!(f, "Terminate({session_id:?})"),
        }
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Ping(_) => f.write_str("Ping"),
        }
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Pong(_) => f.write_str("Pong"),
            Self::Other => f.write_str("Other"),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase { from, to, cause } => write!(f, "Phase({from} -> {to}: {cause:?})"),
            Self::Data { local, bytes } => write!(f, "Data({local:?}, {} bytes)", bytes.len()),
            Self::StdErr { local, bytes } => write!(f, "StdErr({local:?}, {} bytes)", bytes.len()),
            Self::Exit { local, code } => write!(f, "Exit({local:?}, {code})"),
            Self::Finished { local } => write!(f, "Finished({local:?})"),
            Self::Reset { local, cause } => write!(f, "Reset({local:?}, {cause:?})"),
            Self::Room { local } => write!(f, "Room({local:?})"),
        }
    }
}

/// Without the backlog, the reorder buffer and the streams, which hold what users send.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("phase", &self.phase)
            .field("cause", &self.cause)
            .field("work", &self.work)
            .field("live", &self.live)
            .field("waiting", &self.waiting)
            .field("figures", &self.figures)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("session_id", &self.session_id)
            .field("stream_url", &WithoutQuery(&self.stream_url))
            .field("token", &self.token)
            .field("handshake", &self.channel.handshake())
            .field("streams", &self.workload.len())
            .finish_non_exhaustive()
    }
}
