//! The data channel of one session: reliable stream, handshake and cipher as ordered, typed, plain payloads.
//!
//! Its state lives as long as the session; websockets come and go under it.

mod adoption;
mod data_channel;
mod encryption;
mod event;
mod handshaking;
mod hearing;
mod lateness;
mod outgoing;
mod scan;
mod settle;
#[cfg(test)]
mod tests;

pub(crate) use adoption::adopted_handshake;
pub use data_channel::{DataChannel, RestoredChannel};
pub use event::ChannelEvent;
pub use hearing::Hearing;
pub use settle::{Settle, disconnect, harmless};
