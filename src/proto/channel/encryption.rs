//! The cipher at the edge of the channel: what goes out is sealed last of all, what comes in is opened first of all. So
//! everything inside, numbers, backlog, resend forms and journal, deals with plain bytes, and no two transmissions
//! share a nonce.

use bytes::Bytes;

use super::{ChannelEvent, DataChannel};
use crate::cipher::{CipherError, DataKey, End, NONCE_LENGTH, SessionCipher, is_sealed};
use crate::handshake::{Handshake, WantedKey};
use crate::wire::{ChallengeBody, ClientMessage, MessageType, PayloadType};

/// What an encrypted session has of its key.
#[derive(Debug, Default)]
pub(super) struct Encrypted {
    cipher: Option<SessionCipher>,
    /// The agent's challenge, while there is no cipher to answer it with.
    challenge: Option<String>,
}

impl Encrypted {
    /// As a journal has it: the key is not in there.
    pub(super) const fn restored(challenge: Option<String>) -> Self {
        Self {
            cipher: None,
            challenge,
        }
    }
}

impl DataChannel {
    /// The data key without which the session cannot go on.
    pub fn wanted_key(&self) -> Option<WantedKey> {
        let missing = self.encrypted.cipher.is_none();
        self.handshake.as_ref().filter(|_| missing)?.wanted_key()
    }

    /// Here is the wanted key; `cipher_text_key` is what KMS made of it, base64, and `nonce` random.
    pub fn handle_key(&mut self, key: &DataKey, cipher_text_key: &str, nonce: [u8; NONCE_LENGTH]) {
        let awaited = matches!(self.wanted_key(), Some(WantedKey::New(_)));
        match SessionCipher::new(End::Client, key, nonce) {
            Ok(cipher) => self.encrypted.cipher = Some(cipher),
            Err(error) => return self.fail(error),
        }
        if let Some(state) = self.handshake.take_if(|_| awaited) {
            let step = state.handle_key(cipher_text_key, &self.client_version);
            self.follow(step);
        }
        if let Some(challenge) = self.encrypted.challenge.take() {
            self.answer_challenge(challenge);
        }
    }

    /// Says so when a new data key is needed.
    pub(super) fn want_key(&mut self) {
        if matches!(self.wanted_key(), Some(WantedKey::New(_))) {
            self.events.push_back(ChannelEvent::KeyWanted);
        }
    }

    /// Proves to the agent that the client has the key, as soon as it has.
    pub(super) fn answer_challenge(&mut self, challenge: String) {
        let Some(cipher) = &mut self.encrypted.cipher else {
            self.encrypted.challenge = Some(challenge);
            return;
        };
        match cipher.answer(&challenge) {
            Ok(challenge) => {
                let body = serde_json::to_vec(&ChallengeBody { challenge }).unwrap_or_default();
                self.push(PayloadType::ENC_CHALLENGE_RESPONSE, Bytes::from(body));
            }
            Err(error) => self.fail(error),
        }
    }

    /// A message as it goes onto the wire; none when it would go out in plain text and must not.
    pub(super) fn sealed(&mut self, mut message: ClientMessage) -> Option<ClientMessage> {
        let data = message.message_type == MessageType::InputStreamData && is_sealed(message.payload_type);
        if data && self.is_encrypted() {
            message.payload = self.encrypted.cipher.as_mut()?.seal(&message.payload).ok()?;
        }
        Some(message)
    }

    /// A message as the agent meant it; none when it was not sealed by the agent.
    pub(super) fn opened(&self, mut message: ClientMessage) -> Option<ClientMessage> {
        let data = message.message_type == MessageType::OutputStreamData && is_sealed(message.payload_type);
        if data && self.is_encrypted() {
            message.payload = self.encrypted.cipher.as_ref()?.open(&message.payload).ok()?;
        }
        Some(message)
    }

    /// Whether something waits for its turn that must have been sealed, and came before there was a key.
    pub(super) fn holds_plain_text(&self) -> bool {
        self.is_encrypted() && self.stream.received().holds(is_sealed)
    }

    fn is_encrypted(&self) -> bool {
        self.handshake.as_ref().is_some_and(Handshake::is_encrypted)
    }

    fn fail(&mut self, error: CipherError) {
        self.events.push_back(ChannelEvent::Failed {
            reason: format!("{error}: KMS has given the agent another data key than this client"),
        });
    }
}
