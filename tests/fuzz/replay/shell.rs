//! Runs the bodies of the fuzz targets over their committed corpus, on stable, in the normal test run: the targets
//! above the core.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[path = "../bodies/config.rs"]
mod config;
#[path = "../bodies/control.rs"]
mod control;
#[path = "corpus.rs"]
mod corpus;

#[test]
fn config() {
    corpus::replay("config", config::run);
}

#[test]
fn control() {
    corpus::replay("control", control::run);
}
