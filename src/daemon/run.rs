//! The daemon's own loop.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use autossm_proto::session::NetworkChange;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::desktop::Desktop;
use super::heart::{Beat, Heart};
use super::log::LogControl;
use super::machine::Machine;
use super::notices::Plan;
use super::registry::{Asked, Entry, ProxyAsked, Registry, ReloadAnswer};
use super::reload::Step;
use super::signals::{Signals, Wish};
use super::{DaemonError, notify, sandbox};
use crate::aws::ControlPlanes;
use crate::clock::Clock;
use crate::config::{Environment, SessionSettings, Settings};
use crate::control::{self, ControlHandle, ControlSocket, Order};
use crate::endpoint::Inherited;
use crate::status::Event;
use crate::supervisor::{END_TIMEOUT, Ending, Keeper, NetworkBoard, PhaseBoard, Resources, Shown};
use crate::transport::{Dialer, Proxies, Roots, client_config};

/// What the daemon is told besides its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the control socket is to be.
    pub socket: PathBuf,
    /// The configuration that was named; none for the usual places. Read again at a reload.
    pub config: Option<PathBuf>,
    /// Where the usual places are.
    pub environment: Environment,
    /// Changes what is logged.
    pub log: Arc<dyn LogControl>,
    /// Sockets that the service manager has opened for sessions.
    pub inherited: Inherited,
}

/// Holds the sessions of `settings` until SIGTERM or SIGINT, then leaves or terminates them as they say.
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
        name: "daemon_started",
        version = env!("CARGO_PKG_VERSION"),
        control_socket = %options.socket.display(),
        "holding {}",
        sessions(settings.sessions.len()),
    );
    raise_file_limit();
    tell_of_useless_sockets(&options.inherited, &settings);
    let mut daemon = Daemon::start(settings, options, signals, socket)?;
    let (signal, ending) = daemon.hold().await;
    daemon.stop(signal, ending).await
}

#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) options: Options,
    /// In force now.
    pub(super) settings: Settings,
    signals: Signals,
    pub(super) registry: Registry,
    pub(super) board: PhaseBoard,
    maker: Maker,
    /// One keeper each; they return their sessions' names.
    sessions: JoinSet<String>,
    /// Sessions whose keepers have been told to end.
    pub(super) ending: BTreeSet<String>,
    pub(super) phases: watch::Receiver<Shown>,
    pub(super) heart: Heart,
    /// What the service manager's status line says.
    pub(super) told: String,
    /// Closed once all listeners have been tried; none from then on.
    pub(super) listening: Option<mpsc::Receiver<()>>,
    /// The step of a reload that is under way.
    pub(super) reloading: JoinSet<Happening>,
    asked: Asked,
    /// Sessions on demand made so far; their names have the number.
    pub(super) on_demand: u64,
    /// Their connections, on the way to them; what has arrived is reaped when the next one is made.
    pub(super) bringing: JoinSet<()>,
    /// SIGHUP came while a reload was under way.
    reload_again: bool,
    machine: Machine,
    pub(super) desktop: Desktop,
    /// The control server.
    control: JoinSet<()>,
    control_end: CancellationToken,
}

/// Makes sessions.
#[derive(Debug)]
pub(super) struct Maker {
    tls: Arc<ClientConfig>,
    proxies: Proxies,
    seeds: StdRng,
    network: NetworkBoard,
    planes: ControlPlanes,
    /// Held until the first sessions have been made.
    listening: Option<mpsc::Sender<()>>,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Happening {
    Signal(Wish),
    Listening,
    Phases,
    Beat(Beat),
    Network(NetworkChange),
    ReloadAsked(oneshot::Sender<ReloadAnswer>),
    ProxyAsked(ProxyAsked),
    Reload(Step),
    ReloadFailed(JoinError),
    SessionEnded(Result<String, JoinError>),
    ControlEnded(Result<(), JoinError>),
}

impl Daemon {
    fn start(
        settings: Settings,
        options: Options,
        signals: Signals,
        socket: ControlSocket,
    ) -> Result<Self, DaemonError> {
        let board = PhaseBoard::new(Clock);
        let (listening_sender, listening) = mpsc::channel(1);
        let (roots, proxies) = (Roots::of_process(), Proxies::from_process());
        let maker = Maker {
            tls: client_config(&roots)?,
            proxies: proxies.clone(),
            seeds: StdRng::try_from_rng(&mut SysRng)?,
            network: NetworkBoard::default(),
            planes: ControlPlanes::new(Clock, roots, proxies),
            listening: Some(listening_sender),
        };
        let (registry, asked) = Registry::new(Clock, board.clone(), &options);
        let control_end = CancellationToken::new();
        let desktop = Desktop::start(&board, Plan::of(&settings));
        let mut daemon = Self {
            options,
            settings,
            signals,
            registry: registry.clone(),
            phases: board.watch(),
            desktop,
            heart: Heart::new(sd_notify::watchdog_enabled()),
            told: String::new(),
            board,
            maker,
            sessions: JoinSet::new(),
            ending: BTreeSet::new(),
            listening: Some(listening),
            reloading: JoinSet::new(),
            asked,
            on_demand: 0,
            bringing: JoinSet::new(),
            reload_again: false,
            machine: Machine::watch(Clock),
            control: JoinSet::new(),
            control_end: control_end.clone(),
        };
        let first = daemon.settings.sessions.clone();
        let entries = first.into_iter().map(|session| daemon.start_session(session)).collect();
        daemon.maker.listening = None;
        daemon.registry.replace(entries);
        daemon.control.spawn(control::serve(socket, registry, control_end));
        Ok(daemon)
    }

    /// Holds one more session.
    pub(super) fn start_session(&mut self, session: SessionSettings) -> Entry {
        sandbox::tell_of_hidden_sockets(&session);
        let maker = &mut self.maker;
        let resources = Resources {
            clock: Clock,
            control: maker.planes.control_plane(&session),
            dialer: Dialer::new(
                Arc::clone(&maker.tls),
                maker.proxies.clone(),
                maker.planes.signer(&session),
            ),
            network: maker.network.clone(),
            phases: self.board.slot(&session.name),
            ends: self.registry.ends.clone(),
            inherited: self.options.inherited.clone(),
            seeds: StdRng::from_rng(&mut maker.seeds),
        };
        // Only the first sessions are waited for; nobody listens to the sender of a later one.
        let listening = maker.listening.clone().unwrap_or_else(|| mpsc::channel(1).0);
        let (keeper, handle) = Keeper::new(session.clone(), resources);
        self.sessions.spawn(keeper.run(listening));
        Entry {
            settings: Arc::new(session),
            handle,
        }
    }

    /// Returns with the name of the signal that asks for the end, and what is to become of all sessions if it says so.
    async fn hold(&mut self) -> (&'static str, Option<Ending>) {
        loop {
            match self.next().await {
                Happening::Signal(Wish::End(name)) => return (name, None),
                Happening::Signal(Wish::Terminate(name)) => return (name, Some(Ending::Terminate)),
                Happening::Signal(Wish::Reload) if self.reloading.is_empty() => self.begin_reload(None),
                Happening::Signal(Wish::Reload) => self.reload_again = true,
                Happening::Signal(Wish::Reconnect) => {
                    let registry = self.registry.clone();
                    // Answers within a second; sessions that are slow do it later.
                    registry.order_all(Order::Reconnect).await;
                }
                Happening::Listening => {
                    self.listening = None;
                    self.notify_ready();
                }
                Happening::Phases => self.show_status(),
                Happening::Beat(beat) => self.beat(beat),
                Happening::Network(change) => {
                    let what = "every session looks whether its connection lives, or tries again now";
                    if change == NetworkChange::Link {
                        // Each container that starts or stops is one.
                        tracing::debug!("{change}: {what}");
                    } else {
                        tracing::info!("{change}: {what}");
                    }
                    self.maker.planes.renew();
                    self.maker.network.tell(change);
                }
                Happening::ReloadAsked(asker) => self.begin_reload(Some(asker)),
                Happening::ProxyAsked(asked) => self.answer_proxy(asked),
                Happening::Reload(step) => self.go_on_reloading(step),
                Happening::ReloadFailed(error) => {
                    tracing::error!(%error, "the reload failed inside, so nothing has changed; please report this");
                    self.notify_ready();
                }
                Happening::SessionEnded(ended) => self.session_ended(ended),
                Happening::ControlEnded(ended) => {
                    tracing::error!(
                        ?ended,
                        "the control socket's server failed; sessions go on, restart autossm to reach them",
                    );
                }
            }
            if self.reload_again && self.reloading.is_empty() {
                self.reload_again = false;
                self.begin_reload(None);
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
        let idle = self.reloading.is_empty();
        tokio::select! {
            biased;
            wish = self.signals.next() => Happening::Signal(wish),
            _ = listening => Happening::Listening,
            Ok(()) = self.phases.changed() => Happening::Phases,
            beat = self.heart.next() => Happening::Beat(beat),
            change = self.machine.next() => Happening::Network(change),
            Some(step) = self.reloading.join_next() => step.unwrap_or_else(Happening::ReloadFailed),
            Some(asker) = self.asked.reloads.recv(), if idle => Happening::ReloadAsked(asker),
            Some(asked) = self.asked.proxies.recv() => Happening::ProxyAsked(asked),
            Some(ended) = self.sessions.join_next() => Happening::SessionEnded(ended),
            Some(ended) = self.control.join_next() => Happening::ControlEnded(ended),
        }
    }

    fn session_ended(&mut self, ended: Result<String, JoinError>) {
        match ended {
            Ok(session) if self.ending.remove(&session) => tracing::debug!(session, "ended"),
            Ok(session) if self.forget_on_demand(&session) => tracing::debug!(session, "ended with its connection"),
            Ok(session) => {
                tracing::error!(
                    session,
                    "the session's task ended unasked; restart autossm to hold it again"
                );
            }
            Err(error) => {
                tracing::error!(%error, "a session's task failed; restart autossm to hold it again");
            }
        }
    }

    /// Ends all sessions and resets their local connections; a second signal ends it at once.
    async fn stop(mut self, signal: &'static str, ending: Option<Ending>) -> Result<(), DaemonError> {
        notify::stopping();
        let signal_name = signal.to_owned();
        self.board.announce(Event::Stopping { signal: signal_name });
        // Who waits for a reload is told that there will be none.
        self.asked.reloads.close();
        self.asked.proxies.close();
        self.reloading.abort_all();
        tracing::info!(
            "{signal}: stopping {}; a second signal stops at once",
            sessions(self.registry.entries().len()),
        );
        let stopped = async {
            self.registry.end(ending).await;
            while self.sessions.join_next().await.is_some() {}
        };
        tokio::select! {
            biased;
            _ = self.signals.end() => return Err(DaemonError::Forced),
            stopped = tokio::time::timeout(END_TIMEOUT, stopped) => if stopped.is_err() {
                tracing::warn!("not all sessions ended in time; those live on until they time out");
            },
        }
        self.control_end.cancel();
        while self.control.join_next().await.is_some() {}
        tracing::info!(name: "daemon_stopped", "stopped");
        Ok(())
    }
}

/// `1 session`, `2 sessions`.
fn sessions(count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} session{s}")
}

/// Sockets that nobody will ever accept from: their clients would wait for ever.
fn tell_of_useless_sockets(inherited: &Inherited, settings: &Settings) {
    for refused in inherited.refused() {
        tracing::warn!("a socket of the service manager is of no use, {refused}; a `ListenStream=` is needed");
    }
    let is_known = |name: &str| settings.sessions.iter().any(|session| session.name == name);
    for name in inherited.names().filter(|name| !is_known(name)) {
        tracing::warn!(
            "the service manager has opened a socket for session `{}`, which the configuration does not have; \
             add it, or correct `FileDescriptorName=`",
            name.escape_debug(),
        );
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
