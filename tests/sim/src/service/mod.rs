//! The data-channel service: it routes messages between a client's websocket and an agent, one session a task.

mod agent_link;
mod agent_side;
mod contract;
mod fleet;
mod grant;
mod open;
mod outside;
mod registry;
mod session;
mod socket;
mod socket_link;

pub use contract::SessionState;
pub(crate) use grant::{ApiError, Grant, StartRequest};
pub(crate) use open::{BoxedBody, serve_connection};
pub(crate) use registry::Registry;
pub(crate) use session::SessionTask;
