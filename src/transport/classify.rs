//! What a failed call or a refused upgrade means: the one table from what came back to what the session does about it.

use std::time::Duration;

use autossm_proto::session::FailureClass;

/// What was asked for, as far as it changes what an error means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// StartSession.
    Start,
    /// Something of a session that exists.
    Session,
    /// The upgrade to a data channel.
    Upgrade,
    /// Anything else of AWS.
    #[default]
    Other,
}

/// How far it got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reached {
    /// It could not be built.
    NotBuilt,
    /// No answer: lookup, connection, timeout.
    NoAnswer,
    /// TLS failed.
    Certificate,
    /// There were no credentials to sign it with.
    Unsigned,
    /// Somebody else answers for AWS: a redirect, a page for people.
    Stranger,
    /// The proxy refuses.
    Proxy,
    /// An answer came that cannot be read.
    Unreadable,
    /// The service answered with an error.
    #[default]
    Answered,
}

/// A failure, without the types of the SDK or of the websocket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// What was asked for.
    pub asked: Asked,
    /// How far it got.
    pub reached: Reached,
    /// The error code, as in `__type`; codes are strings because many are not in AWS's own model.
    pub code: Option<&'a str>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What the service asks to wait.
    pub retry_after: Option<Duration>,
    /// This machine's clock differs from the service's by more than a signature may.
    pub skewed: bool,
}

/// What to do about it.
pub fn classify(evidence: &Evidence<'_>) -> FailureClass {
    match evidence.reached {
        Reached::NoAnswer => FailureClass::Network,
        Reached::Certificate | Reached::Stranger | Reached::Proxy => FailureClass::Protocol,
        Reached::Unsigned => FailureClass::Credentials,
        Reached::NotBuilt => FailureClass::Rejected,
        Reached::Unreadable | Reached::Answered => by_code(evidence).unwrap_or_else(|| by_status(evidence)),
    }
}

/// The bare name in an error code: some answers carry `namespace#Code` or `Code:url`.
pub fn bare_code(code: &str) -> &str {
    let code = code.rsplit_once('#').map_or(code, |(_, code)| code);
    code.split(':').next().unwrap_or(code)
}

fn by_code(evidence: &Evidence<'_>) -> Option<FailureClass> {
    let class = match bare_code(evidence.code?) {
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
        // No login mends a clock; the next request is signed with the service's time.
        "RequestTimeTooSkewed"
        | "RequestExpired"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "AuthFailure"
            if evidence.skewed =>
        {
            FailureClass::Network
        }
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
        "DoesNotExistException" => match evidence.asked {
            Asked::Session => FailureClass::SessionGone,
            Asked::Start | Asked::Upgrade | Asked::Other => FailureClass::Rejected,
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

fn by_status(evidence: &Evidence<'_>) -> FailureClass {
    let retry_after = evidence.retry_after;
    match (evidence.status, evidence.asked) {
        (Some(429), _) => FailureClass::Throttled { retry_after },
        // Without a code that says more, an upgrade that is forbidden may just have come with an address gone stale.
        (Some(401 | 403), Asked::Upgrade) | (Some(403), _) => FailureClass::AccessDenied,
        (Some(401), _) => FailureClass::Credentials,
        // A proxy's or load balancer's word for "not now".
        (Some(408), _) => FailureClass::Network,
        (Some(407), _) => FailureClass::Protocol,
        // The address carries a cell number that goes stale: a new ResumeSession gives a new one.
        (Some(400 | 404 | 410), Asked::Upgrade) => FailureClass::Network,
        (Some(400..=499), Asked::Upgrade) => FailureClass::Protocol,
        (Some(400..=499), _) => FailureClass::Rejected,
        // Success or a redirect that cannot be read: somebody else answers for AWS.
        (Some(200..=399), _) => FailureClass::Protocol,
        (Some(_), _) => match retry_after {
            // Overload by another name.
            Some(_) => FailureClass::Throttled { retry_after },
            None => FailureClass::Network,
        },
        (None, _) => FailureClass::Network,
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
