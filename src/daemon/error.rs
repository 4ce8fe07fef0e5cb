//! Why the daemon could not run, or not end well.

use std::io;

use crate::control::BindError;

/// Ends the daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The control socket is not ours to have.
    #[error(transparent)]
    Control(#[from] BindError),
    /// The system does not let us listen to signals.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// The connection that was to be held cannot be.
    #[error("cannot use the connection")]
    Connection(#[source] io::Error),
    /// No TLS, no sessions.
    #[error("cannot set up TLS; this is a bug in how autossm was built")]
    Tls(#[from] rustls::Error),
    /// The system has no random numbers.
    #[error("the system gives no random numbers, which sessions need for their ids")]
    Randomness(#[from] rand::rngs::SysError),
    /// A second signal came before the sessions had been terminated.
    #[error("stopped at once by a second signal; sessions that were not terminated yet live on until they time out")]
    Forced,
}

impl DaemonError {
    /// The exit code, an interface for systemd: 1 when we were told to hurry, 69 (EX_UNAVAILABLE) when something the
    /// daemon needs is not there.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Forced => 1,
            Self::Control(_) | Self::Signals(_) | Self::Connection(_) | Self::Tls(_) | Self::Randomness(_) => 69,
        }
    }
}
