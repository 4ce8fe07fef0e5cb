//! A running simulator and the handle that owns all its tasks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::control;
use crate::counters::CallCounts;
use crate::fault::{Fault, Side};
use crate::hub::{Hub, InjectError};
use crate::listener::{self, PortCommand};
use crate::service::{self, Registry, SessionState, SessionTask};

/// Sessions that may be starting at the same moment.
const STARTING: usize = 256;
const PORT_COMMANDS: usize = 8;

/// Session Manager on loopback. Everything stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    hub: Arc<Hub>,
    control: SocketAddr,
    data_channel: SocketAddr,
    agents: SocketAddr,
    admin: SocketAddr,
    tasks: JoinSet<()>,
}

impl Simulator {
    /// Listens and serves. Needs a tokio runtime.
    ///
    /// # Errors
    /// A port cannot be bound.
    #[expect(clippy::unused_async, reason = "it needs a runtime, and `await` makes sure of one")]
    pub async fn start(config: Config) -> io::Result<Self> {
        let config = Arc::new(config);
        let agents_listener = listener::listen(config.agents)?;
        let control_listener = listener::listen(config.control)?;
        let data_listener = listener::listen(config.data_channel)?;
        let admin_listener = listener::listen(config.admin)?;
        let control = control_listener.local_addr()?;
        let data_channel = data_listener.local_addr()?;
        let admin = admin_listener.local_addr()?;
        let agents_address = agents_listener.local_addr()?;
        let (session_tasks, starting) = mpsc::channel(STARTING);
        let (control_port, control_commands) = mpsc::channel(PORT_COMMANDS);
        let (data_port, data_commands) = mpsc::channel(PORT_COMMANDS);
        let (agents_port, agents_commands) = mpsc::channel(PORT_COMMANDS);
        let (admin_keeper, admin_commands) = mpsc::channel(1);
        let plain = format!("ws://{}", config.advertise.unwrap_or(data_channel));
        let advertised = config.advertise_url.clone().unwrap_or(plain);
        let registry = Arc::new(Registry::new(
            config,
            advertised,
            (agents_address, control),
            session_tasks,
        ));
        let hub = Arc::new(Hub {
            registry: Arc::clone(&registry),
            control_port,
            data_port,
            agents_port,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(run_sessions(starting));
        let plane = Arc::clone(&hub);
        tasks.spawn(run_port(
            "control plane",
            control_listener,
            control_commands,
            move |tcp| control::serve_connection(Arc::clone(&plane), tcp),
        ));
        let agents = Arc::clone(&registry);
        tasks.spawn(run_port("data channel", data_listener, data_commands, move |tcp| {
            service::serve_connection(Arc::clone(&registry), Side::Client, tcp)
        }));
        tasks.spawn(run_port("agents", agents_listener, agents_commands, move |tcp| {
            service::serve_connection(Arc::clone(&agents), Side::Agent, tcp)
        }));
        let plane = Arc::clone(&hub);
        tasks.spawn(async move {
            let _nobody_disturbs_this_port: mpsc::Sender<PortCommand> = admin_keeper;
            run_port("admin", admin_listener, admin_commands, move |tcp| {
                control::serve_connection(Arc::clone(&plane), tcp)
            })
            .await;
        });
        Ok(Self {
            hub,
            control,
            data_channel,
            agents: agents_address,
            admin,
            tasks,
        })
    }

    /// What to give as `endpoint_url` of the `ssm` service.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// The control plane's address.
    pub const fn control_address(&self) -> SocketAddr {
        self.control
    }

    /// The address of the websockets.
    pub const fn data_channel_address(&self) -> SocketAddr {
        self.data_channel
    }

    /// Where agents that are programs connect to.
    pub const fn agents_address(&self) -> SocketAddr {
        self.agents
    }

    /// Where `/_sim/` is always served, also while the control plane refuses.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Does what the fault says; returns when it has been done.
    ///
    /// # Errors
    /// It names a session that does not exist.
    pub async fn inject(&self, fault: Fault) -> Result<(), InjectError> {
        self.hub.inject(fault).await
    }

    /// All sessions so far, ended ones too, in the order of their ids.
    pub async fn sessions(&self) -> Vec<SessionState> {
        self.hub.registry.states().await
    }

    /// The calls of the control plane that have arrived, whatever they were answered.
    pub fn calls(&self) -> CallCounts {
        self.hub.registry.calls()
    }

    /// One session.
    pub async fn session(&self, session_id: &str) -> Option<SessionState> {
        let sessions = self.sessions().await;
        sessions.into_iter().find(|session| session.session_id == session_id)
    }

    /// Stops everything and waits until it has stopped.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn run_sessions(mut starting: mpsc::Receiver<SessionTask>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            task = starting.recv() => match task {
                Some(task) => {
                    running.spawn(task.run());
                }
                None => return,
            },
            Some(ended) = running.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a session's task failed");
                }
            }
        }
    }
}

async fn run_port<F>(
    name: &'static str,
    listener: TcpListener,
    commands: mpsc::Receiver<PortCommand>,
    handle: impl Fn(tokio::net::TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    if let Err(error) = listener::serve(listener, commands, handle).await {
        tracing::error!(%error, port = name, "this port is not served any more");
    }
}
