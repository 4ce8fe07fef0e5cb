//! Exit codes: an interface for scripts and for systemd, so they never change their meaning.

use std::process::ExitCode;

use crate::config::{LoadError, PathError, Refused};
use crate::control::ClientError;
use crate::daemon::DaemonError;
use crate::logging::LoggingError;
use crate::status::{ProxyEnd, ProxyEndKind};

/// For the help of `run`.
pub(super) const OF_RUN: &str = "\
Exit codes:
  0   ended by a signal, all sessions left or terminated
  1   ended at once by a second signal
  2   wrong usage
  69  something it needs is not there: another daemon has the control socket
  78  the configuration is wrong";

/// For the help of `wait`.
pub(super) const OF_WAIT: &str = "\
Exit codes:
  0   the session is in that phase
  1   no session has that name, or not any more
  3   no daemon is running, or it has ended
  4   not in time
  77  not in time, and the session needs a login to AWS";

/// For the help of `reconnect`.
pub(super) const OF_RECONNECT: &str = "\
Exit codes:
  0   it has begun
  1   no session has that name
  3   no daemon is running
  4   the session is stopped";

/// For the help of `proxy`.
pub(super) const OF_PROXY: &str = "\
Exit codes:
  0   one side has closed
  1   AWS refuses: permissions, parameters
  2   there is no such target and no session of that name
  69  the target is offline, or nobody listens on that port
  75  the session or the daemon has ended under it, or there was no network for 30 s
  77  log in to AWS
  78  the configuration is wrong";

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
    // The daemon says the same of a target as a bad request.
    if error.is::<LoggingError>() || error.is::<Refused>() {
        return Exit::Usage;
    }
    Exit::Failure
}
