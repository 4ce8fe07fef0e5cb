//! What a failed upgrade to a websocket means.

use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::http::header::{DATE, RETRY_AFTER};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, StatusCode};

use super::classify::{Asked, Evidence, classify};
use super::skew::{TOLERATED_SKEW, skew, skew_sentence};
use super::tls::certificate_failure;

/// AWS's error codes that say it is the credentials, not a permission, where only a text holds them.
const CREDENTIAL_CODES: [&str; 6] = [
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
];
/// The same without a code.
const EXPIRED: &str = "security token included in the request";

/// The failure of TLS or of the HTTP upgrade, as the session must treat it; `now` since the Unix epoch.
pub(super) fn failure(host: &str, error: &WsError, now: Duration) -> Failure {
    match error {
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            refusal(host, response.status(), response.headers(), body, now)
        }
        WsError::Io(io) => match certificate_failure(io) {
            Some(text) => protocol(format!("{host}: {text}")),
            None => Failure {
                class: FailureClass::Network,
                text: format!("connection to {host} failed while opening the data channel: {io}"),
            },
        },
        WsError::Tls(tls) => protocol(format!("{host}: TLS failed: {tls}")),
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Capacity(_)
        | WsError::Protocol(_)
        | WsError::WriteBufferFull(_)
        | WsError::Utf8(_)
        | WsError::AttackAttempt
        | WsError::Url(_)
        | WsError::HttpFormat(_) => protocol(format!("{host} does not speak websocket: {error}")),
    }
}

fn refusal(host: &str, status: StatusCode, headers: &HeaderMap, body: &[u8], now: Duration) -> Failure {
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let body = String::from_utf8_lossy(body);
    let code = match header(HeaderName::from_static("x-amzn-errortype")) {
        Some(code) if !code.is_empty() => Some(code),
        _ if !matches!(status.as_u16(), 401 | 403) => None,
        _ => CREDENTIAL_CODES
            .into_iter()
            .find(|code| body.contains(code))
            .or_else(|| body.contains(EXPIRED).then_some("ExpiredTokenException")),
    };
    let skew = header(DATE).and_then(|date| skew(date, now)).unwrap_or(0);
    let skewed = skew.unsigned_abs() >= TOLERATED_SKEW;
    let class = classify(&Evidence {
        asked: Asked::Upgrade,
        code,
        status: Some(status.as_u16()),
        retry_after: retry_after(headers),
        skewed,
        ..Evidence::default()
    });
    let what = match class {
        FailureClass::Credentials => "the credentials are expired or not known".to_owned(),
        FailureClass::AccessDenied => {
            "the data channel is denied; the identity needs ssmmessages:OpenDataChannel on its sessions".to_owned()
        }
        FailureClass::Throttled { .. } => "too many requests".to_owned(),
        FailureClass::Network if code.is_some() && skewed => skew_sentence(skew),
        // The address carries a cell number that goes stale: a new ResumeSession gives a new one.
        FailureClass::Network => "no data channel there now".to_owned(),
        FailureClass::Protocol
        | FailureClass::TargetNotConnected
        | FailureClass::SessionGone
        | FailureClass::Rejected => {
            "not what Session Manager says; a captive network or a proxy may stand between".to_owned()
        }
    };
    Failure {
        class,
        text: format!("{host} answered HTTP {}: {what}", status.as_u16()),
    }
}

/// Whole seconds; the other form, a date, is not used by AWS.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn protocol(text: String) -> Failure {
    Failure {
        class: FailureClass::Protocol,
        text,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const NOON: Duration = Duration::from_secs(1_795_694_400);

    fn refused(status: u16, code: &str, body: &str, date: &str) -> Failure {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", code.parse().unwrap());
        headers.insert(DATE, date.parse().unwrap());
        refusal(
            "host",
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
            NOON,
        )
    }

    #[test]
    fn a_code_may_stand_in_a_header_or_in_the_text() {
        use FailureClass as Class;
        let rows = [
            (403, "", "", Class::AccessDenied),
            (401, "", "Forbidden", Class::AccessDenied),
            (403, "ExpiredTokenException", "", Class::Credentials),
            (403, "", "UnrecognizedClientException: ...", Class::Credentials),
            (403, "InvalidSignatureException:http://...", "", Class::Credentials),
            (
                403,
                "",
                "The security token included in the request is expired",
                Class::Credentials,
            ),
            (503, "", "ExpiredTokenException", Class::Network),
            (302, "", "", Class::Protocol),
            (200, "", "<html>", Class::Protocol),
        ];
        for (status, code, body, expected) in rows {
            let failure = refused(status, code, body, "Thu, 26 Nov 2026 12:00:00 GMT");
            assert_eq!(failure.class, expected, "{status} {code} {body}");
            assert!(failure.text.contains(&status.to_string()));
        }
    }

    #[test]
    fn a_signature_refused_for_a_wrong_clock_says_so() {
        let failure = refused(403, "InvalidSignatureException", "", "Thu, 26 Nov 2026 10:30:00 GMT");
        assert_eq!(failure.class, FailureClass::Network);
        assert!(failure.text.contains("clock is 1h 30m ahead"), "{}", failure.text);
    }

    #[test]
    fn a_missing_or_odd_retry_after_is_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn tls_faults_are_told_from_network_faults() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let tls = WsError::Io(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(failure("h", &tls, NOON).class, FailureClass::Protocol);
        let reset = WsError::Io(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(failure("h", &reset, NOON).class, FailureClass::Network);
    }
}
