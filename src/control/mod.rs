//! The control API: HTTP and JSON on a Unix socket that only its owner can use.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | 200 and [`DaemonStatus`] |
//! | `GET /v1/sessions/NAME` | 200 and [`SessionStatus`] |
//! | `GET /v1/sandbox` | 200 and [`Sandbox`] |
//! | `GET /v1/events` | 200 and one [`EventLine`] a line, without an end |
//! | `POST /v1/sessions/NAME/{reconnect,restart,start,stop}` | 202: it has begun; `{"outcome": "begun"}`, or `already_running`, `ended` |
//! | `POST /v1/reconnect` | 202: all sessions that are neither stopped nor dormant; `{"sessions": 2}` |
//! | `POST /v1/reload` | 200 and [`ReloadStatus`]; 422 when the configuration is wrong, which changes nothing |
//! | `POST /v1/proxy` with [`ProxyRequest`], `Upgrade: autossm-proxy` | 101 and the bytes of one connection; `Autossm-Session` names its session |
//! | `GET /v1/proxy/NAME` | 200 and [`ProxyEnd`], once, when that connection is over |
//! | `POST /v1/attach` with [`AttachRequest`], `Upgrade: autossm-attach` | 101 and the frames of a terminal; `Autossm-Session` names its session |
//! | `PUT /v1/log-level` with `{"level": "debug"}` | 204 |
//!
//! Every other answer than a 2xx carries [`Refusal`]; 404 when there is no such session, 409 when it is stopped. By hand:
//! `curl --unix-socket $XDG_RUNTIME_DIR/autossm/control.sock http://autossm/v1/status`
//!
//! The daemon binds a [`ControlSocket`], implements [`ControlHandle`] and runs [`serve`]; the commands use [`Client`].

mod attach;
mod client;
mod error;
mod follow;
mod places;
mod proxy;
mod routes;
mod server;
mod socket;
mod stall;
mod stream;

#[cfg(test)]
mod event_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod proxy_tests;
#[cfg(test)]
mod tests;

use std::future::Future;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

pub use attach::AttachRequest;
pub use client::Client;
pub use error::ClientError;
pub use follow::Events;
pub use proxy::{OpenProxy, Proxied, ProxyError, ProxyRequest, Whose};
pub use server::serve;
pub use socket::{BindError, ControlSocket};

use crate::status::{DaemonStatus, EventLine, ProxyEnd, ReloadStatus, Sandbox, SessionStatus};
pub use crate::supervisor::Order;

/// What the control API can ask of the daemon.
pub trait ControlHandle: Clone + Send + Sync + 'static {
    /// The daemon and all its sessions now.
    fn status(&self) -> impl Future<Output = DaemonStatus> + Send;

    /// Which protections the daemon has.
    fn sandbox(&self) -> impl Future<Output = Sandbox> + Send;

    /// One session now; none when no session has this name.
    fn session(&self, name: &str) -> impl Future<Output = Option<SessionStatus>> + Send;

    /// Gives an order to a session; it has only begun when this returns.
    ///
    /// # Errors
    /// [`OrderError`].
    fn order(&self, name: &str, order: Order) -> impl Future<Output = Result<Ordered, OrderError>> + Send;

    /// Gives an order to all sessions that are neither stopped nor dormant; how many have begun it.
    fn order_all(&self, order: Order) -> impl Future<Output = usize> + Send;

    /// Reads the configuration again; what it changes has been done when this returns.
    ///
    /// # Errors
    /// The configuration is wrong, and nothing has changed; or the daemon ends.
    fn reload(&self) -> impl Future<Output = Result<ReloadStatus, ReloadError>> + Send;

    /// Makes a session for one connection.
    ///
    /// # Errors
    /// [`ProxyError`].
    fn proxy(&self, request: ProxyRequest) -> impl Future<Output = Result<OpenProxy, ProxyError>> + Send;

    /// Finds a shell to look at, or makes one.
    ///
    /// # Errors
    /// [`ProxyError`].
    fn attach(&self, request: AttachRequest) -> impl Future<Output = Result<OpenProxy, ProxyError>> + Send;

    /// How the connection of that session ended; told once.
    fn proxy_end(&self, session: &str) -> Option<ProxyEnd>;

    /// Changes what is logged.
    ///
    /// # Errors
    /// It is no level, and why.
    fn set_log_level(&self, level: &str) -> Result<(), String>;

    /// Everything that happens from now on.
    fn subscribe(&self) -> Subscription;
}

/// A reader of events.
#[derive(Debug)]
pub struct Subscription {
    /// Whose events, and how things are now.
    pub first: Vec<EventLine>,
    /// What follows.
    pub rest: broadcast::Receiver<EventLine>,
}

/// Why the configuration is not another one now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// It is wrong; these are its problems.
    #[error("{0}")]
    Wrong(String),
    /// The daemon ends.
    #[error("the daemon is stopping")]
    Stopping,
}

/// What has become of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordered {
    /// It has begun.
    #[default]
    Begun,
    /// There was nothing to start.
    AlreadyRunning,
    /// The session's one connection cannot be brought again, so it ends instead.
    Ended,
}

/// The body of an order's 202.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct OrderedBody {
    outcome: Ordered,
}

/// The body of the 202 to an order to all sessions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct OrderedAllBody {
    /// How many have begun it.
    sessions: usize,
}

/// Why an order is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No session has this name.
    #[error(transparent)]
    Unknown(#[from] UnknownSession),
    /// The session was stopped.
    #[error("session `{name}` is stopped; `autossm start {name}` starts it")]
    Stopped {
        /// The session.
        name: String,
    },
    /// The session ends, and the daemon or its configuration has it no more.
    #[error("session `{name}` is ending; it takes no orders any more")]
    Ending {
        /// The session.
        name: String,
    },
}

/// No session has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no session `{}`; `autossm status` lists those there are", .name.escape_debug())]
pub struct UnknownSession {
    /// The name that was asked for.
    pub name: String,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One word for programs.
    pub error: RefusalKind,
    /// A sentence for people; the problems of a configuration are several.
    pub message: String,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// 404: no session has that name.
    UnknownSession,
    /// 404: the API has no such path.
    UnknownPath,
    /// 405: the path is there, this method is not.
    WrongMethod,
    /// 409: the session is in a phase in which that cannot be done.
    WrongPhase,
    /// 400: the request's body is not what this path takes.
    BadRequest,
    /// 413: the request's body is longer than any this API takes.
    TooLong,
    /// 422: the configuration is wrong; the one before stays in force.
    BadConfiguration,
    /// 503: too many read events already.
    TooManyReaders,
    /// 503: too many connections are proxied already.
    TooManyProxies,
    /// 503: the daemon ends.
    Stopping,
}

/// The body of `PUT /v1/log-level`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    level: String,
}
