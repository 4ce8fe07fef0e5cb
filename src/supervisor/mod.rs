//! The task of one session: it alone touches the session's state.
//!
//! The core decides, this carries out: [`Link`](link::Link) moves frames between the core and the one live websocket,
//! [`Router`](router::Router) moves bytes between the core and the local connections, [`Actions`](actions::Actions)
//! runs calls and dials. One select names what happened, a synchronous function tells the core, then everything the core
//! wants in return is carried out until it wants nothing more.

mod actions;
mod effects;
mod ending;
mod handle;
mod keeper;
mod link;
mod network;
mod phases;
mod proxy;
mod report;
mod router;
mod task;
mod terminal;
mod timer;
mod trace;

#[cfg(test)]
mod task_tests;

pub use ending::END_TIMEOUT;
pub use handle::{Ending, Obedience, Order, SessionGone, SessionHandle};
pub use keeper::{Keeper, Resources};
pub use network::NetworkBoard;
pub use phases::{PhaseBoard, PhaseSlot, Shown, Standing};
pub use proxy::ProxyEnds;
pub use report::status_without_task;
