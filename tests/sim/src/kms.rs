//! KMS, as far as encrypted sessions need it: data keys, each bound to its encryption context.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::service::ApiError;

/// The encryption context of a data key.
pub(crate) type Context = BTreeMap<String, String>;

/// What a session's key must have been made for.
pub(crate) fn context(session_id: &str, target: &str, challenge: Option<&str>) -> Context {
    let mut context = Context::from([
        ("aws:ssm:SessionId".to_owned(), session_id.to_owned()),
        ("aws:ssm:TargetId".to_owned(), target.to_owned()),
    ]);
    if let Some(challenge) = challenge {
        context.insert("aws:ssm:RandomChallenge".to_owned(), challenge.to_owned());
    }
    context
}

/// All data keys that were made.
#[derive(Debug)]
pub(crate) struct Kms {
    /// The only key there is.
    key_id: Option<String>,
    made: Mutex<Made>,
}

#[derive(Debug)]
struct Made {
    rng: StdRng,
    /// By their encrypted form, in base64.
    keys: BTreeMap<String, (Context, Vec<u8>)>,
}

/// The input of GenerateDataKey.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GenerateInput {
    key_id: String,
    number_of_bytes: usize,
    #[serde(default)]
    encryption_context: Context,
}

/// The input of Decrypt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DecryptInput {
    ciphertext_blob: String,
    #[serde(default)]
    encryption_context: Context,
}

impl Kms {
    pub(crate) fn new(key_id: Option<String>, seed: u64) -> Self {
        let made = Made {
            rng: StdRng::seed_from_u64(seed ^ 0x6b6d73),
            keys: BTreeMap::new(),
        };
        Self {
            key_id,
            made: Mutex::new(made),
        }
    }

    /// GenerateDataKey.
    pub(crate) fn generate(&self, input: GenerateInput) -> Result<Value, ApiError> {
        if self.key_id.as_ref() != Some(&input.key_id) {
            let text = format!("Key '{}' does not exist", input.key_id);
            return Err(ApiError::new("NotFoundException", text));
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let plain: Vec<u8> = (0..input.number_of_bytes.min(1024))
            .map(|_| made.rng.random())
            .collect();
        let encrypted = STANDARD.encode(made.rng.random::<[u8; 32]>());
        let answer = json!({
            "CiphertextBlob": encrypted,
            "Plaintext": STANDARD.encode(&plain),
            "KeyId": input.key_id,
        });
        made.keys.insert(encrypted, (input.encryption_context, plain));
        Ok(answer)
    }

    /// Decrypt for a client.
    pub(crate) fn answer_decrypt(&self, input: &DecryptInput) -> Result<Value, ApiError> {
        let plain = self
            .decrypt(&input.ciphertext_blob, &input.encryption_context)
            .ok_or_else(|| ApiError::new("InvalidCiphertextException", ""))?;
        Ok(json!({ "KeyId": self.key_id, "Plaintext": STANDARD.encode(plain) }))
    }

    /// The data key in plain text; none for another context.
    pub(crate) fn decrypt(&self, encrypted: &str, context: &Context) -> Option<Vec<u8>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let (made_for, plain) = made.keys.get(encrypted)?;
        (made_for == context).then(|| plain.clone())
    }
}
