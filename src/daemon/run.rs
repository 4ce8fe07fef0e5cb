//! The daemon's own loop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use autossm_proto::session::Phase;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::DaemonError;
use super::notify;
use super::registry::{Entry, Registry};
use super::signals::Signals;
use crate::aws::ControlPlanes;
use crate::clock::Clock;
use crate::config::Settings;
use crate::control::{self, ControlSocket};
use crate::supervisor::{Keeper, PhaseBoard, Resources};
use crate::transport::{Dialer, client_config};

/// The longest orderly stop: a session's own limit and some time for what follows it.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// What the daemon is told besides its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the control socket is to be.
    pub socket: PathBuf,
}

/// Holds the sessions of `settings` until SIGTERM or SIGINT, then terminates them.
///
/// A port that is taken, a missing login, a network that is down: all that is a session's own matter, shown in its
/// status and tried again; it does not end the daemon.
///
/// # Errors
/// [`DaemonError`]: what no session can do without is missing, or a second signal cut the end short.
pub async fn run(settings: Settings, options: Options) -> Result<(), DaemonError> {
    let signals = Signals::listen().map_err(DaemonError::Signals)?;
    let socket = ControlSocket::bind(&options.socket)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        control_socket = %options.socket.display(),
        "holding {} {}",
        settings.sessions.len(),
        if settings.sessions.len() == 1 { "session" } else { "sessions" },
    );
    raise_file_limit();
    let mut daemon = Daemon::start(settings, signals, socket)?;
    let signal = daemon.hold().await;
    daemon.stop(signal).await
}

#[derive(Debug)]
struct Daemon {
    signals: Signals,
    registry: Registry,
    /// One keeper each.
    sessions: JoinSet<()>,
    phases: watch::Receiver<Vec<Phase>>,
    /// Closed once all listeners have been tried; none from then on.
    listening: Option<mpsc::Receiver<()>>,
    /// The control server.
    control: JoinSet<()>,
    control_end: CancellationToken,
}

/// What happened.
#[derive(Debug)]
enum Happening {
    Signal(&'static str),
    Listening,
    Phases,
    SessionEnded(Result<(), JoinError>),
    ControlEnded(Result<(), JoinError>),
}

impl Daemon {
    fn start(settings: Settings, signals: Signals, socket: ControlSocket) -> Result<Self, DaemonError> {
        let tls = client_config()?;
        let mut seeds = StdRng::try_from_rng(&mut SysRng)?;
        let board = PhaseBoard::new(settings.sessions.len());
        let phases = board.watch();
        let mut planes = ControlPlanes::new(Clock);
        let (listening_sender, listening) = mpsc::channel(1);
        let mut sessions = JoinSet::new();
        let mut entries = Vec::new();
        for (index, session) in settings.sessions.into_iter().enumerate() {
            let resources = Resources {
                clock: Clock,
                control: planes.control_plane(&session),
                dialer: Dialer::new(Arc::clone(&tls), planes.signer(&session)),
                phases: board.slot(index),
                seeds: StdRng::from_rng(&mut seeds),
            };
            let (keeper, handle) = Keeper::new(session.clone(), resources);
            sessions.spawn(keeper.run(listening_sender.clone()));
            entries.push(Entry {
                settings: session,
                handle,
            });
        }
        let registry = Registry::new(entries);
        let control_end = CancellationToken::new();
        let mut control = JoinSet::new();
        control.spawn(control::serve(socket, registry.clone(), control_end.clone()));
        Ok(Self {
            signals,
            registry,
            sessions,
            phases,
            listening: Some(listening),
            control,
            control_end,
        })
    }

    /// Returns with the name of the signal that asks for the end.
    async fn hold(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Happening::Signal(name) => return name,
                Happening::Listening => {
                    self.listening = None;
                    notify::ready(&self.phases.borrow_and_update());
                }
                Happening::Phases => {
                    let phases = self.phases.borrow_and_update();
                    // Before READY the line would claim more than is true.
                    if self.listening.is_none() {
                        notify::status(&phases);
                    }
                }
                Happening::SessionEnded(Ok(())) => {
                    tracing::error!("a session's task ended unasked; restart autossm to hold it again");
                }
                Happening::SessionEnded(Err(error)) => {
                    tracing::error!(%error, "a session's task failed; restart autossm to hold it again");
                }
                Happening::ControlEnded(ended) => {
                    tracing::error!(
                        ?ended,
                        "the control socket's server failed; sessions go on, restart autossm to reach them",
                    );
                }
            }
        }
    }

    async fn next(&mut self) -> Happening {
        let listening = async {
            match &mut self.listening {
                // Nobody sends: the end of the channel is the message.
                Some(listening) => listening.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            name = self.signals.next() => Happening::Signal(name),
            _ = listening => Happening::Listening,
            Ok(()) = self.phases.changed() => Happening::Phases,
            Some(ended) = self.sessions.join_next() => Happening::SessionEnded(ended),
            Some(ended) = self.control.join_next() => Happening::ControlEnded(ended),
        }
    }

    /// Terminates all sessions and resets their local connections; a second signal ends it at once.
    async fn stop(mut self, signal: &'static str) -> Result<(), DaemonError> {
        notify::stopping();
        tracing::info!(
            "{signal}: terminating {} sessions; a second signal stops at once",
            self.registry.len(),
        );
        let stopped = async {
            self.registry.stop().await;
            while self.sessions.join_next().await.is_some() {}
        };
        tokio::select! {
            biased;
            _ = self.signals.next() => return Err(DaemonError::Forced),
            stopped = tokio::time::timeout(STOP_TIMEOUT, stopped) => if stopped.is_err() {
                tracing::warn!("not all sessions ended in time; those live on until they time out");
            },
        }
        self.control_end.cancel();
        while self.control.join_next().await.is_some() {}
        tracing::info!("stopped");
        Ok(())
    }
}

/// Allows as many open files as we may have: each local connection is one, and the usual 1024 are soon used up.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}
