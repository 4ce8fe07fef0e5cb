//! What a failed upgrade to a websocket means.

use std::fmt::Display;
use std::time::Duration;

use autossm_proto::session::{Failure, FailureClass};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::http::header::RETRY_AFTER;
use tokio_tungstenite::tungstenite::http::{HeaderMap, StatusCode};

use super::tls::certificate_failure;

/// Pieces of AWS's error codes and texts that say it is the credentials, not a permission.
const CREDENTIAL_SIGNS: [&str; 6] = [
    "ExpiredToken",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "security token included in the request",
];

/// The failure of TLS or of the HTTP upgrade, as the session must treat it.
pub(super) fn failure(host: &str, error: &WsError) -> Failure {
    match error {
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            refusal(host, response.status(), response.headers(), body)
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

fn refusal(host: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let code = headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let body = String::from_utf8_lossy(body);
    let about_credentials = CREDENTIAL_SIGNS
        .iter()
        .any(|sign| code.contains(sign) || body.contains(sign));
    let answered = |what: &dyn Display| format!("{host} answered HTTP {}: {what}", status.as_u16());
    match status.as_u16() {
        401 | 403 if about_credentials => Failure {
            class: FailureClass::Credentials,
            text: answered(&"the credentials are expired or not known; log in again, check the machine's clock"),
        },
        401 | 403 => Failure {
            class: FailureClass::AccessDenied,
            text: answered(
                &"the data channel is denied; the identity needs ssmmessages:OpenDataChannel on its sessions",
            ),
        },
        429 => Failure {
            class: FailureClass::Throttled {
                retry_after: retry_after(headers),
            },
            text: answered(&"too many requests"),
        },
        // The address carries a cell number that goes stale: a new ResumeSession gives a new one.
        400 | 404 | 408 | 410 | 500..=599 => Failure {
            class: FailureClass::Network,
            text: answered(&"no data channel there now"),
        },
        _ => protocol(answered(
            &"not what Session Manager says; a captive network or a proxy may stand between",
        )),
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

    #[test]
    fn a_refused_upgrade_has_a_class() {
        use FailureClass as Class;
        let throttled = |seconds| Class::Throttled {
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let cases: [(u16, &str, &str, FailureClass); 12] = [
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
            (429, "", "", throttled(7)),
            (404, "", "", Class::Network),
            (500, "", "", Class::Network),
            (503, "", "ExpiredToken", Class::Network),
            (302, "", "", Class::Protocol),
            (200, "", "<html>", Class::Protocol),
        ];
        for (status, code, body, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("x-amzn-errortype", code.parse().unwrap());
            headers.insert(RETRY_AFTER, "7".parse().unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            let failure = refusal("host", status, &headers, body.as_bytes());
            assert_eq!(failure.class, expected, "{status} {code} {body}");
            assert!(failure.text.contains(status.as_str()));
        }
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
        assert_eq!(failure("h", &tls).class, FailureClass::Protocol);
        let reset = WsError::Io(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(failure("h", &reset).class, FailureClass::Network);
    }
}
