//! The operations of the `ssm` service that a client of sessions needs.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers;
use crate::agent::{Destination, Document, PortProperties};
use crate::fault::{BadAnswer, Call, ResumeOfEnded};
use crate::service::{ApiError, BoxedBody, Grant, Registry, StartRequest};

/// Whose all sessions are.
const OWNER: &str = "arn:aws:sts::111122223333:assumed-role/dev/ada";
const PORT_DOCUMENT: &str = "AWS-StartPortForwardingSession";
const SSH_DOCUMENT: &str = "AWS-StartSSHSession";
const PREFERENCES: &str = "SSM-SessionManagerRunShell";
const HOST_DOCUMENT: &str = "AWS-StartPortForwardingSessionToRemoteHost";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartInput {
    target: String,
    document_name: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SessionInput {
    session_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DocumentInput {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetInput {
    target: String,
}

/// The call with this name.
pub(crate) fn named(operation: &str) -> Option<Call> {
    Some(match operation {
        "StartSession" => Call::Start,
        "ResumeSession" => Call::Resume,
        "TerminateSession" => Call::Terminate,
        "DescribeSessions" => Call::Describe,
        "GetConnectionStatus" => Call::Status,
        "DescribeInstanceInformation" => Call::Instances,
        "GetDocument" => Call::Document,
        "GenerateDataKey" => Call::DataKey,
        "Decrypt" => Call::Decrypt,
        _ => return None,
    })
}

/// Executes one call, or answers it badly where a fault says so.
pub(crate) async fn call(registry: &Registry, operation: &str, body: &[u8]) -> Response<BoxedBody> {
    let Some(call) = named(operation) else {
        let text = format!("operation {operation:?} is not simulated");
        return refuse(&ApiError::new("UnknownOperationException", text));
    };
    let wrong = registry.next_bad_answer(call);
    tracing::info!(operation, bad_answer = ?wrong, "call");
    if let Some(wrong) = &wrong
        && let Some(response) = answers::bad(wrong).await
    {
        return response;
    }
    let outcome = match call {
        Call::Start => start(registry, body),
        Call::Resume => resume(registry, body),
        Call::Terminate => terminate(registry, body).await,
        Call::Describe => describe(registry, body),
        Call::Status => status(registry, body),
        Call::Instances => read(body).and_then(|input| registry.fleet().describe(&input)),
        Call::Document => document(registry, body),
        Call::DataKey => read(body).and_then(|input| registry.kms().generate(input)),
        Call::Decrypt => read(body).and_then(|input| registry.kms().answer_decrypt(&input)),
    };
    match (outcome, wrong) {
        (Err(error), _) => refuse(&error),
        (Ok(mut body), Some(BadAnswer::EmptyToken)) => {
            remove(&mut body, "TokenValue");
            answers::json(StatusCode::OK, &body)
        }
        (Ok(mut body), Some(BadAnswer::NoStreamUrl)) => {
            remove(&mut body, "StreamUrl");
            answers::json(StatusCode::OK, &body)
        }
        (Ok(body), Some(BadAnswer::SlowBody(ms))) => answers::slow(&body, Duration::from_millis(ms)),
        (Ok(body), _) => answers::json(StatusCode::OK, &body),
    }
}

fn refuse(error: &ApiError) -> Response<BoxedBody> {
    answers::error(StatusCode::BAD_REQUEST, error)
}

fn remove(body: &mut Value, key: &str) {
    if let Some(map) = body.as_object_mut() {
        map.remove(key);
    }
}

fn start(registry: &Registry, body: &[u8]) -> Result<Value, ApiError> {
    let input: StartInput = read(body)?;
    let document = input.document_name.unwrap_or_default();
    let outside = registry.config().agent_program.is_some();
    let parameter = |name: &str| input.parameters.get(name).and_then(|list| list.first());
    let port = |default: &str| {
        let text = parameter("portNumber").map_or(default, String::as_str);
        text.parse::<u16>().map_err(|_not_a_port| {
            let text = format!("portNumber {text:?} is not a port");
            ApiError::new("ValidationException", text)
        })
    };
    let (kind, shown) = match document.as_str() {
        PORT_DOCUMENT => (Document::Forward, String::new()),
        HOST_DOCUMENT => (Document::ForwardToHost, parameter("host").cloned().unwrap_or_default()),
        SSH_DOCUMENT => (Document::Ssh, String::new()),
        // A program knows its documents itself.
        _ if outside => (Document::Forward, String::new()),
        "" | PREFERENCES => (Document::Shell, String::new()),
        "AWS-StartInteractiveCommand" => (Document::Interactive, String::new()),
        "AWS-StartNonInteractiveCommand" => {
            let separate = parameter("separateOutputStream").is_some_and(|value| value == "true");
            (Document::Command { separate }, String::new())
        }
        _ => {
            let text = format!("Document with name {document} does not exist.");
            return Err(ApiError::new("InvalidDocument", text));
        }
    };
    let remote = kind == Document::ForwardToHost;
    if remote && shown.is_empty() {
        return Err(ApiError::new("ValidationException", "host is missing"));
    }
    if !registry.knows_target(&input.target) {
        let text = format!("{} is not connected.", input.target);
        return Err(ApiError::new("TargetNotConnected", text));
    }
    let host = if remote { shown.as_str() } else { "127.0.0.1" };
    let mapped = registry.config().hosts.get(host);
    let destination = Destination {
        host: mapped.map_or(host, String::as_str).to_owned(),
        port: port(if kind == Document::Ssh { "22" } else { "80" })?,
    };
    let properties = PortProperties {
        local_port: parameter("localPortNumber").cloned().unwrap_or_default(),
        document: kind,
        command: parameter("command").cloned().unwrap_or_default(),
        host: shown.clone(),
    };
    let mut parameters = input.parameters;
    if let Some(shown) = parameters.get_mut("host") {
        *shown = vec![destination.host.clone()];
    }
    let grant = registry.start(StartRequest {
        target: input.target,
        destination,
        properties,
        document,
        parameters: json!(parameters).to_string(),
    })?;
    Ok(granted(&grant))
}

/// The only document that can be read is that of the account's preferences.
fn document(registry: &Registry, body: &[u8]) -> Result<Value, ApiError> {
    let input: DocumentInput = read(body)?;
    let content = registry.config().preferences.as_ref();
    let content = content.filter(|_| input.name == PREFERENCES).ok_or_else(|| {
        let text = format!("Document with name {} does not exist.", input.name);
        ApiError::new("InvalidDocument", text)
    })?;
    Ok(json!({ "Name": input.name, "DocumentType": "Session", "DocumentFormat": "JSON", "Content": content }))
}

fn resume(registry: &Registry, body: &[u8]) -> Result<Value, ApiError> {
    let input: SessionInput = read(body)?;
    registry.resume(&input.session_id).map(|grant| granted(&grant))
}

async fn terminate(registry: &Registry, body: &[u8]) -> Result<Value, ApiError> {
    let input: SessionInput = read(body)?;
    if registry.knows(&input.session_id) {
        let text = "The session was terminated".to_owned();
        let how = ResumeOfEnded::DoesNotExist;
        registry.end(Some(&input.session_id), Some(text), how).await;
    }
    Ok(json!({ "SessionId": input.session_id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeInput {
    state: String,
    #[serde(default)]
    filters: Vec<SessionFilter>,
}

#[derive(Deserialize)]
struct SessionFilter {
    key: String,
    value: String,
}

fn describe(registry: &Registry, body: &[u8]) -> Result<Value, ApiError> {
    let input: DescribeInput = read(body)?;
    let others = |filter: &SessionFilter| filter.key == "Owner" && filter.value != OWNER;
    if input.filters.iter().any(others) {
        return Ok(json!({ "Sessions": [] }));
    }
    let named = |id: &str| {
        let mut ids = input.filters.iter().filter(|filter| filter.key == "SessionId");
        ids.all(|filter| filter.value == id)
    };
    let of_state = |ended| ended == (input.state == "History");
    let listed = registry.list().into_iter();
    let shown = listed
        .filter(|shared| of_state(shared.ended.load(Ordering::Relaxed)) && named(&shared.session_id))
        .map(|shared| {
            let status = if shared.ended.load(Ordering::Relaxed) {
                "Terminated"
            } else if shared.connected.load(Ordering::Relaxed) {
                "Connected"
            } else {
                "Disconnected"
            };
            json!({
                "SessionId": shared.session_id,
                "Target": shared.target,
                "Status": status,
                "Owner": OWNER,
                "DocumentName": shared.document,
            })
        });
    Ok(json!({ "Sessions": shown.collect::<Vec<_>>() }))
}

fn status(registry: &Registry, body: &[u8]) -> Result<Value, ApiError> {
    let input: TargetInput = read(body)?;
    let status = if registry.knows_target(&input.target) {
        "connected"
    } else {
        "notconnected"
    };
    Ok(json!({ "Target": input.target, "Status": status }))
}

fn granted(grant: &Grant) -> Value {
    let mut body = json!({ "SessionId": grant.session_id });
    if let Some(map) = body.as_object_mut()
        && !grant.token.is_empty()
    {
        map.insert("TokenValue".to_owned(), grant.token.clone().into());
        map.insert("StreamUrl".to_owned(), grant.stream_url.clone().into());
    }
    body
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::new("ValidationException", error.to_string()))
}
