//! All sessions by name, for the control socket and the daemon itself.

use std::sync::Arc;
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::Phase;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::log::LogControl;
use super::run::Options;
use super::sandbox;
use crate::clock::Clock;
use crate::config::{Environment, OnExit, SessionSettings};
use crate::control::{
    AttachRequest, ControlHandle, OpenProxy, OrderError, Ordered, ProxyError, ProxyRequest, ReloadError, Subscription,
    UnknownSession,
};
use crate::status::{DaemonStatus, Event, ProxyEnd, ReloadStatus, Sandbox, SessionStatus};
use crate::supervisor::{Ending, Obedience, Order, PhaseBoard, ProxyEnds, SessionHandle, status_without_task};

/// A session's task that does not answer within this is reported as such: one must not hide the others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The answer to a reload.
pub(super) type ReloadAnswer = Result<ReloadStatus, ReloadError>;

/// The daemon's sessions, in the order of their names; clones share them. Only the daemon's loop changes them.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    clock: Clock,
    entries: watch::Sender<Arc<[Entry]>>,
    last_reload: watch::Sender<Option<LastReload>>,
    board: PhaseBoard,
    log: Arc<dyn LogControl>,
    environment: Environment,
    reloads: mpsc::Sender<oneshot::Sender<ReloadAnswer>>,
    proxies: mpsc::Sender<ProxyAsked>,
    pub(super) ends: ProxyEnds,
}

/// Somebody wants a connection to a session, or one for it.
#[derive(Debug)]
pub(super) struct ProxyAsked {
    pub(super) request: Connecting,
    pub(super) reply: oneshot::Sender<Result<OpenProxy, ProxyError>>,
}

/// What somebody wants to be connected to.
#[derive(Debug)]
pub(super) enum Connecting {
    /// A port of a target.
    Port(ProxyRequest),
    /// The terminal of a shell.
    Shell(AttachRequest),
}

/// Who asks for what only the daemon's loop can do.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) reloads: mpsc::Receiver<oneshot::Sender<ReloadAnswer>>,
    pub(super) proxies: mpsc::Receiver<ProxyAsked>,
}

/// One session.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) handle: SessionHandle,
}

#[derive(Clone, Debug)]
struct LastReload {
    at: Timestamp,
    ok: bool,
    message: String,
}

impl Registry {
    /// Without sessions. Who asks for what only the daemon's loop can do is in the queues that come with it.
    pub(super) fn new(clock: Clock, board: PhaseBoard, options: &Options) -> (Self, Asked) {
        let (reloads, reload_queue) = mpsc::channel(1);
        let (proxies, proxy_queue) = mpsc::channel(1);
        let asked = Asked {
            reloads: reload_queue,
            proxies: proxy_queue,
        };
        let registry = Self {
            clock,
            entries: watch::Sender::new(Arc::new([])),
            last_reload: watch::Sender::new(None),
            board,
            log: Arc::clone(&options.log),
            environment: options.environment.clone(),
            reloads,
            proxies,
            ends: ProxyEnds::default(),
        };
        (registry, asked)
    }

    pub(super) fn entries(&self) -> Arc<[Entry]> {
        Arc::clone(&self.entries.borrow())
    }

    pub(super) fn replace(&self, mut entries: Vec<Entry>) {
        entries.sort_by(|a, b| a.settings.name.cmp(&b.settings.name));
        self.entries.send_replace(entries.into());
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        let entries = self.entries.borrow();
        entries.iter().find(|entry| entry.settings.name == name).cloned()
    }

    /// Notes how a reload went: status and events tell it.
    pub(super) fn reloaded(&self, ok: bool, message: &str) -> ReloadStatus {
        let reload = LastReload {
            at: self.clock.now(),
            ok,
            message: message.to_owned(),
        };
        let status = reload.status(reload.at);
        self.last_reload.send_replace(Some(reload));
        self.board.announce(Event::Reload {
            ok,
            message: message.to_owned(),
        });
        status
    }

    /// Asks the daemon's loop.
    async fn connect(&self, request: Connecting) -> Result<OpenProxy, ProxyError> {
        let (reply, answer) = oneshot::channel();
        // Both errors mean that the daemon's loop has ended.
        let Ok(()) = self.proxies.send(ProxyAsked { request, reply }).await else {
            return Err(ProxyError::Stopping);
        };
        answer.await.unwrap_or(Err(ProxyError::Stopping))
    }

    /// Ends all sessions in this way, or as their settings say; returns when the last has ended.
    pub(super) async fn end(&self, how: Option<Ending>) {
        let entries = self.entries();
        let how = |entry: &Entry| how.unwrap_or_else(|| ending(entry.settings.on_exit));
        join_all(entries.iter().map(|entry| entry.end(how(entry)))).await;
    }
}

impl Entry {
    /// Whether it was made for one connection and is in no configuration.
    pub(super) fn is_on_demand(&self) -> bool {
        self.settings.on_demand
    }

    /// Ends the session's task.
    pub(super) async fn end(&self, ending: Ending) {
        if let Err(gone) = self.handle.end(ending).await {
            tracing::debug!(session = self.settings.name, %gone, "nothing to end");
        }
    }

    async fn status(&self) -> SessionStatus {
        let cause = match timeout(ANSWER_TIMEOUT, self.handle.status()).await {
            Ok(Ok(status)) => return status,
            Ok(Err(gone)) => gone.to_string(),
            Err(_) => format!("the session's task does not answer within {ANSWER_TIMEOUT:?}"),
        };
        status_without_task(&self.settings, &cause)
    }

    async fn order(&self, order: Order) -> Obedience {
        let session = &self.settings.name;
        let asked = order_name(order);
        match timeout(ANSWER_TIMEOUT, self.handle.order(order)).await {
            Ok(Ok(obeyed @ (Obedience::Begun | Obedience::Ended))) => {
                tracing::info!(session, "{asked} requested");
                return obeyed;
            }
            Ok(Ok(Obedience::Running)) => return Obedience::Running,
            Ok(Ok(refused @ (Obedience::Stopped | Obedience::Ending))) => return refused,
            Ok(Err(gone)) => tracing::warn!(session, %gone, "no {asked}"),
            // It is in the session's queue and will be done.
            Err(_) => tracing::warn!(session, "the session's task is slow to {asked}"),
        }
        Obedience::Begun
    }
}

impl LastReload {
    fn status(&self, now: Timestamp) -> ReloadStatus {
        ReloadStatus {
            ago_ms: u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX),
            ok: self.ok,
            message: self.message.clone(),
        }
    }
}

impl ControlHandle for Registry {
    async fn status(&self) -> DaemonStatus {
        let entries = self.entries();
        let last_reload = self.last_reload.borrow().clone();
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            log_level: self.log.level(),
            last_reload: last_reload.map(|reload| reload.status(self.clock.now())),
            sessions: join_all(entries.iter().map(Entry::status)).await,
        }
    }

    async fn sandbox(&self) -> Sandbox {
        let environment = self.environment.clone();
        // A home on a network may take its time, and the other requests do not wait for it.
        let looked = tokio::task::spawn_blocking(move || sandbox::look(&environment));
        looked.await.unwrap_or_default()
    }

    async fn session(&self, name: &str) -> Option<SessionStatus> {
        Some(self.entry(name)?.status().await)
    }

    async fn order(&self, name: &str, order: Order) -> Result<Ordered, OrderError> {
        let name = name.to_owned();
        let Some(entry) = self.entry(&name) else {
            return Err(UnknownSession { name }.into());
        };
        match entry.order(order).await {
            Obedience::Begun => Ok(Ordered::Begun),
            Obedience::Running => Ok(Ordered::AlreadyRunning),
            Obedience::Ended => Ok(Ordered::Ended),
            Obedience::Stopped => Err(OrderError::Stopped { name }),
            Obedience::Ending => Err(OrderError::Ending { name }),
        }
    }

    async fn order_all(&self, order: Order) -> usize {
        let entries = self.entries();
        let phases = self.board.watch().borrow().clone();
        // What nobody has asked for by its name is not started.
        let is_dormant = |name: &str| phases.get(name).is_some_and(|place| place.phase == Phase::Dormant);
        let running = entries.iter().filter(|entry| !is_dormant(&entry.settings.name));
        let answers = join_all(running.map(|entry| entry.order(order))).await;
        answers.into_iter().filter(|answer| *answer == Obedience::Begun).count()
    }

    async fn reload(&self) -> ReloadAnswer {
        let (reply, answer) = oneshot::channel();
        // Both errors mean that the daemon's loop has ended.
        let Ok(()) = self.reloads.send(reply).await else {
            return Err(ReloadError::Stopping);
        };
        answer.await.unwrap_or(Err(ReloadError::Stopping))
    }

    async fn proxy(&self, request: ProxyRequest) -> Result<OpenProxy, ProxyError> {
        self.connect(Connecting::Port(request)).await
    }

    async fn attach(&self, request: AttachRequest) -> Result<OpenProxy, ProxyError> {
        self.connect(Connecting::Shell(request)).await
    }

    fn proxy_end(&self, session: &str) -> Option<ProxyEnd> {
        self.ends.take(session)
    }
    fn set_log_level(&self, level: &str) -> Result<(), String> {
        self.log.set_level(level)?;
        tracing::info!(level, "log level changed");
        Ok(())
    }

    fn subscribe(&self) -> Subscription {
        // In this order: what happens in between is told twice rather than not at all.
        let rest = self.board.subscribe();
        let phases = self.board.watch();
        let hello = Event::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        };
        let sessions = phases.borrow().clone();
        let sessions = sessions.into_iter().map(|(session, place)| Event::Session {
            session,
            phase: place.phase,
        });
        let first = std::iter::once(hello).chain(sessions);
        Subscription {
            first: first.map(|event| self.board.line(event)).collect(),
            rest,
        }
    }
}

/// What `on_exit` asks for.
const fn ending(on_exit: OnExit) -> Ending {
    match on_exit {
        OnExit::Detach => Ending::Detach,
        OnExit::Terminate => Ending::Terminate,
    }
}

const fn order_name(order: Order) -> &'static str {
    match order {
        Order::Reconnect => "reconnect",
        Order::Restart => "restart",
        Order::Start => "start",
        Order::Stop => "stop",
    }
}
