//! What the demo, the daemon's tests and the benchmark share: the real binary as a child process, and traffic whose
//! every byte is known.
#![allow(dead_code, reason = "each user takes what it needs")]

pub(crate) mod daemon;
pub(crate) mod measure;
pub(crate) mod pattern;
pub(crate) mod traffic;

/// A test that cannot run here says so where no harness hides it; the caller then returns.
pub(crate) fn skipped(why: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let text = format!("SKIPPED {}: {why}\n", thread.name().unwrap_or_default());
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}
