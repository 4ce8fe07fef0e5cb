//! The numbers a session is run by.

use std::time::Duration;

/// Everything a session can be tuned by; the defaults are design decisions explained at each field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Bytes of payload in one message; AWS's own clients send 1024.
    pub payload_limit: usize,
    /// A ping is due after this long without a sign of life.
    pub ping_interval: Duration,
    /// A pong is overdue after this long, once the endpoint has ever answered one.
    pub ping_timeout: Duration,
    /// One StartSession or ResumeSession.
    pub call_timeout: Duration,
    /// DNS, TCP, proxy, TLS and upgrade together.
    pub dial_timeout: Duration,
    /// From the first attach until the handshake is done; the agent itself waits 15 s for each answer.
    pub handshake_timeout: Duration,
    /// After an attach the agent must have answered within this, unless a pong has shown that the service is there and only
    /// the agent is silent, which a new websocket cannot mend.
    pub prove_timeout: Duration,
    /// A link that has held this long makes earlier failures forgotten.
    pub link_hold: Duration,
    /// AWS ends a session after so long without input; none: what the account says, else 20 minutes.
    pub session_timeout: Option<Duration>,
    /// AWS ends a session so long after its start; none: what the account says, else never.
    pub max_duration: Option<Duration>,
    /// A session without input for so long is sent something harmless, so that AWS does not end it; none: it is let go.
    pub idle_keepalive: Option<Duration>,
    /// When it is started.
    pub start: StartWhen,
    /// What follows its end.
    pub on_end: OnEnd,
    /// A token never written to a websocket may be used again for this long.
    pub token_reuse: Duration,
    /// After a local half-close, FIN waits until nothing has come back for this long: the agent closes the
    /// destination on FIN, so an early one cuts off a slow answer.
    pub fin_grace: Duration,
    /// A number resent on a live link while later ones are acknowledged, for this long: the session is wedged.
    pub wedged_after: Duration,
    /// Client and handshake version; must look like the plugin's and be above 1.2.331.0, or the agent turns on
    /// smux keepalive and closes idle forwards.
    pub client_version: String,
    /// Bytes from the agent that one local connection may leave untaken before reading stops.
    pub receive_limit_per_stream: usize,
    /// The same for all local connections of the session together.
    pub receive_limit: usize,
    /// What it is for; a session of another kind is ended.
    pub purpose: Purpose,
    /// A session that another client has left, to be taken over in place of a start: its id. Only once, so `once` is due.
    pub adopt: Option<String>,
    /// Numbers beyond the expected one that are overwritten in a session taken over: no client has had more under way.
    pub adopt_sweep: u64,
    /// Started only once: when its AWS session is over, or cannot be started for a reason that waiting alone does not
    /// mend, the session stops.
    pub once: bool,
    /// Bytes of out-of-order messages kept before reading is slowed down; never dropped.
    pub reorder_limit: usize,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Local connections to a port.
    #[default]
    Connections,
    /// A shell, or a command.
    Shell,
}

impl Purpose {
    /// What is said of a session whose websocket is open and whose agent has not been heard yet.
    pub(super) const fn opened(self) -> &'static str {
        match self {
            Self::Connections => "websocket open",
            // There may be no handshake: the first output shows that it is there.
            Self::Shell => "websocket open, waiting for its first output",
        }
    }
}

/// When an AWS session is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartWhen {
    /// As soon as the session is wanted.
    #[default]
    AtOnce,
    /// With the first local connection.
    OnConnect,
}

/// What follows when AWS or the agent has ended a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEnd {
    /// A new session if local connections were or are there, else none until the next one.
    #[default]
    Auto,
    /// A new session.
    Restart,
    /// None until the next local connection.
    Dormant,
    /// Nothing: it is no longer wanted.
    Stop,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            payload_limit: 1024,
            ping_interval: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(30),
            prove_timeout: Duration::from_secs(10),
            link_hold: Duration::from_secs(10),
            session_timeout: None,
            max_duration: None,
            idle_keepalive: None,
            start: StartWhen::default(),
            on_end: OnEnd::default(),
            token_reuse: Duration::from_secs(30),
            fin_grace: Duration::from_secs(10),
            wedged_after: Duration::from_secs(60),
            client_version: "1.2.764.0".to_owned(),
            receive_limit_per_stream: 16 << 20,
            receive_limit: 64 << 20,
            purpose: Purpose::default(),
            adopt: None,
            adopt_sweep: 10_000,
            once: false,
            reorder_limit: 64 << 20,
        }
    }
}
