//! The pure core of autossm.
//!
//! Nothing in this package reads a clock, opens a socket, draws a random number or knows a runtime: time, seed and
//! bytes are arguments, side effects are values.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::string_slice)]

pub mod channel;
pub mod cipher;
pub mod handshake;
pub mod journal;
pub mod local;
pub mod mux;
pub mod pace;
pub mod raw;
pub mod session;
pub mod shell;
pub mod stream;
mod time;
pub mod wire;

pub use time::{Reason, Timestamp, Wakeup};
