//! One live websocket: the address check, proxies, TLS, the dial, and frames in and out.
//!
//! What is here dies with a drop; what survives it lives in the session.

mod classify;
mod dial;
mod net_watch;
mod proxy;
mod reach;
mod roots;
mod skew;
mod stream_url;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
mod tls_tests;
mod upgrade;
mod websocket;

pub use classify::{Asked, Evidence, Reached, bare_code, classify};
pub use dial::{Dialer, Signature, UpgradeSigner};
pub use net_watch::{NetWatch, has_address};
pub use proxy::{Proxies, Proxy, is_never_proxied, password_wanted};
pub use reach::{Path, reach};
pub use roots::{Roots, RootsError};
pub use skew::{TOLERATED_SKEW, skew, skew_sentence};
pub use stream_url::StreamUrl;
pub use tls::{certificate_failure, client_config};
pub use websocket::Transport;
