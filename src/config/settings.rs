//! The validated configuration: immutable, complete, every default filled in.

use std::net::SocketAddr;
use std::path::PathBuf;

use autossm_proto::session::{OnEnd, SessionConfig, StartWhen};

/// All the daemon is told by its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// In the order of their names.
    pub sessions: Vec<SessionSettings>,
    /// What a session that no file names is made of.
    pub defaults: Defaults,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Notices on the desktop.
    pub notify: NotifySettings,
}

/// `[defaults]`, as far as it matters for sessions that are made on demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The profile of AWS's shared configuration.
    pub profile: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Another endpoint for the `ssm` service.
    pub endpoint_url: Option<String>,
    /// Timings and limits of the protocol.
    pub protocol: SessionConfig,
    /// The waits between attempts.
    pub backoff: BackoffSettings,
}

/// One session to keep alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// The NAME of `[session.NAME]`.
    pub name: String,
    /// An instance id, `mi-...`, `ecs:...`, or `tag:KEY=VALUE`, which is looked up at each start.
    pub target: String,
    /// The port forward it carries; none for a shell.
    pub forward: Option<ForwardSettings>,
    /// The shell it carries; none for a forward.
    pub shell: Option<ShellSettings>,
    /// It was made for somebody who asked for it, and is in no configuration.
    pub on_demand: bool,
    /// The profile of AWS's shared configuration; none means the SDK's own choice.
    pub profile: Option<String>,
    /// The region; none means the SDK's own choice.
    pub region: Option<String>,
    /// Another endpoint for the `ssm` service: a VPC endpoint, or a simulator.
    pub endpoint_url: Option<String>,
    /// Shown in the account's session history.
    pub reason: Option<String>,
    /// What becomes of it when the daemon is told to stop.
    pub on_exit: OnExit,
    /// Timings and limits of the protocol.
    pub protocol: SessionConfig,
    /// The waits between attempts.
    pub backoff: BackoffSettings,
}

impl SessionSettings {
    /// Whether it carries the one connection of an `autossm proxy`.
    pub fn is_proxied(&self) -> bool {
        let forward = self.forward.as_ref();
        forward.is_some_and(|forward| forward.document == Document::Ssh)
    }
}

/// A shell, or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellSettings {
    /// The document to start it with; none means the account's shell.
    pub document: Option<String>,
    /// What the document is given.
    pub parameters: Vec<(String, Vec<String>)>,
    /// Lines kept above the screen.
    pub scrollback: usize,
    /// It ends when nobody looks at it any more, as a command does.
    pub attended: bool,
}

/// Lines kept above the screen, if nobody says otherwise.
pub const SCROLLBACK: usize = 10_000;

impl Default for ShellSettings {
    fn default() -> Self {
        Self {
            document: None,
            parameters: Vec::new(),
            scrollback: SCROLLBACK,
            attended: false,
        }
    }
}

/// What becomes of a session when the daemon is told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExit {
    /// It is left as it is; AWS ends it when its time is over.
    #[default]
    Detach,
    /// It is terminated.
    Terminate,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// The least important lines that are written.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// `[notify]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifySettings {
    /// Whether there are notices on the desktop, where there is one.
    pub desktop: bool,
    /// A session that is away for so long is worth one.
    pub lost_after: std::time::Duration,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self {
            desktop: true,
            lost_after: std::time::Duration::from_secs(5 * 60),
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs repair.
    Error,
    /// What may need repair.
    Warn,
    /// Each change a user can notice.
    #[default]
    Info,
    /// The steps behind them.
    Debug,
    /// Each message.
    Trace,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// What suits where the log goes.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// When a session is started, as it is written in the configuration.
pub(super) const START_WORDS: &[(&str, StartWhen)] =
    &[("at-once", StartWhen::AtOnce), ("on-connect", StartWhen::OnConnect)];

/// What follows a session's end, as it is written in the configuration.
pub(super) const ON_END_WORDS: &[(&str, OnEnd)] = &[
    ("auto", OnEnd::Auto),
    ("restart", OnEnd::Restart),
    ("dormant", OnEnd::Dormant),
    ("stop", OnEnd::Stop),
];

impl OnExit {
    /// Each, as it is written in the configuration.
    pub const WORDS: &'static [(&'static str, Self)] = &[("detach", Self::Detach), ("terminate", Self::Terminate)];
}

impl LogLevel {
    /// Each, as it is written in the configuration.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl LogFormat {
    /// Each, as it is written in the configuration.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json)];
}

/// Where local connections come in and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardSettings {
    /// One or more; `localhost:PORT` becomes both families.
    pub listen: Vec<Listen>,
    /// The host behind the target; none means the target itself.
    pub host: Option<String>,
    /// The destination's port.
    pub port: u16,
    /// Permission to listen beyond loopback.
    pub allow_remote_clients: bool,
    /// Which of AWS's documents carries it.
    pub document: Document,
}

/// Which of AWS's documents a session is started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Document {
    /// AWS-StartPortForwardingSession, or the one to a remote host.
    #[default]
    PortForwarding,
    /// AWS-StartSSHSession: one connection, brought by `autossm proxy`, and no listener.
    Ssh,
}

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// A TCP address; port 0 lets the kernel choose, status says what it chose.
    Tcp(SocketAddr),
    /// `localhost:PORT`: 127.0.0.1 and, where the machine has it, ::1, on the same port.
    Localhost(u16),
    /// A Unix socket, mode 0600.
    Unix(PathBuf),
}

/// The envelope of the exponential backoff; full jitter is drawn below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackoffSettings {
    /// The first wait's upper bound.
    pub initial: std::time::Duration,
    /// Growth per attempt; above 1.
    pub multiplier: f64,
    /// No wait is longer.
    pub cap: std::time::Duration,
}

impl Eq for BackoffSettings {}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            initial: std::time::Duration::from_millis(100),
            multiplier: 2.0,
            cap: std::time::Duration::from_secs(15),
        }
    }
}
