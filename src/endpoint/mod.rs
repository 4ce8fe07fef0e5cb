//! The local face of a session: listeners that accept, and one pump for each accepted connection.
//!
//! A pump owns its socket and knows nothing of the protocol. It reads only what it was granted, so that every byte it
//! has read has a place to go, and it takes what it is to write through a [`mailbox`](orders) whose bound is the
//! session's own: what was handed over and is not yet reported as written.

mod inherited;
mod listener;
mod mailbox;
mod proxied;
mod pump;
mod socket;
mod tcp;
mod terminal;
mod unix;
mod waiting;

pub use inherited::Inherited;
pub use listener::{ListenError, Listeners};
pub use mailbox::{OrderReader, OrderSender, PumpCommand, PumpGone, orders};
pub use proxied::ProxiedStream;
pub use pump::{LocalEvent, LocalMessage, Pump};
pub use socket::LocalSocket;
pub use terminal::{
    BadFrame, ENTER_ALTERNATE, Frames, FromViewer, LARGEST, LEAVE_ALTERNATE, RESTORE, Terminal, ToViewer, ViewRequest,
    ViewerReport,
};

#[cfg(test)]
mod listener_tests;
#[cfg(test)]
mod pump_tests;
