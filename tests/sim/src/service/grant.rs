//! What the control plane gives, takes and refuses.

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

use crate::agent::{Destination, PortProperties};
use crate::fault::Side;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An error of the control plane, by AWS's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// What StartSession and ResumeSession give. Not `Debug`: it holds a token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) session_id: String,
    /// Empty means that the session has timed out.
    pub(crate) token: String,
    pub(crate) stream_url: String,
}

/// What StartSession was asked for.
#[derive(Clone, Debug)]
pub(crate) struct StartRequest {
    pub(crate) target: String,
    pub(crate) destination: Destination,
    pub(crate) properties: PortProperties,
    /// For an agent outside: the document and its parameters as JSON.
    pub(crate) document: String,
    pub(crate) parameters: String,
}

/// A token that was given out.
pub(super) struct Token {
    pub(super) value: String,
    pub(super) side: Side,
    pub(super) issued: Instant,
    pub(super) spent: bool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

pub(super) fn gone(session_id: &str) -> ApiError {
    let text = format!("Session does not exist or is terminated: {session_id}");
    ApiError::new("DoesNotExistException", text)
}

pub(super) fn query_of(cell: &str) -> String {
    format!("role=publish_subscribe&cell-number={cell}")
}

pub(super) fn text(rng: &mut StdRng, length: usize) -> String {
    let mut letter = || ALPHABET.get(rng.random_range(0..ALPHABET.len())).copied();
    std::iter::repeat_with(|| letter().map_or('A', char::from))
        .take(length)
        .collect()
}
