//! The bodies of the agent's handshake.

use autossm_proto::wire::{ActionStatus, CompleteBody, HandshakeRequestBody, HandshakeResponseBody, RequestedAction};
use bytes::Bytes;
use serde_json::json;

use super::destinations::Destination;
use super::version::AgentVersion;

/// What StartSession was asked for, as far as the client is told again.
#[derive(Clone, Debug)]
pub(crate) struct PortProperties {
    pub(crate) local_port: String,
    pub(crate) document: Document,
    /// What a document of commands is to run.
    pub(crate) command: String,
    /// What the document said, before any host was replaced.
    pub(crate) host: String,
}

/// The kind of document a session was started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// AWS-StartPortForwardingSession.
    Forward,
    /// AWS-StartPortForwardingSessionToRemoteHost.
    ForwardToHost,
    /// AWS-StartSSHSession, and other documents of one port without a type.
    Ssh,
    /// SSM-SessionManagerRunShell, or none.
    Shell,
    /// AWS-StartInteractiveCommand.
    Interactive,
    /// AWS-StartNonInteractiveCommand.
    Command {
        /// `separateOutputStream`.
        separate: bool,
    },
}

impl Document {
    /// Whether its type is LocalPortForwarding.
    pub(crate) const fn forwards(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardToHost)
    }

    /// Whether it is for a shell or a command.
    pub(crate) const fn is_shell(self) -> bool {
        matches!(self, Self::Shell | Self::Interactive | Self::Command { .. })
    }

    /// Whether the agent asks for a handshake although nothing is encrypted.
    pub(super) const fn shakes_hands(self) -> bool {
        !matches!(self, Self::Shell | Self::Interactive)
    }

    const fn session_type(self) -> &'static str {
        match self {
            Self::Forward | Self::ForwardToHost | Self::Ssh => "Port",
            Self::Shell => "Standard_Stream",
            Self::Interactive => "InteractiveCommands",
            Self::Command { .. } => "NonInteractiveCommands",
        }
    }
}

/// The payload of HandshakeRequest; `encryption` is the action that asks for it.
pub(crate) fn request(
    version: AgentVersion,
    destination: &Destination,
    properties: &PortProperties,
    encryption: Option<RequestedAction>,
) -> Bytes {
    let port = destination.port.to_string();
    let mut shown = if properties.document.is_shell() {
        json!(null)
    } else if properties.document.forwards() {
        json!({
            "portNumber": port,
            "localPortNumber": properties.local_port,
            "type": "LocalPortForwarding",
        })
    } else {
        json!({ "portNumber": port })
    };
    if properties.document == Document::ForwardToHost
        && let Some(map) = shown.as_object_mut()
    {
        map.insert("host".to_owned(), properties.host.clone().into());
    }
    let action = RequestedAction {
        action_type: "SessionType".to_owned(),
        action_parameters: json!({ "SessionType": properties.document.session_type(), "Properties": shown }),
    };
    encode(&HandshakeRequestBody {
        agent_version: version.to_string(),
        requested_client_actions: [Some(action), encryption].into_iter().flatten().collect(),
    })
}

/// The payload of HandshakeComplete.
pub(crate) fn complete(took: std::time::Duration) -> Bytes {
    encode(&CompleteBody {
        handshake_time_to_complete: i64::try_from(took.as_nanos()).unwrap_or(i64::MAX),
        customer_message: String::new(),
    })
}

/// Reads a HandshakeResponse: none when it is not one, else the text of its first failure, if any.
pub(crate) fn read_response(payload: &[u8]) -> Option<Result<(), String>> {
    let response: HandshakeResponseBody = serde_json::from_slice(payload).ok()?;
    let failed = response
        .processed_client_actions
        .iter()
        .find(|action| action.action_status != ActionStatus::Success);
    Some(failed.map_or(Ok(()), |action| {
        Err(format!(
            "{} failed on client with status {} error: {}",
            action.action_type,
            u32::from(action.action_status),
            action.error
        ))
    }))
}

fn encode<T: serde::Serialize>(body: &T) -> Bytes {
    serde_json::to_vec(body).unwrap_or_default().into()
}
