//! One live websocket: the address check, TLS, the dial, and frames in and out.
//!
//! What is here dies with a drop; what survives it lives in the session.

mod dial;
mod net_watch;
mod stream_url;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
mod tls_tests;
mod upgrade;
mod websocket;

pub use dial::{Dialer, Signature, UpgradeSigner};
pub use net_watch::{NetWatch, has_address};
pub use stream_url::StreamUrl;
pub use tls::{certificate_failure, client_config};
pub use websocket::Transport;
