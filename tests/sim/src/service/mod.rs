//! The data-channel service: it routes messages between a client's websocket and an agent, one session a task.

mod agent_link;
mod client_link;
mod contract;
mod open;
mod registry;
mod session;
mod socket;

pub use contract::SessionState;
pub(crate) use open::{BoxedBody, serve_connection};
pub(crate) use registry::{ApiError, Grant, Registry, StartRequest};
pub(crate) use session::SessionTask;
