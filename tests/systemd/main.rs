//! The shipped units and the real program under a real systemd: a user manager, and a system manager, each in namespaces
//! of its own. Needs root, systemd 252 or newer, and a cgroup hierarchy that may be written; says so where it skips.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod bench;
mod credentials;
mod machine;
mod notify;
mod package;
#[path = "../aws/services.rs"]
#[expect(dead_code, reason = "each user takes what it needs")]
mod services;
#[path = "../support/mod.rs"]
mod support;
mod system;
mod units;
mod user;
