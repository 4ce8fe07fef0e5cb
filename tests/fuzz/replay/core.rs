//! Runs the bodies of the fuzz targets over their committed corpus, on stable, in the normal test run: the targets of
//! the core.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[path = "../bodies/bodies.rs"]
mod bodies;
#[path = "corpus.rs"]
mod corpus;
#[path = "../bodies/cursor.rs"]
mod cursor;
#[path = "../bodies/mux.rs"]
mod mux;
#[path = "../bodies/session.rs"]
mod session;
#[path = "../bodies/wire.rs"]
mod wire;

#[test]
fn wire() {
    corpus::replay("wire", wire::run);
}

#[test]
fn bodies() {
    corpus::replay("bodies", bodies::run);
}

#[test]
fn mux() {
    corpus::replay("mux", mux::run);
}

#[test]
fn session() {
    corpus::replay("session", session::run);
}
