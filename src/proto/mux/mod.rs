//! smux version 1, client side: many local connections over the Output messages of one session.
//!
//! Version 1 has no window per stream and no half-close, so memory is bounded here and FIN is held back.

mod api;
mod frame;
mod framing;
mod guard;
mod session;
#[cfg(test)]
mod session_tests;

pub use api::{FramePart, Message};
pub use frame::{Decoder, FrameCommand, HEADER, InvalidFrame, Item, MAX_DATA, put_frame};
pub use guard::{HEADROOM, Kind, STREAM_LIMIT};
pub use session::Mux;
