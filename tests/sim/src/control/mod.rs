//! The control plane: AWS JSON 1.1 over HTTP, and the simulator's own `/_sim/` paths.

mod admin;
mod answers;
mod calls;
mod server;
mod skew;

pub(crate) use server::{access_key, is_signed_for, serve_connection};
pub(crate) use skew::of_request as clock_refusal;
