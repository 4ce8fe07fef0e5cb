//! AWS Session Manager on loopback, for tests and for trying things out.
//!
//! A [`Simulator`] is the control plane (StartSession, ResumeSession, ... over HTTP), the data-channel service
//! (websockets) and one agent for every session, which opens real TCP connections. What AWS's agent does badly it
//! does just as badly. Any [`Fault`] can be asked for at any moment, on either side of the service.
//!
//! The life of one byte: a client's websocket ([`service`](self)) → lane to the service → lane to the agent → the
//! agent's numbering → smux → a TCP connection to the destination. One task drives a whole session.

mod agent;
mod clock;
mod config;
mod control;
mod counters;
mod fault;
mod hub;
mod kms;
mod lane;
mod listener;
mod message;
mod service;
mod simulator;

pub use agent::{AgentState, AgentVersion, InvalidVersion};
pub use config::{AgentConfig, Config};
pub use counters::{CallCounts, CountersSnapshot};
pub use fault::{
    BadAnswer, Call, Disturbance, Fault, Instance, LinkFault, Pick, Port, PortFault, ResumeOfEnded, Side, Traffic, Way,
};
pub use hub::InjectError;
pub use service::SessionState;
pub use simulator::Simulator;
