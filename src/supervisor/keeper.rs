//! Keeps a session's task running.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use autossm_proto::session::Phase;
use futures_util::FutureExt;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::mpsc;

use super::handle::{Message, Obedience, Order, SessionHandle};
use super::network::NetworkBoard;
use super::phases::PhaseSlot;
use super::proxy::ProxyEnds;
use super::report;
use super::task::{Keep, Supervisor, Tools};
use crate::aws::ControlPlane;
use crate::clock::Clock;
use crate::config::SessionSettings;
use crate::endpoint::{Inherited, Listeners};
use crate::transport::Dialer;

/// Between a fault and the next start of the session's task.
const PAUSE: Duration = Duration::from_secs(5);

/// What a session's task needs from the daemon.
#[derive(Debug)]
pub struct Resources {
    /// The one clock.
    pub clock: Clock,
    /// The session's own calls.
    pub control: Arc<dyn ControlPlane>,
    /// Opens its websockets.
    pub dialer: Dialer,
    /// Tells of changes of the machine's network.
    pub network: NetworkBoard,
    /// Where its phases are shown.
    pub phases: PhaseSlot,
    /// Where the end of a connection on demand is told.
    pub ends: ProxyEnds,
    /// Sockets that the service manager has opened for it.
    pub inherited: Inherited,
    /// Seeds the ids and waits of each run.
    pub seeds: StdRng,
}

/// Runs one session's task, again after a fault of its own: a bug in one session leaves the others alone.
#[derive(Debug)]
pub struct Keeper {
    settings: SessionSettings,
    resources: Resources,
    messages: mpsc::Receiver<Message>,
    /// False once a user has stopped the session; outlives a fault of its task.
    wanted: bool,
}

impl Keeper {
    /// A keeper, and the handle that reaches its session through all restarts.
    pub fn new(settings: SessionSettings, resources: Resources) -> (Self, SessionHandle) {
        let (handle, messages) = SessionHandle::new();
        let wanted = !settings.on_demand;
        let keeper = Self {
            settings,
            resources,
            messages,
            // A session on demand waits for its connection.
            wanted,
        };
        (keeper, handle)
    }

    /// Keeps the session until it is told to end. `listening` is dropped once each of its listeners has been tried.
    /// Returns the session's name.
    pub async fn run(mut self, listening: mpsc::Sender<()>) -> String {
        let mut listening = Some(listening);
        loop {
            // What a panic leaves behind is dropped with the future; only the queue of messages goes on, and it
            // is whole between two receives.
            let run = AssertUnwindSafe(self.run_once(&mut listening)).catch_unwind();
            if run.await.is_ok() {
                return self.settings.name;
            }
            listening = None;
            let cause = "internal error; starts again in a few seconds";
            self.resources.phases.set(Phase::Stopped, Phase::Stopped, cause);
            tracing::error!(
                session = self.settings.name,
                "the session's task failed inside; its local connections are closed and it starts again in {PAUSE:?}; please report this",
            );
            // The connection it was for is gone with it.
            if self.settings.on_demand || self.pause().await.is_break() {
                return self.settings.name;
            }
        }
    }

    async fn run_once(&mut self, listening: &mut Option<mpsc::Sender<()>>) {
        let listeners = match &self.settings.forward {
            Some(forward) if self.wanted => {
                Listeners::open(&self.settings.name, forward, &self.resources.inherited).await
            }
            Some(_) | None => Listeners::none(),
        };
        *listening = None;
        let resources = &mut self.resources;
        let tools = Tools {
            clock: resources.clock,
            control: Arc::clone(&resources.control),
            dialer: resources.dialer.clone(),
            network: resources.network.listen(),
            id_seed: resources.seeds.random(),
            wait_seed: resources.seeds.random(),
        };
        let keep = Keep {
            settings: &self.settings,
            messages: &mut self.messages,
            phases: &resources.phases,
            wanted: &mut self.wanted,
            ends: &resources.ends,
            inherited: &resources.inherited,
        };
        let supervisor = Supervisor::new(keep, tools, listeners);
        Box::pin(supervisor.run()).await;
    }

    /// Answers for the session while there is none.
    async fn pause(&mut self) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        let over = tokio::time::sleep(PAUSE);
        tokio::pin!(over);
        loop {
            let message = tokio::select! {
                () = &mut over => return Continue(()),
                message = self.messages.recv() => message,
            };
            match message {
                Some(Message::Status(reply)) => reply.answer(report::status_without_task(
                    &self.settings,
                    "internal error; starts again in a few seconds",
                )),
                Some(Message::Order(order, reply)) => {
                    self.wanted = match order {
                        Order::Reconnect => self.wanted,
                        Order::Restart | Order::Start => true,
                        Order::Stop => false,
                    };
                    reply.answer(if self.wanted || order == Order::Stop {
                        Obedience::Begun
                    } else {
                        Obedience::Stopped
                    });
                    return Continue(());
                }
                Some(Message::End(_, reply)) => {
                    reply.answer(());
                    return Break(());
                }
                Some(Message::Ping(reply)) => reply.answer(()),
                // They are closed: who brought them may try again.
                Some(Message::Attach(socket)) => drop(socket),
                Some(Message::View(stream, _)) => drop(stream),
                Some(Message::Unwanted) => {}
                None => return Break(()),
            }
        }
    }
}
