//! What the demo, the daemon's tests and the benchmark share: the real binary as a child process, and traffic whose
//! every byte is known.
#![allow(dead_code, reason = "each user takes what it needs")]

pub(crate) mod daemon;
pub(crate) mod measure;
pub(crate) mod pattern;
pub(crate) mod traffic;
