//! The handshake in its place: what each of its steps asks the channel for.

use super::settle::Settle;
use super::{ChannelEvent, DataChannel};
use crate::handshake::{Handshake, HandshakeError, Step};
use crate::wire::PayloadType;

impl DataChannel {
    pub(super) fn step_handshake(&mut self, payload_type: PayloadType, payload: &[u8]) {
        let Some(state) = self.handshake.take() else {
            return;
        };
        let step = state.handle(payload_type, payload, &self.client_version);
        self.follow(step);
    }

    /// Does what a step of the handshake asks for.
    pub(super) fn follow(&mut self, step: Result<Step, HandshakeError>) {
        let failed = |error: HandshakeError| ChannelEvent::Failed {
            reason: error.to_string(),
        };
        let step = match step {
            Ok(step) => step,
            Err(error) => return self.events.push_back(failed(error)),
        };
        self.handshake = Some(step.next);
        self.apply_features();
        if let Some(response) = step.response {
            if self.holds_plain_text() {
                let reason = "output came in plain text before the session's key was agreed on".to_owned();
                return self.events.push_back(ChannelEvent::Failed { reason });
            }
            self.push(PayloadType::HANDSHAKE_RESPONSE, response);
        }
        if let Some(challenge) = step.challenge {
            self.answer_challenge(challenge);
        }
        if let Some(error) = step.refused {
            self.events.push_back(failed(error));
        } else if let Some(agreement) = self.handshake.as_ref().and_then(Handshake::agreement) {
            self.events.push_back(ChannelEvent::Agreed(agreement.carriage));
        }
        self.want_key();
        self.begin_settling();
    }

    /// Whether the acknowledge of a harmless message tells of those before it. In the gap that of a port does not: its agent
    /// acknowledges what it cannot take yet, if only something is missing before it.
    pub(super) fn takes_witnesses(&self) -> bool {
        self.is_ready() || self.is_shell()
    }

    pub(super) fn begin_settling(&mut self) {
        if self.settle == Settle::NotYet && self.handshake.as_ref().is_some_and(Handshake::is_complete) {
            self.settle = Settle::Waiting(self.push_harmless());
        }
    }

    pub(super) fn apply_features(&mut self) {
        let agreement = self.handshake.as_ref().and_then(Handshake::agreement);
        if let Some(answers) = agreement.and_then(|agreement| agreement.agent.acknowledges_duplicates()) {
            self.stream.set_answers_duplicates(answers);
        }
    }
}
