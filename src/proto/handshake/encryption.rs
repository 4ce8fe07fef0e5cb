//! What the agent asks for when the account wants its sessions encrypted.

use serde_json::Value;

use super::HandshakeError;

/// Bytes of the names that a request may have; KMS itself takes 2048 for a key.
const LONGEST: usize = 2048;

/// What the agent says of the data key it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// The KMS key: an id, an ARN or an alias.
    pub kms_key_id: String,
    /// Random text that newer agents want in the key's encryption context.
    pub challenge: Option<String>,
}

impl KeyRequest {
    /// Reads the parameters of a KMSEncryption action.
    pub(super) fn read(parameters: &Value) -> Result<Self, HandshakeError> {
        let text = |name: &str| parameters.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kms_key_id, challenge) = (text("KMSKeyId"), text("Challenge"));
        if kms_key_id.is_empty() || kms_key_id.len() > LONGEST || challenge.len() > LONGEST {
            return Err(HandshakeError::Malformed(
                "a KMSEncryption action without a usable KMSKeyId".to_owned(),
            ));
        }
        Ok(Self {
            kms_key_id: kms_key_id.to_owned(),
            challenge: (!challenge.is_empty()).then(|| challenge.to_owned()),
        })
    }
}

/// The encryption both sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// What the agent asked for.
    pub request: KeyRequest,
    /// The data key, encrypted by KMS, base64: KMS decrypts it again.
    pub cipher_text_key: String,
    /// The agent has asked for the proof that the client has the key, too.
    pub challenged: bool,
}

/// The data key that a session needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedKey {
    /// A new one.
    New(KeyRequest),
    /// The one both sides have agreed on.
    Agreed(Encryption),
}
