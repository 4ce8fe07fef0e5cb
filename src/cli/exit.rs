//! Exit codes: an interface for scripts and for systemd, so they never change their meaning.

use std::process::ExitCode;

use crate::config::{LoadError, PathError};
use crate::control::ClientError;
use crate::daemon::DaemonError;
use crate::logging::LoggingError;
use crate::status::{ProxyEnd, ProxyEndKind};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed in a way no other code says.
    Failure,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: no daemon is running.
    NoDaemon,
    /// 4: the session is not in that phase.
    WrongPhase,
    /// 69 (EX_UNAVAILABLE): something autossm needs is not there.
    Unavailable,
    /// 75 (EX_TEMPFAIL): failed for now.
    Temporary,
    /// 77 (EX_NOPERM): the session needs a login to AWS.
    LoginNeeded,
    /// 78 (EX_CONFIG): the configuration is wrong.
    Configuration,
    /// What the daemon says about its own end.
    Daemon(u8),
    /// That of a command on a target; 255: it is not known.
    Command(u8),
}

impl Exit {
    /// Of a command whose connection to a session has ended so.
    pub(super) const fn of_end(end: &ProxyEnd) -> Self {
        if end.is_clean() {
            return Self::Done;
        }
        match end.end {
            ProxyEndKind::Closed | ProxyEndKind::Lost | ProxyEndKind::Unreachable | ProxyEndKind::Stopped => {
                Self::Temporary
            }
            ProxyEndKind::Refused | ProxyEndKind::TargetOffline => Self::Unavailable,
            ProxyEndKind::LoginNeeded => Self::LoginNeeded,
            ProxyEndKind::Denied | ProxyEndKind::Rejected => Self::Failure,
        }
    }

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NoDaemon => 3,
            Self::WrongPhase => 4,
            Self::Unavailable => 69,
            Self::Temporary => 75,
            Self::LoginNeeded => 77,
            Self::Configuration => 78,
            Self::Daemon(code) | Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The exit code of an error a command has ended with.
pub(super) fn of(error: &anyhow::Error) -> Exit {
    if error.is::<LoadError>() {
        return Exit::Configuration;
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return match error {
            ClientError::NoDaemon { .. } => Exit::NoDaemon,
            ClientError::NotAllowed { .. } | ClientError::Stranger { .. } | ClientError::Broken { .. } => {
                Exit::Unavailable
            }
            ClientError::Timeout { .. } | ClientError::Busy { .. } => Exit::Temporary,
            ClientError::WrongPhase { .. } => Exit::WrongPhase,
            ClientError::BadRequest { .. } => Exit::Usage,
            ClientError::BadConfiguration { .. } => Exit::Configuration,
            ClientError::Refused { .. } | ClientError::UnknownSession(_) => Exit::Failure,
        };
    }
    if let Some(error) = error.downcast_ref::<DaemonError>() {
        return Exit::Daemon(error.exit_code());
    }
    if error.is::<PathError>() {
        return Exit::Unavailable;
    }
    if error.is::<LoggingError>() {
        return Exit::Usage;
    }
    Exit::Failure
}
