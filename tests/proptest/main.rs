//! Properties of the core over any bytes and any operations; those of single types are beside the types.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[path = "../fuzz/bodies/cursor.rs"]
mod cursor;
mod journal;
#[path = "../fuzz/bodies/mux.rs"]
mod mux;
mod receive;
mod send;
#[path = "../fuzz/bodies/session.rs"]
mod session;

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

proptest! {
    /// The bodies of the fuzz targets hold their invariants themselves; here they get other inputs at every run.
    #[test]
    fn the_multiplexer_keeps_its_promises_under_any_operations(decisions in vec(any::<u8>(), 0..1500)) {
        mux::run(&decisions);
    }

    #[test]
    fn a_session_keeps_its_promises_under_any_operations(decisions in vec(any::<u8>(), 0..600)) {
        session::run(&decisions);
    }

    /// The same, but past StartSession, dial and handshake, where most of it lies.
    #[test]
    fn an_attached_session_keeps_its_promises_under_any_operations(decisions in vec(any::<u8>(), 0..600)) {
        let attached = [1, 1, 1, 1, 15, 9, 7, 11, 15, 9];
        session::run(&[&attached[..], &decisions].concat());
    }
}
