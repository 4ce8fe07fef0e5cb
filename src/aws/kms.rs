//! The data keys of encrypted sessions: KMS makes them for the client and decrypts them for the agent, and both must name
//! the same encryption context.

use std::collections::HashMap;

use autossm_proto::cipher::{DataKey, KEY_LENGTH, NONCE_LENGTH};
use autossm_proto::handshake::WantedKey;
use autossm_proto::session::{Failure, FailureClass, KeyGrant};
use aws_sdk_kms::primitives::Blob;
use aws_smithy_types::base64;
use rand::TryRng;
use rand::rngs::SysRng;

use super::calls::Calls;
use super::errors::{Action, incomplete};

/// The encryption context of a session's key. The agent names the same, so that a key is good for one session only.
pub(super) fn context(session_id: &str, target: String, wanted: &WantedKey) -> HashMap<String, String> {
    let mut context = HashMap::from([
        ("aws:ssm:SessionId".to_owned(), session_id.to_owned()),
        ("aws:ssm:TargetId".to_owned(), target),
    ]);
    let request = match wanted {
        WantedKey::New(request) => request,
        WantedKey::Agreed(agreed) => &agreed.request,
    };
    if let Some(challenge) = &request.challenge {
        context.insert("aws:ssm:RandomChallenge".to_owned(), challenge.clone());
    }
    context
}

/// A new data key, or the one agreed on once more.
pub(super) async fn fetch(
    calls: &Calls<'_>,
    context: HashMap<String, String>,
    wanted: &WantedKey,
) -> Result<KeyGrant, Failure> {
    match wanted {
        WantedKey::New(request) => {
            let call = calls.kms().generate_data_key().key_id(&request.kms_key_id);
            let call = call.number_of_bytes(i32::try_from(KEY_LENGTH).unwrap_or(i32::MAX));
            let sent = call.set_encryption_context(Some(context)).send().await;
            let answer = calls.answered(Action::NewKey, sent)?;
            let encrypted = answer.ciphertext_blob.filter(|blob| !blob.as_ref().is_empty());
            let encrypted = encrypted.ok_or_else(|| incomplete(Action::NewKey, "CiphertextBlob"))?;
            granted(Action::NewKey, answer.plaintext, base64::encode(encrypted))
        }
        WantedKey::Agreed(agreed) => {
            let encrypted = base64::decode(&agreed.cipher_text_key).unwrap_or_default();
            let call = calls.kms().decrypt().ciphertext_blob(Blob::new(encrypted));
            let call = call.key_id(&agreed.request.kms_key_id);
            let sent = call.set_encryption_context(Some(context)).send().await;
            let answer = calls.answered(Action::Decrypt, sent)?;
            granted(Action::Decrypt, answer.plaintext, agreed.cipher_text_key.clone())
        }
    }
}

/// The key in plain text, with a random place where its nonces begin.
fn granted(action: Action, plain: Option<Blob>, cipher_text_key: String) -> Result<KeyGrant, Failure> {
    let key = plain.and_then(|plain| DataKey::new(plain.into_inner()));
    let key = key.ok_or_else(|| incomplete(action, "Plaintext of 64 bytes"))?;
    let mut nonce = [0; NONCE_LENGTH];
    SysRng.try_fill_bytes(&mut nonce).map_err(|error| Failure {
        class: FailureClass::Network,
        text: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(KeyGrant {
        key,
        cipher_text_key,
        nonce,
    })
}
