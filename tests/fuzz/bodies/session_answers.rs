//! What the control plane answers, how long to wait when it does not, and what happens to the machine meanwhile.

use std::time::Duration;

use super::super::cursor::Cursor;
use autossm_proto::cipher::{DataKey, KEY_LENGTH};
use autossm_proto::session::{
    Backoff, FailureClass, Grant, KeyGrant, NetworkChange, OnEnd, Preferences, Secret, SessionConfig, StartWhen,
};
use bytes::Bytes;

/// Must never be in anything that can be printed.
pub(super) const CANARY: &str = "canary-token";

#[derive(Debug)]
pub(super) struct Steady;

impl Backoff for Steady {
    fn next_wait(&mut self) -> Duration {
        Duration::from_millis(100)
    }

    fn reset(&mut self) {}
}

pub(super) fn grant() -> Grant {
    Grant {
        session_id: "ada-1".to_owned(),
        token: Secret::new(CANARY.to_owned()),
        stream_url: "wss://service.example/".to_owned(),
    }
}

pub(super) fn key() -> KeyGrant {
    KeyGrant {
        key: DataKey::new(CANARY.bytes().cycle().take(KEY_LENGTH).collect()).unwrap(),
        cipher_text_key: "a2V5".to_owned(),
        nonce: [0; 12],
    }
}

pub(super) fn class(choice: u8) -> FailureClass {
    match choice % 8 {
        0 => FailureClass::Network,
        1 => FailureClass::Throttled {
            retry_after: Some(Duration::from_secs(1)),
        },
        2 => FailureClass::Credentials,
        3 => FailureClass::AccessDenied,
        4 => FailureClass::TargetNotConnected,
        5 => FailureClass::SessionGone,
        6 => FailureClass::Protocol,
        _ => FailureClass::Rejected,
    }
}

pub(super) fn change(choice: u8) -> NetworkChange {
    match choice / 8 % 4 {
        0 => NetworkChange::Link,
        1 => NetworkChange::Address,
        2 => NetworkChange::Route,
        _ => NetworkChange::Woke,
    }
}

/// Small limits, and one of the ways to live.
pub(super) fn config(choice: u8) -> SessionConfig {
    SessionConfig {
        receive_limit_per_stream: 64 << 10,
        receive_limit: 128 << 10,
        reorder_limit: 64 << 10,
        start: if choice.is_multiple_of(2) {
            StartWhen::AtOnce
        } else {
            StartWhen::OnConnect
        },
        on_end: [OnEnd::Auto, OnEnd::Restart, OnEnd::Dormant, OnEnd::Stop][usize::from(choice / 2 % 4)],
        idle_keepalive: (choice > 127).then(|| Duration::from_secs(u64::from(choice))),
        ..SessionConfig::default()
    }
}

/// What an account may say.
pub(super) fn preferences(choice: u8) -> Preferences {
    let idle = Duration::from_secs(60 * u64::from(choice));
    Preferences {
        idle: Some(idle),
        most: choice.is_multiple_of(2).then_some(idle * 2),
    }
}

/// Any number.
pub(super) fn long(cursor: &mut Cursor<'_>) -> i64 {
    cursor
        .bytes(8)
        .iter()
        .fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// The agent's first message.
pub(super) fn request(raw: bool) -> Bytes {
    let properties = if raw { "{}" } else { r#"{"type":"LocalPortForwarding"}"# };
    let text = format!(
        r#"{{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{{"SessionType":"Port","Properties":{properties}}}}}]}}"#
    );
    Bytes::from(text)
}
