//! How long an account lets its sessions live: its document of session preferences.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{Failure, FailureClass, Preferences};
use serde::Deserialize;

/// The document that holds the preferences of an account in a region; it is there once somebody has changed them.
pub(super) const DOCUMENT: &str = "SSM-SessionManagerRunShell";
/// What was read is believed for so long: preferences hardly ever change.
const BELIEVED: Duration = Duration::from_secs(60 * 60);
/// AWS allows 1 to 60 minutes of idling, and 1 to 1440 minutes in all.
const MOST_IDLE: u64 = 60;
const MOST_DURATION: u64 = 1440;

/// Containers idle out after this, whatever the account says.
pub(super) const OF_CONTAINERS: Preferences = Preferences {
    idle: Some(Duration::from_secs(20 * 60)),
    most: None,
};

/// The last answer, and when it was given.
#[derive(Debug, Default)]
pub(super) struct Remembered(Option<(Timestamp, Result<Preferences, Failure>)>);

impl Remembered {
    pub(super) fn get(&self, now: Timestamp) -> Option<Result<Preferences, Failure>> {
        let (at, answer) = self.0.as_ref()?;
        (now.since(*at) < BELIEVED).then(|| answer.clone())
    }

    /// Keeps an answer; a failure only if asking again soon would bring the same.
    pub(super) fn keep(&mut self, answer: &Result<Preferences, Failure>, now: Timestamp) {
        let lasting = match answer {
            Ok(_) => true,
            Err(failure) => matches!(failure.class, FailureClass::AccessDenied | FailureClass::Rejected),
        };
        if lasting {
            self.0 = Some((now, answer.clone()));
        }
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    inputs: Inputs,
}

/// Minutes, as texts; empty for "no limit".
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Inputs {
    kms_key_id: Option<String>,
    idle_session_timeout: Option<String>,
    max_session_duration: Option<String>,
}

/// Whether the account encrypts its shells and commands: then only the client that has begun one has its key.
pub(super) fn encrypts(content: &str) -> bool {
    let document = serde_json::from_str::<Document>(content);
    let key = document.ok().and_then(|document| document.inputs.kms_key_id);
    key.is_some_and(|key| !key.trim().is_empty())
}

/// What the document's content says; what makes no sense is as if it were not there.
pub(super) fn read(content: &str) -> Preferences {
    let inputs =
        serde_json::from_str::<Document>(content).map_or_else(|_| Inputs::default(), |document| document.inputs);
    Preferences {
        idle: minutes(inputs.idle_session_timeout.as_deref(), MOST_IDLE),
        most: minutes(inputs.max_session_duration.as_deref(), MOST_DURATION),
    }
}

fn minutes(text: Option<&str>, most: u64) -> Option<Duration> {
    let minutes: u64 = text?.trim().parse().ok()?;
    (1..=most).contains(&minutes).then(|| Duration::from_secs(minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_read_and_nonsense_is_not_there() {
        let read = |idle: &str, most: &str| {
            read(&format!(
                r#"{{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{{"idleSessionTimeout":{idle},"maxSessionDuration":{most},"s3BucketName":""}}}}"#
            ))
        };
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        let both = |idle, most| Preferences { idle, most };
        assert_eq!(read(r#""15""#, r#""720""#), both(minutes(15), minutes(720)));
        assert_eq!(read(r#""60""#, r#""""#), both(minutes(60), None));
        assert_eq!(read(r#""0""#, r#""1441""#), both(None, None));
        assert_eq!(read("15", "true"), both(None, None));
        assert_eq!(super::read("{}"), Preferences::default());
        assert_eq!(super::read("not JSON"), Preferences::default());
    }

    #[test]
    fn a_key_is_seen() {
        let with = |key: &str| format!(r#"{{"inputs":{{"kmsKeyId":{key},"idleSessionTimeout":"20"}}}}"#);
        assert!(encrypts(&with(r#""alias/shells""#)));
        for none in [r#""""#, "null"] {
            assert!(!encrypts(&with(none)), "{none}");
        }
        assert!(!encrypts("{}") && !encrypts("no JSON"));
    }

    #[test]
    fn a_refusal_is_believed_and_a_bad_network_is_not() {
        let at = |seconds| Timestamp::ZERO.after(Duration::from_secs(seconds));
        let failure = |class| Failure {
            class,
            text: String::new(),
        };
        let mut remembered = Remembered::default();
        remembered.keep(&Err(failure(FailureClass::Network)), at(0));
        assert_eq!(remembered.get(at(1)), None);
        remembered.keep(&Err(failure(FailureClass::AccessDenied)), at(10));
        assert!(remembered.get(at(3609)).is_some_and(|answer| answer.is_err()));
        assert_eq!(remembered.get(at(3610)), None);
        remembered.keep(&Ok(OF_CONTAINERS), at(20));
        assert_eq!(remembered.get(at(21)), Some(Ok(OF_CONTAINERS)));
    }
}
