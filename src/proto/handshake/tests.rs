//! Handshakes of all kinds, message by message.

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
    let unknown =
        br#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"Dance","ActionParameters":{}}]}"#;
    let response = begin(unknown).unwrap().response.unwrap();
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

/// A handshake that asks for a data key.
fn encrypted(parameters: &str) -> Result<Step, HandshakeError> {
    begin(format!(r#"{{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{{"SessionType":"Port","Properties":{{}}}}}},{{"ActionType":"KMSEncryption","ActionParameters":{parameters}}}]}}"#).as_bytes())
}

#[test]
fn a_request_for_encryption_is_answered_once_there_is_a_key() {
    for (challenge, acknowledged) in [
        ("", ""),
        (r#","Challenge":"AAEC""#, r#","ChallengeAcknowledgement":true"#),
    ] {
        let step = encrypted(&format!(r#"{{"KMSKeyId":"alias/lab"{challenge}}}"#)).unwrap();
        let request = KeyRequest {
            kms_key_id: "alias/lab".to_owned(),
            challenge: (!challenge.is_empty()).then(|| "AAEC".to_owned()),
        };
        assert_eq!(step.next.wanted_key(), Some(WantedKey::New(request.clone())));
        assert_eq!(
            (step.response, step.refused, step.next.is_encrypted()),
            (None, None, false)
        );
        let keyed = step.next.clone().handle_key("a2V5", "1.2.764.0").unwrap();
        let expected = format!(
            r#"{{"ClientVersion":"1.2.764.0","ProcessedClientActions":[{{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""}},{{"ActionType":"KMSEncryption","ActionStatus":1,"ActionResult":{{"KMSCipherTextKey":"a2V5","KMSCipherTextHash":null{acknowledged}}},"Error":""}}],"Errors":null}}"#
        );
        let response = keyed.response.unwrap();
        assert_eq!(response, expected.as_bytes());
        assert!(keyed.next.is_encrypted());
        assert_eq!(
            step.next.handle_sent(&response, "1.2.764.0"),
            keyed.next,
            "a journal knows it by the answer that was sent"
        );
        let again = keyed.next.clone().handle_key("b3RoZXI=", "1.2.764.0").unwrap();
        assert_eq!((again.response, again.next), (None, keyed.next), "one key a session");
    }
}

#[test]
fn an_agent_that_does_not_show_that_it_has_the_key_is_not_trusted() {
    let complete = br#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#;
    let handle = |state: Handshake, kind, payload: &[u8]| state.handle(kind, payload, "1.2.764.0");
    let keyless = encrypted(r#"{"KMSKeyId":"k"}"#).unwrap().next;
    let early = handle(keyless.clone(), PayloadType::HANDSHAKE_COMPLETE, complete);
    assert_eq!(early, Err(HandshakeError::NotBegun));
    let keyed = keyless.handle_key("a2V5", "1.2.764.0").unwrap().next;
    let early = handle(keyed.clone(), PayloadType::HANDSHAKE_COMPLETE, complete);
    assert_eq!(early, Err(HandshakeError::NotChallenged));
    let challenged = handle(
        keyed,
        PayloadType::ENC_CHALLENGE_REQUEST,
        br#"{"Challenge":"c2VhbGVk"}"#,
    )
    .unwrap();
    assert_eq!(challenged.challenge.as_deref(), Some("c2VhbGVk"));
    let again = handle(
        challenged.next.clone(),
        PayloadType::ENC_CHALLENGE_REQUEST,
        br#"{"Challenge":"c2VhbGVk"}"#,
    );
    assert_eq!(again.unwrap().challenge, None, "a second answer would block the agent");
    let done = handle(challenged.next, PayloadType::HANDSHAKE_COMPLETE, complete).unwrap();
    assert!(done.next.is_complete() && done.next.is_encrypted());
}

/// Payload type 9 in a session without encryption panics the agent.
#[test]
fn a_challenge_without_encryption_is_not_answered() {
    let plain = begin(&request("3.3.1142.0", "LocalPortForwarding")).unwrap().next;
    let step = plain.handle(
        PayloadType::ENC_CHALLENGE_REQUEST,
        br#"{"Challenge":"c2VhbGVk"}"#,
        "1.2.764.0",
    );
    assert_eq!(step.unwrap().challenge, None);
}

#[test]
fn requests_for_encryption_that_make_no_sense_are_refused() {
    let long = format!(r#"{{"KMSKeyId":"{}"}}"#, "k".repeat(5000));
    for parameters in ["{}", "null", r#"{"KMSKeyId":""}"#, r#"{"KMSKeyId":7}"#, &long] {
        let step = encrypted(parameters).unwrap();
        assert!(
            matches!(step.refused, Some(HandshakeError::Malformed(_))),
            "{parameters}"
        );
        assert_eq!(step.next.wanted_key(), None);
    }
    let shell = begin(br#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"k"}},{"ActionType":"SessionType","ActionParameters":{"SessionType":"Unheard"}}]}"#).unwrap();
    assert!(
        shell.refused.is_some() && shell.response.is_some(),
        "no key is fetched for it"
    );
}
