//! The JSON bodies. Field order is the order AWS's programs write, so the bytes match theirs.
//!
//! Reading is liberal: unknown fields are ignored, optional ones may be missing or `null`.

use serde::{Deserialize, Serialize};

use super::Uuid;

/// The payload of an `acknowledge`. It is for exactly one message, never cumulative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AcknowledgeBody {
    /// The type of the message acknowledged.
    pub acknowledged_message_type: String,
    /// Its id.
    pub acknowledged_message_id: Uuid,
    /// Its number; AWS's agent matches by this alone.
    pub acknowledged_message_sequence_number: i64,
    /// Always true in what AWS's programs send.
    #[serde(default)]
    pub is_sequential_message: bool,
}

/// The payload of `channel_closed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChannelClosedBody {
    /// The session that has ended.
    pub session_id: Option<String>,
    /// The reason, for the user.
    pub output: Option<String>,
}

/// The first frame of a data channel (text, not a `ClientMessage`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannelBody {
    /// "1.0".
    pub message_schema_version: String,
    /// New for each data channel.
    pub request_id: Uuid,
    /// Secret: from StartSession or ResumeSession.
    pub token_value: String,
    /// The same for the session's whole life.
    pub client_id: Uuid,
    /// Must look like the plugin's version.
    pub client_version: String,
}

impl std::fmt::Debug for OpenDataChannelBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenDataChannelBody")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What the agent wants done before the session begins (payload type 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequestBody {
    /// For example "3.3.1142.0".
    pub agent_version: String,
    /// In the order they must be answered.
    pub requested_client_actions: Vec<RequestedAction>,
}

/// One wish of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestedAction {
    /// "SessionType" or "KMSEncryption".
    pub action_type: String,
    /// Its shape depends on the type.
    pub action_parameters: serde_json::Value,
}

/// The client's answer (payload type 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponseBody {
    /// The agent decides by it whether to multiplex.
    pub client_version: String,
    /// One for each requested action.
    pub processed_client_actions: Vec<ProcessedAction>,
    /// The texts of what failed; `null` when nothing did.
    pub errors: Option<Vec<String>>,
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessedAction {
    /// As requested.
    pub action_type: String,
    /// Anything but success ends the session.
    pub action_status: ActionStatus,
    /// The KMS action's result.
    pub action_result: Option<ActionResult>,
    /// Empty on success.
    pub error: String,
}

/// The result of a KMSEncryption action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActionResult {
    /// The data key, encrypted by KMS, base64.
    #[serde(rename = "KMSCipherTextKey")]
    pub kms_cipher_text_key: String,
    /// Its hash, base64; AWS's plugin sends `null`.
    #[serde(rename = "KMSCipherTextHash")]
    pub kms_cipher_text_hash: Option<String>,
    /// The agent's random challenge is part of the key's encryption context. Older agents do not know the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_acknowledgement: Option<bool>,
}

/// The challenge of an encrypted session, both ways (payload types 8 and 9): random bytes, sealed by the sender, base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChallengeBody {
    /// What the other side opens.
    pub challenge: String,
}

/// The number in `ActionStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub enum ActionStatus {
    /// 1.
    Success,
    /// 2.
    Failed,
    /// 3.
    Unsupported,
}

impl From<ActionStatus> for u32 {
    fn from(status: ActionStatus) -> Self {
        match status {
            ActionStatus::Success => 1,
            ActionStatus::Failed => 2,
            ActionStatus::Unsupported => 3,
        }
    }
}

impl TryFrom<u32> for ActionStatus {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        match number {
            1 => Ok(Self::Success),
            2 => Ok(Self::Failed),
            3 => Ok(Self::Unsupported),
            other => Err(format!("unknown action status {other}")),
        }
    }
}

/// The agent's last word of the handshake (payload type 7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CompleteBody {
    /// Nanoseconds.
    pub handshake_time_to_complete: i64,
    /// A banner for the user, often empty.
    pub customer_message: String,
}

/// A command's exit code, from the payload of type 12: `EXIT_CODE: 3`. The agent writes -1 for one that a signal ended.
pub fn exit_code(payload: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(payload).ok()?;
    text.trim().strip_prefix("EXIT_CODE:")?.trim().parse().ok()
}

/// A terminal's size (payload type 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeBody {
    /// Columns.
    pub cols: u32,
    /// Rows.
    pub rows: u32,
}
