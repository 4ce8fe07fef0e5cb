//! The daemon: every session in a task of its own, the control socket, signals and systemd.

mod alone;
mod desktop;
mod error;
mod heart;
mod log;
mod logind;
mod machine;
mod notices;
mod notify;
mod proxy;
mod registry;
mod reload;
mod run;
mod sandbox;
mod signals;

pub use alone::{hold_alone, hold_shell_alone};
pub use error::DaemonError;
pub use log::LogControl;
pub use run::{Options, run};
