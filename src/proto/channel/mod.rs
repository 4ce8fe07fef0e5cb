//! The data channel of one session: reliable stream and handshake as ordered, typed payloads.
//!
//! Its state lives as long as the session; websockets come and go under it.

mod data_channel;
mod event;
mod lateness;

pub use data_channel::{DataChannel, RestoredChannel, Settle, harmless};
pub use event::ChannelEvent;
