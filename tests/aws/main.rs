//! AWS as it is on Monday morning: the real program with the credentials, proxies and certificates that people have.
//!
//! Each test has a home directory of its own with an `.aws` in it, helpers that are shell scripts, and a simulator. Where
//! hosts matter, all of AWS stands behind a CONNECT proxy: TLS by a root of the test's own, with the real names.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod cloud;
mod credentials;
mod crowd;
mod doctor;
mod errors;
mod field;
mod helpers;
mod home;
mod login;
mod proxies;
mod services;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod targets;

use std::path::Path;

/// The program.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_autossm"))
}
