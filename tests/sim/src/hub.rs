//! Where faults are handed to the part they are for.

use std::fmt;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::fault::{Fault, LinkFault, Port, PortFault, Side};
use crate::listener::PortCommand;
use crate::service::Registry;

/// All parts of a simulator that can be told something.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) registry: std::sync::Arc<Registry>,
    pub(crate) control_port: mpsc::Sender<PortCommand>,
    pub(crate) data_port: mpsc::Sender<PortCommand>,
    pub(crate) agents_port: mpsc::Sender<PortCommand>,
}

/// A fault could not be injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectError {
    /// There is no session with this id.
    UnknownSession(String),
}

impl fmt::Display for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSession(id) => {
                write!(f, "there is no session {id:?}; GET /_sim/state lists them")
            }
        }
    }
}

impl std::error::Error for InjectError {}

impl Hub {
    /// Does what the fault says; returns when it has been done.
    pub(crate) async fn inject(&self, fault: Fault) -> Result<(), InjectError> {
        tracing::info!(?fault, "fault");
        let registry = &self.registry;
        match fault {
            Fault::Link { session, side, fault } => {
                self.check(session.as_deref())?;
                registry.inject(session.as_deref(), side, &fault).await;
            }
            Fault::Port { port, fault, for_ms } => self.set_port(port, Some(fault), for_ms).await,
            Fault::Answer { call, times, answer } => registry.owe(call, times, answer),
            Fault::Fleet { instances } => registry.fleet().set(instances),
            Fault::ExpireKeys { keys } => registry.expire_keys(keys),
            Fault::ExpireTokens { session } => {
                self.check(session.as_deref())?;
                registry.expire_tokens(session.as_deref());
            }
            Fault::EndSession {
                session,
                announce,
                resume,
            } => {
                self.check(session.as_deref())?;
                registry.end(session.as_deref(), announce, resume).await;
            }
            Fault::Heal => {
                registry.forgive();
                for port in [Port::Control, Port::DataChannel, Port::Agents] {
                    self.set_port(port, None, None).await;
                }
                for side in [Side::Client, Side::Agent] {
                    registry.inject(None, side, &LinkFault::Heal).await;
                }
            }
        }
        Ok(())
    }

    fn check(&self, session: Option<&str>) -> Result<(), InjectError> {
        match session {
            Some(id) if !self.registry.knows(id) => Err(InjectError::UnknownSession(id.to_owned())),
            Some(_) | None => Ok(()),
        }
    }

    async fn set_port(&self, port: Port, fault: Option<PortFault>, for_ms: Option<u64>) {
        let (done, applied) = oneshot::channel();
        let until = for_ms.map(|ms| clock::now() + Duration::from_millis(ms));
        let command = PortCommand { fault, until, done };
        let door = match port {
            Port::Control => &self.control_port,
            Port::DataChannel => &self.data_port,
            Port::Agents => &self.agents_port,
        };
        if door.send(command).await.is_err() || applied.await.is_err() {
            tracing::warn!(?port, "this port is not served any more");
        }
    }
}
