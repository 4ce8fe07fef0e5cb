//! The data channel of one session: reliable stream and handshake as ordered, typed payloads.
//!
//! Its state lives as long as the session; websockets come and go under it.

mod data_channel;
mod event;
mod lateness;
mod outgoing;
mod settle;

pub use data_channel::{DataChannel, RestoredChannel};
pub use event::ChannelEvent;
pub use settle::{Settle, disconnect, harmless};
