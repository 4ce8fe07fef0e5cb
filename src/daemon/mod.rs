//! The daemon: every session in a task of its own, the control socket, signals and systemd.

mod error;
mod log;
mod logind;
mod machine;
mod notify;
mod registry;
mod reload;
mod run;
mod signals;

pub use error::DaemonError;
pub use log::LogControl;
pub use run::{Options, run};
