//! The handshake: what the agent asks for before the session begins.
//!
//! A state is consumed by its transition, so a message that is illegal for a state cannot leave it half-changed.

mod version;

pub use version::AgentVersion;

use bytes::Bytes;

use crate::wire::{
    ActionStatus, CompleteBody, HandshakeRequestBody, HandshakeResponseBody, PayloadType, ProcessedAction,
};

/// How far the handshake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The agent has not asked yet.
    AwaitingRequest,
    /// Answered; the agent has not said that it is complete.
    AwaitingComplete(Agreement),
    /// Complete.
    Complete(Agreement),
}

/// What the two sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The agent's version.
    pub agent: AgentVersion,
    /// Its text, for people; empty when it was not said.
    pub agent_version: String,
    /// How the bytes of local connections travel.
    pub carriage: Carriage,
}

/// What a session carries. The document and the agent's age decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// Many connections in frames of smux.
    Multiplexed,
    /// The bytes of one connection as they are, which is all that such a session carries.
    Raw,
    /// A terminal, or the output of a command.
    Shell,
}

/// Why a handshake cannot succeed. The session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The agent's message is not what the protocol says.
    #[error("handshake message from the agent is malformed: {0}")]
    Malformed(String),
    /// Complete before any request.
    #[error("agent completed a handshake that it had not begun")]
    NotBegun,
    /// The session is of a kind that nobody knows.
    #[error("session type {0:?} is not a port session, shell or command: check the document and its parameters")]
    SessionType(String),
    /// The agent wants something this client cannot do.
    #[error("agent asks for {0}, which this version does not support")]
    Action(String),
    /// The agent knows no remote hosts: it would connect to a port of its own machine instead.
    #[error("SSM agent {0} is too old for forwards to another host: update it to 3.2.1041.0 or later")]
    AgentTooOld(String),
}

/// What a step asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The next state.
    pub next: Handshake,
    /// A HandshakeResponse to send.
    pub response: Option<Bytes>,
    /// The session must end, but only after the response has told the agent why.
    pub refused: Option<HandshakeError>,
}

impl Handshake {
    /// That of a session without one: shells and interactive commands without encryption begin with their output.
    pub const fn absent() -> Self {
        Self::Complete(Agreement {
            agent: AgentVersion::UNSAID,
            agent_version: String::new(),
            carriage: Carriage::Shell,
        })
    }

    /// Takes a message of the payload types 5 or 7.
    ///
    /// # Errors
    /// [`HandshakeError`]: the session cannot go on.
    pub fn handle(
        self,
        payload_type: PayloadType,
        payload: &[u8],
        client_version: &str,
    ) -> Result<Step, HandshakeError> {
        let stay = |next| {
            Ok(Step {
                next,
                response: None,
                refused: None,
            })
        };
        match (self, payload_type) {
            (Self::AwaitingRequest, PayloadType::HANDSHAKE_REQUEST) => answer(payload, client_version),
            (Self::AwaitingRequest, PayloadType::HANDSHAKE_COMPLETE) => Err(HandshakeError::NotBegun),
            (Self::AwaitingComplete(agreement), PayloadType::HANDSHAKE_COMPLETE) => {
                let parsed: Result<CompleteBody, _> = serde_json::from_slice(payload);
                parsed.map_err(|error| HandshakeError::Malformed(error.to_string()))?;
                stay(Self::Complete(agreement))
            }
            // A second answer under a new number would block the agent's reader for ever: say nothing.
            (state, _) => stay(state),
        }
    }

    /// What was agreed on, once the request has come.
    pub const fn agreement(&self) -> Option<&Agreement> {
        match self {
            Self::AwaitingRequest => None,
            Self::AwaitingComplete(agreement) | Self::Complete(agreement) => Some(agreement),
        }
    }

    /// Whether ordinary messages may be sent.
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Complete(_))
    }
}

/// Actions that a request may have; agents ask for two.
const MOST_ACTIONS: usize = 16;
/// Characters of a word of the agent that an error or the answer repeats.
const LONGEST_WORD: usize = 100;

/// The agent's word, as far as anybody wants to read it.
fn word(text: &str) -> String {
    text.chars().take(LONGEST_WORD).collect()
}

/// Answers a HandshakeRequest, action by action.
fn answer(payload: &[u8], client_version: &str) -> Result<Step, HandshakeError> {
    let malformed = |text: String| HandshakeError::Malformed(text);
    let request: HandshakeRequestBody =
        serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))?;
    let agent = AgentVersion::parse(&request.agent_version)
        .ok_or_else(|| malformed(format!("agent version {:?}", word(&request.agent_version))))?;
    let count = request.requested_client_actions.len();
    if count > MOST_ACTIONS {
        return Err(malformed(format!("{count} actions in one request")));
    }
    let (mut refused, mut carriage) = (None, Carriage::Multiplexed);
    let mut processed = Vec::new();
    for action in &request.requested_client_actions {
        let outcome = match action.action_type.as_str() {
            "SessionType" => accept_session_type(&action.action_parameters, agent, &request.agent_version)
                .map(|accepted| carriage = accepted),
            other => Err(HandshakeError::Action(word(other))),
        };
        let (status, error) = match &outcome {
            Ok(()) => (ActionStatus::Success, String::new()),
            Err(error @ HandshakeError::Action(_)) => (ActionStatus::Unsupported, error.to_string()),
            Err(error) => (ActionStatus::Failed, error.to_string()),
        };
        processed.push(ProcessedAction {
            action_type: word(&action.action_type),
            action_status: status,
            action_result: None,
            error,
        });
        refused = refused.or_else(|| outcome.err());
    }
    let body = HandshakeResponseBody {
        client_version: client_version.to_owned(),
        processed_client_actions: processed,
        errors: refused.as_ref().map(|error| vec![error.to_string()]),
    };
    let response = serde_json::to_vec(&body).map_err(|error| malformed(error.to_string()))?;
    let agreement = Agreement {
        agent,
        agent_version: request.agent_version,
        carriage,
    };
    Ok(Step {
        next: Handshake::AwaitingComplete(agreement),
        response: Some(Bytes::from(response)),
        refused,
    })
}

/// A shell, a command, or a Port session: multiplexed if the document and the agent know how, else the bytes of one connection.
fn accept_session_type(
    parameters: &serde_json::Value,
    agent: AgentVersion,
    agent_version: &str,
) -> Result<Carriage, HandshakeError> {
    let text = |value: Option<&serde_json::Value>| word(value.and_then(|value| value.as_str()).unwrap_or_default());
    let session_type = text(parameters.get("SessionType"));
    match session_type.as_str() {
        "Port" => {}
        "Standard_Stream" | "InteractiveCommands" | "NonInteractiveCommands" => return Ok(Carriage::Shell),
        _ => return Err(HandshakeError::SessionType(session_type)),
    }
    let property = |name: &str| {
        let properties = parameters.get("Properties");
        text(properties.and_then(|properties| properties.get(name)))
    };
    if property("type") == "LocalPortForwarding" && agent.multiplexes() {
        return Ok(Carriage::Multiplexed);
    }
    if !agent.multiplexes() && !property("host").is_empty() {
        return Err(HandshakeError::AgentTooOld(agent_version.to_owned()));
    }
    Ok(Carriage::Raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: &str, kind: &str) -> Vec<u8> {
        asks(version, "Port", &format!(r#"{{"type":"{kind}"}}"#))
    }

    fn asks(version: &str, session_type: &str, properties: &str) -> Vec<u8> {
        format!(r#"{{"AgentVersion":"{version}","RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{{"SessionType":"{session_type}","Properties":{properties}}}}}]}}"#).into_bytes()
    }

    fn begin(payload: &[u8]) -> Result<Step, HandshakeError> {
        Handshake::AwaitingRequest.handle(PayloadType::HANDSHAKE_REQUEST, payload, "1.2.764.0")
    }

    #[test]
    fn a_forward_is_accepted_with_the_bytes_awss_plugin_writes() {
        let step = begin(&request("3.3.1142.0", "LocalPortForwarding")).unwrap();
        let expected = r#"{"ClientVersion":"1.2.764.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}],"Errors":null}"#;
        assert_eq!(step.response.as_deref(), Some(expected.as_bytes()));
        let complete = br#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#;
        let done = step
            .next
            .handle(PayloadType::HANDSHAKE_COMPLETE, complete, "1.2.764.0")
            .unwrap();
        assert!(done.next.is_complete() && done.response.is_none());
    }

    #[test]
    fn a_second_request_is_never_answered_twice() {
        let payload = request("3.3.1142.0", "LocalPortForwarding");
        let step = begin(&payload).unwrap();
        let again = step
            .next
            .clone()
            .handle(PayloadType::HANDSHAKE_REQUEST, &payload, "1.2.764.0")
            .unwrap();
        assert_eq!((again.response, again.next), (None, step.next));
    }

    #[test]
    fn the_document_and_the_agents_age_decide_how_bytes_travel() {
        let carriage = |payload: &[u8]| {
            let step = begin(payload).unwrap();
            step.refused
                .map_or_else(|| Ok(step.next.agreement().unwrap().carriage), Err)
        };
        let forward = "LocalPortForwarding";
        assert_eq!(carriage(&request("3.3.1142.0", forward)), Ok(Carriage::Multiplexed));
        assert_eq!(carriage(&request("3.0.197.0", forward)), Ok(Carriage::Multiplexed));
        assert_eq!(carriage(&request("3.0.196.0", forward)), Ok(Carriage::Raw));
        for properties in [
            r#"{"portNumber":"22"}"#,
            r#"{"portNumber":"22","type":null}"#,
            "{}",
            "null",
        ] {
            let ssh = asks("3.3.1142.0", "Port", properties);
            assert_eq!(carriage(&ssh), Ok(Carriage::Raw), "{properties}");
        }
        for kind in ["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands"] {
            let shell = asks("3.0.100.0", kind, "null");
            assert_eq!(carriage(&shell), Ok(Carriage::Shell), "{kind}");
        }
        let remote = asks("3.0.196.0", "Port", r#"{"type":"LocalPortForwarding","host":"db"}"#);
        let too_old = HandshakeError::AgentTooOld("3.0.196.0".to_owned());
        assert_eq!(carriage(&remote), Err(too_old));
    }

    #[test]
    fn what_nobody_knows_is_refused_with_a_reason() {
        let other = begin(&asks("3.3.1142.0", "Video", "null")).unwrap();
        assert_eq!(other.refused, Some(HandshakeError::SessionType("Video".to_owned())));
        let kms = br#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"KMSEncryption","ActionParameters":{}}]}"#;
        let response = begin(kms).unwrap().response.unwrap();
        assert!(String::from_utf8_lossy(&response).contains(r#""ActionStatus":3"#));
    }

    /// The answer stays in the backlog and the error in status: neither may be as long as the agent likes.
    #[test]
    fn long_words_of_the_agent_are_cut() {
        let long = "x".repeat(1_000_000);
        let kind = begin(&asks("3.3.1142.0", &long, "{}")).unwrap();
        assert!(kind.response.unwrap().len() < 2000 && kind.refused.unwrap().to_string().len() < 500);
        for payload in [
            request(&long, ""),
            request(&format!("{}3.3.1", "0".repeat(1000)), "LocalPortForwarding"),
        ] {
            assert!(begin(&payload).is_err_and(|error| error.to_string().len() < 500));
        }
        let action = r#"{"ActionType":"SessionType","ActionParameters":{}}"#;
        let many = vec![action; 1000].join(",");
        let many = format!(r#"{{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{many}]}}"#);
        let refused = begin(many.as_bytes()).unwrap_err();
        assert_eq!(
            refused,
            HandshakeError::Malformed("1000 actions in one request".to_owned())
        );
    }

    #[test]
    fn malformed_messages_are_errors() {
        for payload in [
            &b""[..],
            b"{}",
            b"[",
            br#"{"AgentVersion":"x","RequestedClientActions":[]}"#,
        ] {
            assert!(matches!(begin(payload), Err(HandshakeError::Malformed(_))));
        }
        let early = Handshake::AwaitingRequest.handle(PayloadType::HANDSHAKE_COMPLETE, b"{}", "");
        assert_eq!(early, Err(HandshakeError::NotBegun));
    }
}
