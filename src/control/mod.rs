//! The control API: HTTP and JSON on a Unix socket that only its owner can use.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | 200 and [`DaemonStatus`] |
//! | `POST /v1/sessions/NAME/reconnect` | 202; 404 when there is no such session |
//!
//! Every other answer than a 2xx carries [`Refusal`]. By hand:
//! `curl --unix-socket $XDG_RUNTIME_DIR/autossm/control.sock http://autossm/v1/status`
//!
//! The daemon binds a [`ControlSocket`], implements [`ControlHandle`] and runs [`serve`]; the commands use [`Client`].

mod client;
mod server;
mod socket;

#[cfg(test)]
mod tests;

use std::future::Future;

use serde::{Deserialize, Serialize};

pub use client::{Client, ClientError};
pub use server::serve;
pub use socket::{BindError, ControlSocket};

use crate::status::DaemonStatus;

/// What the control API can ask of the daemon.
pub trait ControlHandle: Clone + Send + Sync + 'static {
    /// The daemon and all its sessions now.
    fn status(&self) -> impl Future<Output = DaemonStatus> + Send;

    /// Drops the session's websocket, if it has one, and re-attaches at once, without waiting.
    ///
    /// # Errors
    /// No session has this name.
    fn reconnect(&self, name: &str) -> impl Future<Output = Result<(), UnknownSession>> + Send;
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
    /// A sentence for people.
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
}
