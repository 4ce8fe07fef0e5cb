//! The daemon: every session in a task of its own, the control socket, signals and systemd.

mod error;
mod notify;
mod registry;
mod run;
mod signals;

pub use error::DaemonError;
pub use run::{Options, run};
