//! The agent's half of an encrypted session.

use std::sync::Arc;

use autossm_proto::cipher::{DataKey, End, SessionCipher};
use autossm_proto::wire::{ChallengeBody, ClientMessage, HandshakeResponseBody, PayloadType, RequestedAction};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::json;

use crate::config::Config;
use crate::kms::{Context, Kms, context};

/// What the agent knows of the session's encryption.
#[derive(Debug)]
pub(crate) struct Encryption {
    kms: Arc<Kms>,
    key_id: String,
    context: Context,
    challenge: Option<String>,
    cipher: Option<SessionCipher>,
    /// What the client must send back.
    proof: [u8; 64],
}

impl Encryption {
    /// Of the session with this id on this target, if the account encrypts its sessions.
    pub(crate) fn wanted(
        config: &Config,
        kms: &Arc<Kms>,
        (session_id, target): (&str, &str),
        rng: &mut StdRng,
    ) -> Option<Self> {
        let key_id = config.kms_key.clone()?;
        let random: [u8; 16] = rng.random();
        let challenge = config.agent.kms_challenge.then(|| STANDARD.encode(random));
        Some(Self {
            kms: Arc::clone(kms),
            key_id,
            context: context(session_id, target, challenge.as_deref()),
            challenge,
            cipher: None,
            proof: [0; 64],
        })
    }

    /// The action in HandshakeRequest.
    pub(super) fn action(&self) -> RequestedAction {
        let mut parameters = json!({ "KMSKeyId": self.key_id });
        if let (Some(challenge), Some(map)) = (&self.challenge, parameters.as_object_mut()) {
            map.insert("Challenge".to_owned(), challenge.clone().into());
        }
        RequestedAction {
            action_type: "KMSEncryption".to_owned(),
            action_parameters: parameters,
        }
    }

    /// Takes the client's key; gives the payload of EncChallengeRequest, or why there is none.
    pub(super) fn begin(&mut self, response: &[u8], rng: &mut StdRng) -> Result<Bytes, String> {
        let body: HandshakeResponseBody = serde_json::from_slice(response).map_err(|error| error.to_string())?;
        let mut results = body.processed_client_actions.iter();
        let result = results.find_map(|action| action.action_result.as_ref());
        let result = result.ok_or("the client has sent no key")?;
        let mut context = self.context.clone();
        if result.challenge_acknowledgement != Some(true) {
            // It asks KMS for what the client says it has done.
            context.remove("aws:ssm:RandomChallenge");
        }
        let key = self.kms.decrypt(&result.kms_cipher_text_key, &context);
        let key = key
            .and_then(DataKey::new)
            .ok_or("Fetching data key failed: Unable to retrieve data key")?;
        let mut cipher = SessionCipher::new(End::Agent, &key, rng.random()).map_err(|error| error.to_string())?;
        self.proof = rng.random();
        let sealed = cipher.seal(&self.proof).map_err(|error| error.to_string())?;
        self.cipher = Some(cipher);
        let challenge = STANDARD.encode(sealed);
        Ok(serde_json::to_vec(&ChallengeBody { challenge })
            .unwrap_or_default()
            .into())
    }

    /// Whether the client has sent back what the challenge held, sealed by itself.
    pub(super) fn is_proven_by(&self, response: &[u8]) -> bool {
        let body: Option<ChallengeBody> = serde_json::from_slice(response).ok();
        let sealed = body.and_then(|body| STANDARD.decode(body.challenge).ok());
        let opened = sealed.and_then(|sealed| self.cipher.as_ref()?.open(&sealed).ok());
        opened.is_some_and(|opened| opened[..] == self.proof)
    }

    /// A payload of the agent as it is sent.
    pub(super) fn sealed(&mut self, payload_type: PayloadType, payload: Bytes) -> Bytes {
        let is_data = matches!(
            payload_type,
            PayloadType::OUTPUT | PayloadType::STD_ERR | PayloadType::EXIT_CODE
        );
        match self.cipher.as_mut().filter(|_| is_data) {
            Some(cipher) => cipher.seal(&payload).unwrap_or_default(),
            None => payload,
        }
    }

    /// An input message as its handler sees it; none when it was not sealed by the client.
    pub(super) fn opened(&self, received: &ClientMessage) -> Option<ClientMessage> {
        let mut opened = received.clone();
        if let Some(cipher) = self
            .cipher
            .as_ref()
            .filter(|_| received.payload_type == PayloadType::OUTPUT)
        {
            opened.payload = cipher.open(&received.payload).ok()?;
        }
        Some(opened)
    }
}
