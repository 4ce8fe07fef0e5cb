//! The reliable stream: every message once, in order, over any number of websockets.
//!
//! Each direction numbers its messages from 0; each message is acknowledged by itself. What is sent is kept until
//! acknowledged and goes out again on the next websocket; what is received is ordered and acknowledged again as
//! often as it comes.

mod duplicates;
mod message;
mod receive;
mod reliable;
mod rtt;
mod send;
#[cfg(test)]
mod send_tests;
mod window;

pub use message::{Acknowledged, Form, Outgoing};
pub use receive::{Arrival, Delivered, PendingAck, REPEATED, ReceiveBuffer};
pub use reliable::{Identity, ReliableStream, StreamOutput};
pub use rtt::RttEstimator;
pub use send::{MAX_SPAN, SendBuffer};
pub use window::Window;
