//! Payloads sealed by AWS's plugin and by AWS's agent with one data key.

use autossm_proto::cipher::{DataKey, End, SessionCipher};
use autossm_proto::wire::ChallengeBody;
use serde_json::Value;

use crate::{unhex, vectors};

fn vector(name: &str) -> Value {
    vectors().into_iter().find(|vector| vector["name"] == name).unwrap()
}

/// A cipher of that end, whose first nonce is the vector's.
fn cipher(end: End, vector: &Value) -> SessionCipher {
    let bytes = |name: &str| unhex(vector["fields"][name].as_str().unwrap());
    let key = DataKey::new(bytes("DataKeyHex").to_vec()).unwrap();
    SessionCipher::new(end, &key, bytes("NonceHex")[..].try_into().unwrap()).unwrap()
}

#[test]
fn payloads_are_sealed_and_opened_as_awss_programs_do() {
    for (name, from, to) in [
        ("kms-client-encrypt", End::Client, End::Agent),
        ("kms-agent-encrypt-challenge", End::Agent, End::Client),
        ("kms-agent-encrypt-output", End::Agent, End::Client),
    ] {
        let vector = vector(name);
        let sealed = unhex(vector["hex"].as_str().unwrap());
        let plain = unhex(vector["fields"]["PlaintextHex"].as_str().unwrap());
        assert_eq!(cipher(from, &vector).seal(&plain).unwrap(), sealed, "{name}: seal");
        assert_eq!(cipher(to, &vector).open(&sealed).unwrap(), plain, "{name}: open");
        assert!(
            cipher(from, &vector).open(&sealed).is_err(),
            "{name}: the halves are two keys"
        );
    }
}

/// The challenge as AWS's agent writes it, answered, and the answer opened as the agent does.
#[test]
fn awss_challenge_is_answered() {
    let sealed = vector("kms-agent-encrypt-challenge");
    let request = vector("agent-enc-challenge-request");
    let body: ChallengeBody = serde_json::from_str(request["fields"]["PayloadJSON"].as_str().unwrap()).unwrap();
    let answer = cipher(End::Client, &sealed).answer(&body.challenge).unwrap();
    assert_ne!(answer, body.challenge);
    let back = cipher(End::Agent, &sealed).answer(&answer).unwrap();
    let opened = cipher(End::Client, &sealed).answer(&back).unwrap();
    assert_eq!(opened, answer, "the same bytes under the same nonce");
}
