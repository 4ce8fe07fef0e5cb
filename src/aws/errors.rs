//! What a failed call means, with a text that says what to do. The table of classes lies in
//! [`classify`], for calls and upgrades alike.

use std::error::Error;
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ConnectorError, ProvideErrorMetadata, SdkError};

use super::http::{NotAws, UnusableProxy};
use super::process::HelperError;
use super::remedy::Whose;
use crate::transport::{
    Asked, Evidence, Reached, TOLERATED_SKEW, certificate_failure, classify, password_wanted, skew, skew_sentence,
};

/// A message of the service longer than this is cut.
const MESSAGE_LIMIT: usize = 300;
/// What the SDK's client says of a proxy that wants to know who asks; it has no type for it.
const PROXY_WANTS_PASSWORD: &str = "proxy authorization required";
const PROXY_REFUSES: &str = "tunnel error: unsuccessful";
/// What the SDK says when an operation has had its time, for which it has no public type either.
const OPERATION_TIMEOUT: &str = "operation timeout ";

/// The calls, by the name of their permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Resume,
    Terminate,
    Preferences,
    Sessions,
    Identity,
    Instances,
    ConnectionStatus,
    NewKey,
    Decrypt,
}

impl Action {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Start => "ssm:StartSession",
            Self::Resume => "ssm:ResumeSession",
            Self::Terminate => "ssm:TerminateSession",
            Self::Preferences => "ssm:GetDocument",
            Self::Sessions => "ssm:DescribeSessions",
            Self::Identity => "sts:GetCallerIdentity",
            Self::Instances => "ssm:DescribeInstanceInformation",
            Self::ConnectionStatus => "ssm:GetConnectionStatus",
            Self::NewKey => "kms:GenerateDataKey",
            Self::Decrypt => "kms:Decrypt",
        }
    }

    const fn asked(self) -> Asked {
        match self {
            Self::Start => Asked::Start,
            Self::Resume | Self::Terminate => Asked::Session,
            Self::Preferences
            | Self::Sessions
            | Self::Identity
            | Self::Instances
            | Self::ConnectionStatus
            | Self::NewKey
            | Self::Decrypt => Asked::Other,
        }
    }
}

/// The failure of a call to the control plane; `now` since the Unix epoch.
pub(super) fn of_call<E>(action: Action, whose: &Whose, error: &SdkError<E>, now: Duration) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let raw = error.raw_response();
    let header = |name| raw.and_then(|raw: &HttpResponse| raw.headers().get(name));
    let skew = header("date").and_then(|date| skew(date, now)).unwrap_or(0);
    let evidence = Evidence {
        asked: action.asked(),
        reached: reached(error),
        code: error.code(),
        status: raw.map(|raw| raw.status().as_u16()),
        retry_after: header("retry-after").and_then(retry_after),
        skewed: skew.unsigned_abs() >= TOLERATED_SKEW,
    };
    if let Some(credentials) = in_chain::<CredentialsError>(error)
        && evidence.reached == Reached::Unsigned
    {
        return of_credentials(whose, credentials);
    }
    let class = classify(&evidence);
    let what = match (evidence.reached, error.message(), evidence.code) {
        (Reached::Answered, Some(message), Some(code)) => format!("{} ({code})", plain(message)),
        (Reached::Answered, Some(message), None) => plain(message),
        (Reached::Answered, None, Some(code)) => code.to_owned(),
        _ => match evidence.status {
            Some(status) => format!("HTTP {status} that is not AWS's answer"),
            None => cause(error),
        },
    };
    let hint = if evidence.skewed && class == FailureClass::Network && evidence.code.is_some() {
        format!("; {}", skew_sentence(skew))
    } else {
        hint(class, action, whose)
    };
    Failure {
        class,
        text: format!("{}: {what}{hint}", action.name()),
    }
}

/// The failure to get credentials: one of the network when their source could not be reached, one of the protocol when
/// somebody else answered for it.
pub(super) fn of_credentials(whose: &Whose, error: &CredentialsError) -> Failure {
    let class = class_of_credentials(error);
    let for_profile = whose.for_profile();
    let cause = cause(error);
    let source = whose.source();
    let text = match class {
        FailureClass::Credentials if in_chain::<HelperError>(error).is_some() => {
            format!("no usable credentials{for_profile}: {cause}; {}", whose.remedy())
        }
        FailureClass::Credentials => {
            format!(
                "no usable credentials{for_profile} from {source}: {cause}; {}",
                whose.remedy()
            )
        }
        FailureClass::Network
        | FailureClass::Throttled { .. }
        | FailureClass::AccessDenied
        | FailureClass::TargetNotConnected
        | FailureClass::SessionGone
        | FailureClass::Protocol
        | FailureClass::Rejected => format!("no credentials{for_profile} now, {source} is not reached: {cause}"),
    };
    Failure { class, text }
}

/// A successful answer that lacks what it must have.
pub(super) fn incomplete(action: Action, what: &str) -> Failure {
    Failure {
        class: FailureClass::Protocol,
        text: format!("{}: the answer has no {what}; check endpoint_url", action.name()),
    }
}

fn class_of_credentials(error: &CredentialsError) -> FailureClass {
    if in_chain::<NotAws>(error).is_some() || certificate_failure(error).is_some() || proxy_failure(error).is_some() {
        return FailureClass::Protocol;
    }
    match error {
        // The default chain ends so when the instance metadata service, which a workstation does not have, is silent.
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            FailureClass::Credentials
        }
        CredentialsError::ProviderTimedOut(_) => FailureClass::Network,
        CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) | _ => {
            if in_chain::<ConnectorError>(error).is_some_and(is_silence) || is_operation_timeout(error) {
                FailureClass::Network
            } else {
                FailureClass::Credentials
            }
        }
    }
}

/// What the user can do, after a semicolon.
fn hint(class: FailureClass, action: Action, whose: &Whose) -> String {
    match class {
        FailureClass::Credentials => format!("; {}", whose.remedy()),
        FailureClass::AccessDenied => {
            let option = whose
                .profile()
                .map_or_else(String::new, |profile| format!(" --profile {profile}"));
            format!(
                "; the identity needs {} here, `aws sts get-caller-identity{option}` shows which it is",
                action.name()
            )
        }
        FailureClass::TargetNotConnected => {
            "; the target is off, or its agent does not reach Session Manager: trying until it does".to_owned()
        }
        FailureClass::Rejected if matches!(action, Action::NewKey | Action::Decrypt) => {
            "; the key is the one that the account's Session Manager preferences name: ask who keeps it".to_owned()
        }
        FailureClass::Rejected => "; check target, forward and region in the configuration".to_owned(),
        FailureClass::Network | FailureClass::Throttled { .. } | FailureClass::SessionGone | FailureClass::Protocol => {
            String::new()
        }
    }
}

fn reached<E>(error: &SdkError<E>) -> Reached
where
    E: Error + 'static,
{
    match error {
        SdkError::ServiceError(_) => return Reached::Answered,
        SdkError::ResponseError(_) => return Reached::Unreadable,
        SdkError::TimeoutError(_) => return Reached::NoAnswer,
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) | _ => {}
    }
    if in_chain::<CredentialsError>(error).is_some() {
        Reached::Unsigned
    } else if in_chain::<NotAws>(error).is_some() {
        Reached::Stranger
    } else if certificate_failure(error).is_some() {
        Reached::Certificate
    } else if proxy_failure(error).is_some() {
        Reached::Proxy
    } else if matches!(error, SdkError::ConstructionFailure(_)) {
        Reached::NotBuilt
    } else {
        Reached::NoAnswer
    }
}

fn is_silence(error: &ConnectorError) -> bool {
    error.is_io() || error.is_timeout()
}

/// Whether nobody has answered in the time that an operation has.
fn is_operation_timeout(error: &(dyn Error + 'static)) -> bool {
    root_cause(error).starts_with(OPERATION_TIMEOUT)
}

/// Whole seconds; the other form, a date, is not used by AWS.
fn retry_after(text: &str) -> Option<Duration> {
    Some(Duration::from_secs(text.trim().parse().ok()?))
}

/// The first error of that type among `error` and its sources.
fn in_chain<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(<dyn Error>::downcast_ref)
}

/// What a proxy does not want, by the words of the SDK's client.
fn proxy_failure(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(unusable) = in_chain::<UnusableProxy>(error) {
        return Some(unusable.to_string());
    }
    let text = root_cause(error);
    if text.contains(PROXY_WANTS_PASSWORD) {
        Some(format!("the proxy: {}", password_wanted(false)))
    } else if text.contains(PROXY_REFUSES) {
        Some("the proxy does not let this host through; ask who runs it, or put the host into NO_PROXY".to_owned())
    } else {
        None
    }
}

/// The fact, for people.
fn cause(error: &(dyn Error + 'static)) -> String {
    certificate_failure(error)
        .or_else(|| proxy_failure(error))
        .or_else(|| is_operation_timeout(error).then(|| "no answer in time".to_owned()))
        .unwrap_or_else(|| root_cause(error))
}

/// The innermost text, which is the one with the fact in it.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| (*error).source())
        .last()
        .map_or_else(String::new, |error| plain(&error.to_string()))
}

/// A text from outside for one line of a log: no control characters, bounded.
fn plain(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let text = text.trim().trim_end_matches('.');
    text.chars().take(MESSAGE_LIMIT).map(printable).collect()
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
