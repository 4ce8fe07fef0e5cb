//! What a failed call means: one pure table of classes, and a text that says what to do.

use std::error::Error;
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ssm::config::http::HttpResponse;
use aws_sdk_ssm::error::{ConnectorError, ProvideErrorMetadata, SdkError};

use crate::transport::certificate_failure;

/// A message of the service longer than this is cut.
const MESSAGE_LIMIT: usize = 300;

/// The calls, by the name of their permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Resume,
    Terminate,
    Preferences,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "ssm:StartSession",
            Self::Resume => "ssm:ResumeSession",
            Self::Terminate => "ssm:TerminateSession",
            Self::Preferences => "ssm:GetDocument",
        }
    }
}

/// A failed call without the SDK's types.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence<'a> {
    kind: Kind,
    /// The error code, as in `__type`; codes are strings because many are not in AWS's own model.
    code: Option<&'a str>,
    status: Option<u16>,
    retry_after: Option<Duration>,
}

/// How far the call got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// It could not be built.
    NotBuilt,
    /// No answer: lookup, connection, timeout.
    NoAnswer,
    /// TLS failed.
    Certificate,
    /// There were no credentials to sign it with.
    Unsigned,
    /// An answer came that is not AWS's.
    Unreadable,
    /// The service answered with an error.
    #[default]
    Answered,
}

/// The failure of a call to the control plane.
pub(super) fn of_call<E>(action: Action, profile: Option<&str>, error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let raw = error.raw_response();
    let evidence = Evidence {
        kind: kind(error),
        code: error.code(),
        status: raw.map(|raw| raw.status().as_u16()),
        retry_after: raw.and_then(retry_after),
    };
    if let Some(credentials) = in_chain::<CredentialsError>(error)
        && evidence.kind == Kind::Unsigned
    {
        return of_credentials(profile, credentials);
    }
    let class = class(action, &evidence);
    let what = match (evidence.kind, error.message(), evidence.code) {
        (Kind::Answered, Some(message), Some(code)) => format!("{} ({code})", plain(message)),
        (Kind::Answered, Some(message), None) => plain(message),
        (Kind::Answered, None, Some(code)) => code.to_owned(),
        (Kind::Certificate, _, _) => certificate_failure(error).unwrap_or_else(|| "TLS failed".to_owned()),
        _ => match evidence.status {
            Some(status) => format!("HTTP {status} that is not AWS's answer"),
            None => root_cause(error),
        },
    };
    let hint = hint(class, action, profile);
    Failure {
        class,
        text: format!("{}: {what}{hint}", action.name()),
    }
}

/// The failure to get credentials, which is one of the network when their source could not be reached.
pub(super) fn of_credentials(profile: Option<&str>, error: &CredentialsError) -> Failure {
    let unreachable = match error {
        // The default chain ends so when the instance metadata service, which a workstation does not have, is silent.
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => false,
        CredentialsError::ProviderTimedOut(_) => true,
        CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) | _ => {
            in_chain::<ConnectorError>(error).is_some_and(is_silence)
        }
    };
    let whose = profile.map_or_else(String::new, |profile| format!(" for profile `{profile}`"));
    let cause = root_cause(error);
    if unreachable {
        return Failure {
            class: FailureClass::Network,
            text: format!("the source of the credentials{whose} cannot be reached: {cause}"),
        };
    }
    let hint = hint(FailureClass::Credentials, Action::Start, profile);
    Failure {
        class: FailureClass::Credentials,
        text: format!("no usable AWS credentials{whose}: {cause}{hint}"),
    }
}

/// A successful answer that lacks what it must have.
pub(super) fn incomplete(action: Action, what: &str) -> Failure {
    Failure {
        class: FailureClass::Protocol,
        text: format!("{}: the answer has no {what}; check endpoint_url", action.name()),
    }
}

/// The class of every failure, as a pure function.
fn class(action: Action, evidence: &Evidence<'_>) -> FailureClass {
    match evidence.kind {
        Kind::NoAnswer => FailureClass::Network,
        Kind::Certificate => FailureClass::Protocol,
        Kind::Unsigned => FailureClass::Credentials,
        Kind::NotBuilt => FailureClass::Rejected,
        Kind::Unreadable | Kind::Answered => {
            by_code(action, evidence).unwrap_or_else(|| by_status(evidence.status, evidence.retry_after))
        }
    }
}

fn by_code(action: Action, evidence: &Evidence<'_>) -> Option<FailureClass> {
    // Some answers carry `namespace#Code` or `Code:url`.
    let code = evidence.code?;
    let code = code.rsplit('#').next().unwrap_or(code);
    let code = code.split(':').next().unwrap_or(code);
    let class = match code {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "PriorRequestNotComplete"
        | "SlowDown" => FailureClass::Throttled {
            retry_after: evidence.retry_after,
        },
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "AuthFailure"
        | "RequestTimeTooSkewed" => FailureClass::Credentials,
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "NotAuthorized" | "OptInRequired" => {
            FailureClass::AccessDenied
        }
        "TargetNotConnected" => FailureClass::TargetNotConnected,
        "DoesNotExistException" => match action {
            Action::Start => FailureClass::Rejected,
            Action::Resume | Action::Terminate => FailureClass::SessionGone,
            Action::Preferences => FailureClass::Rejected,
        },
        "InternalServerError"
        | "InternalFailure"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => FailureClass::Network,
        _ => return None,
    };
    Some(class)
}

fn by_status(status: Option<u16>, retry_after: Option<Duration>) -> FailureClass {
    match status {
        Some(429) => FailureClass::Throttled { retry_after },
        Some(401) => FailureClass::Credentials,
        Some(403) => FailureClass::AccessDenied,
        // A proxy's or load balancer's word for "not now".
        Some(407 | 408) => FailureClass::Network,
        Some(400..=499) => FailureClass::Rejected,
        // Success or a redirect that cannot be read: somebody else answers for AWS.
        Some(200..=399) => FailureClass::Protocol,
        Some(_) | None => FailureClass::Network,
    }
}

/// What the user can do, after a semicolon.
fn hint(class: FailureClass, action: Action, profile: Option<&str>) -> String {
    let option = profile.map_or_else(String::new, |profile| format!(" --profile {profile}"));
    match class {
        FailureClass::Credentials => format!(
            "; log in (with SSO: `aws sso login{option}`), check the profile with \
             `aws sts get-caller-identity{option}` and the machine's clock"
        ),
        FailureClass::AccessDenied => format!(
            "; the identity needs {} here, `aws sts get-caller-identity{option}` shows which it is",
            action.name()
        ),
        FailureClass::TargetNotConnected => {
            "; the target is off, or its agent does not reach Session Manager: trying until it does".to_owned()
        }
        FailureClass::Rejected => "; check target, forward and region in the configuration".to_owned(),
        FailureClass::Network | FailureClass::Throttled { .. } | FailureClass::SessionGone | FailureClass::Protocol => {
            String::new()
        }
    }
}

fn kind<E>(error: &SdkError<E>) -> Kind
where
    E: Error + 'static,
{
    match error {
        SdkError::ServiceError(_) => return Kind::Answered,
        SdkError::ResponseError(_) => return Kind::Unreadable,
        SdkError::TimeoutError(_) => return Kind::NoAnswer,
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) | _ => {}
    }
    if in_chain::<CredentialsError>(error).is_some() {
        Kind::Unsigned
    } else if certificate_failure(error).is_some() {
        Kind::Certificate
    } else if matches!(error, SdkError::ConstructionFailure(_)) {
        Kind::NotBuilt
    } else {
        Kind::NoAnswer
    }
}

fn is_silence(error: &ConnectorError) -> bool {
    error.is_io() || error.is_timeout()
}

/// Whole seconds; the other form, a date, is not used by AWS.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The first error of that type among `error` and its sources.
fn in_chain<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(<dyn Error>::downcast_ref)
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
