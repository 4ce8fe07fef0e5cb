//! The agent: what AWS's amazon-ssm-agent does with a port session, a shell or a command, its weaknesses included (protocol.md, 4 to 7, 10).

mod command;
mod core;
mod destinations;
mod encryption;
mod handshake;
mod input;
mod mux;
mod output;
mod port;
mod raw;
mod reliable;
mod shell;
mod utf8;
mod version;

pub(crate) use core::Agent;
pub use core::AgentState;
pub(crate) use destinations::Destination;
pub(crate) use encryption::Encryption;
pub(crate) use handshake::{Document, PortProperties};
pub use version::{AgentVersion, InvalidVersion};
