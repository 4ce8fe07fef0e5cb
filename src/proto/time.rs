//! Points in time, given to the core from outside.

use std::fmt;
use std::time::Duration;

/// A point on the boot-time clock, which counts the machine's sleep: nanoseconds since an origin the shell chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The point that many nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point this long before; none before the origin.
    pub fn checked_before(self, lead: Duration) -> Option<Self> {
        let nanos = u64::try_from(lead.as_nanos()).ok()?;
        self.0.checked_sub(nanos).map(Self)
    }

    /// The point `wait` later; the end of time when that is beyond it.
    pub fn after(self, wait: Duration) -> Self {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// A deadline with the reason it exists, so that a timer that fires too often is found from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// When `handle_timeout` is due.
    pub at: Timestamp,
    /// What it will do.
    pub reason: Reason,
}

/// Why a [`Wakeup`] was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The wait between two attempts is over.
    Retry,
    /// An attempt's call or dial has taken too long.
    AttemptTimeout,
    /// The handshake has taken longer than the agent waits for it.
    HandshakeTimeout,
    /// The gap after the handshake is over.
    HandshakeGap,
    /// A ping is due.
    Ping,
    /// A pong is overdue.
    PongTimeout,
    /// The backlog does not move: probe.
    BacklogProbe,
    /// The oldest unacknowledged message is sent again.
    Retransmit,
    /// A held-back FIN goes out.
    FinGrace,
    /// The session does not make progress although the link lives.
    Wedged,
    /// An idle session is kept from idling out.
    Keepalive,
    /// The next call of an account may go out.
    Turn,
}

/// The earlier of two optional wake-ups.
pub(crate) fn earliest(a: Option<Wakeup>, b: Option<Wakeup>) -> Option<Wakeup> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
        (a, b) => a.or(b),
    }
}
