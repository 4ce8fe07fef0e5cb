//! The handshake: what the agent asks for before the session begins.
//!
//! A state is consumed by its transition, so a message that is illegal for a state cannot leave it half-changed.

mod encryption;
mod version;

pub use encryption::{Encryption, KeyRequest, WantedKey};
pub use version::AgentVersion;

use bytes::Bytes;

use crate::wire::{
    ActionResult, ActionStatus, ChallengeBody, CompleteBody, HandshakeRequestBody, HandshakeResponseBody, PayloadType,
    ProcessedAction,
};

/// How far the handshake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The agent has not asked yet.
    AwaitingRequest,
    /// The agent wants the session encrypted: the answer needs a data key first.
    AwaitingKey(Box<AwaitedKey>),
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
    /// With which key the session is encrypted, if it is.
    pub encryption: Option<Encryption>,
}

/// A request that is answered once there is a data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedKey {
    /// What the agent wants.
    pub request: KeyRequest,
    agreement: Agreement,
    /// The answer, but for the key.
    processed: Vec<ProcessedAction>,
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
    /// The agent has not proven that it has the data key.
    #[error("agent completed the handshake of an encrypted session without a challenge: it cannot be trusted")]
    NotChallenged,
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
    /// A challenge to answer with the session's cipher, as it came.
    pub challenge: Option<String>,
    /// The session must end, which tells the agent: the response, which says why, is no longer waited for.
    pub refused: Option<HandshakeError>,
}

impl Handshake {
    /// That of a session without one: shells and interactive commands without encryption begin with their output.
    pub const fn absent() -> Self {
        Self::Complete(Agreement {
            agent: AgentVersion::UNSAID,
            agent_version: String::new(),
            carriage: Carriage::Shell,
            encryption: None,
        })
    }

    /// Takes a message of the payload types 5, 7 or 8.
    ///
    /// # Errors
    /// [`HandshakeError`]: the session cannot go on.
    pub fn handle(
        self,
        payload_type: PayloadType,
        payload: &[u8],
        client_version: &str,
    ) -> Result<Step, HandshakeError> {
        let malformed = |error: serde_json::Error| HandshakeError::Malformed(error.to_string());
        match (self, payload_type) {
            (Self::AwaitingRequest, PayloadType::HANDSHAKE_REQUEST) => answer(payload, client_version),
            (Self::AwaitingRequest | Self::AwaitingKey(_), PayloadType::HANDSHAKE_COMPLETE) => {
                Err(HandshakeError::NotBegun)
            }
            (Self::AwaitingComplete(mut agreement), PayloadType::ENC_CHALLENGE_REQUEST)
                if agreement.is_unchallenged() =>
            {
                let body: ChallengeBody = serde_json::from_slice(payload).map_err(malformed)?;
                if let Some(encryption) = &mut agreement.encryption {
                    encryption.challenged = true;
                }
                Ok(Step {
                    challenge: Some(body.challenge),
                    ..Step::to(Self::AwaitingComplete(agreement))
                })
            }
            (Self::AwaitingComplete(agreement), PayloadType::HANDSHAKE_COMPLETE) => {
                let _body: CompleteBody = serde_json::from_slice(payload).map_err(malformed)?;
                if agreement.is_unchallenged() {
                    return Err(HandshakeError::NotChallenged);
                }
                Ok(Step::to(Self::Complete(agreement)))
            }
            // A second answer under a new number would block the agent's reader for ever: say nothing.
            (state, _) => Ok(Step::to(state)),
        }
    }

    /// There is a data key: `cipher_text_key` is what KMS made of it, base64. Changes nothing unless it is awaited.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`]: the answer cannot be written.
    pub fn handle_key(self, cipher_text_key: &str, client_version: &str) -> Result<Step, HandshakeError> {
        let Self::AwaitingKey(awaited) = self else {
            return Ok(Step::to(self));
        };
        let AwaitedKey {
            request,
            agreement,
            mut processed,
        } = *awaited;
        let result = ActionResult {
            kms_cipher_text_key: cipher_text_key.to_owned(),
            kms_cipher_text_hash: None,
            challenge_acknowledgement: request.challenge.is_some().then_some(true),
        };
        for action in processed.iter_mut().filter(|action| action.action_type == KMS) {
            action.action_result = Some(result.clone());
        }
        let agreement = Agreement {
            encryption: Some(Encryption {
                request,
                cipher_text_key: cipher_text_key.to_owned(),
                challenged: false,
            }),
            ..agreement
        };
        Ok(Step {
            response: Some(response(client_version, processed, None)?),
            ..Step::to(Self::AwaitingComplete(agreement))
        })
    }

    /// The answer that was sent, as a journal has it: which key the session has.
    pub(crate) fn handle_sent(self, sent: &[u8], client_version: &str) -> Self {
        let body: Result<HandshakeResponseBody, _> = serde_json::from_slice(sent);
        let key = body.ok().and_then(|body| {
            let mut results = body
                .processed_client_actions
                .into_iter()
                .map(|action| action.action_result);
            Some(results.find_map(|result| result)?.kms_cipher_text_key)
        });
        let (Self::AwaitingKey(_), Some(key)) = (&self, key) else {
            return self;
        };
        let step = self.clone().handle_key(&key, client_version);
        step.map_or(self, |step| step.next)
    }

    /// What was agreed on, once the request has come.
    pub const fn agreement(&self) -> Option<&Agreement> {
        match self {
            Self::AwaitingRequest => None,
            Self::AwaitingKey(awaited) => Some(&awaited.agreement),
            Self::AwaitingComplete(agreement) | Self::Complete(agreement) => Some(agreement),
        }
    }

    /// The data key that the session needs, as far as it is encrypted.
    pub fn wanted_key(&self) -> Option<WantedKey> {
        match self {
            Self::AwaitingKey(awaited) => Some(WantedKey::New(awaited.request.clone())),
            Self::AwaitingRequest => None,
            Self::AwaitingComplete(agreement) | Self::Complete(agreement) => {
                agreement.encryption.clone().map(WantedKey::Agreed)
            }
        }
    }

    /// Both sides have agreed to encrypt what the session carries.
    pub fn is_encrypted(&self) -> bool {
        self.agreement().is_some_and(|agreement| agreement.encryption.is_some())
    }

    /// Whether ordinary messages may be sent.
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Complete(_))
    }
}

impl Agreement {
    /// Encrypted, and the agent has not shown yet that it has the key.
    fn is_unchallenged(&self) -> bool {
        self.encryption
            .as_ref()
            .is_some_and(|encryption| !encryption.challenged)
    }
}

impl Step {
    const fn to(next: Handshake) -> Self {
        Self {
            next,
            response: None,
            challenge: None,
            refused: None,
        }
    }
}

/// The action that asks for encryption.
const KMS: &str = "KMSEncryption";
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
    let (mut refused, mut carriage, mut key) = (None, Carriage::Multiplexed, None);
    let mut processed = Vec::new();
    for action in &request.requested_client_actions {
        let outcome = match action.action_type.as_str() {
            "SessionType" => accept_session_type(&action.action_parameters, agent, &request.agent_version)
                .map(|accepted| carriage = accepted),
            KMS if key.is_none() => KeyRequest::read(&action.action_parameters).map(|request| key = Some(request)),
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
    let agreement = Agreement {
        agent,
        agent_version: request.agent_version,
        carriage,
        encryption: None,
    };
    if let (Some(request), None) = (key, &refused) {
        let awaited = AwaitedKey {
            request,
            agreement,
            processed,
        };
        return Ok(Step::to(Handshake::AwaitingKey(Box::new(awaited))));
    }
    Ok(Step {
        response: Some(response(client_version, processed, refused.as_ref())?),
        refused,
        ..Step::to(Handshake::AwaitingComplete(agreement))
    })
}

/// The bytes of a HandshakeResponse.
fn response(
    client_version: &str,
    processed: Vec<ProcessedAction>,
    refused: Option<&HandshakeError>,
) -> Result<Bytes, HandshakeError> {
    let body = HandshakeResponseBody {
        client_version: client_version.to_owned(),
        processed_client_actions: processed,
        errors: refused.map(|error| vec![error.to_string()]),
    };
    let bytes = serde_json::to_vec(&body).map_err(|error| HandshakeError::Malformed(error.to_string()))?;
    Ok(Bytes::from(bytes))
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
mod tests;
