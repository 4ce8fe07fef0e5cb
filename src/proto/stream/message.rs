//! A message on its way.

use bytes::Bytes;

use crate::Timestamp;
use crate::wire::PayloadType;

/// How a message is written when it goes out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The same bytes.
    Same,
    /// A message of a multiplexed session, in its self-cancelling form.
    Mux(crate::mux::Kind),
}

/// One message on its way.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) payload_type: PayloadType,
    /// As it would be written next; empty once acknowledged.
    pub(super) payload: Bytes,
    pub(super) form: Form,
    pub(super) acknowledged: bool,
    /// Resends that were contradicted: a later message was acknowledged, this one not.
    pub(super) contradictions: u32,
    /// Transmissions in its whole life, over all websockets.
    pub(super) transmissions: u32,
    /// The latest transmission on the present websocket: its place among all, and when.
    pub(super) flight: Option<(u64, Timestamp)>,
}

/// What an acknowledge meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// It was for a message not acknowledged before.
    pub fresh: bool,
    /// When its only transmission left, if it was sent exactly once (Karn's rule).
    pub sent_once_at: Option<Timestamp>,
    /// The payload bytes it retires.
    pub bytes: usize,
}

/// One message to write now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub number: u64,
    /// How the agent reads it.
    pub payload_type: PayloadType,
    /// Its bytes, in the form that is right for this transmission.
    pub payload: Bytes,
    /// It was written before.
    pub resent: bool,
}

impl Entry {
    /// From now on it is written in the form for messages that may have arrived already.
    pub(super) fn make_resend(&mut self) {
        if let Form::Mux(kind) = self.form {
            self.payload = kind.resend_form(&self.payload);
            self.form = Form::Same;
        }
    }
}
