//! The table, row by row.

use super::*;
use FailureClass as Class;

const THROTTLED: Class = Class::Throttled { retry_after: None };

fn answered(asked: Asked, status: u16, code: &'static str) -> Evidence<'static> {
    Evidence {
        asked,
        code: Some(code).filter(|code| !code.is_empty()),
        status: Some(status),
        ..Evidence::default()
    }
}

#[test]
fn every_answer_to_a_call_has_its_class() {
    let rows = [
        (400, "ThrottlingException", THROTTLED),
        (400, "Throttling", THROTTLED),
        (400, "RequestLimitExceeded", THROTTLED),
        (429, "", THROTTLED),
        (503, "SlowDown", THROTTLED),
        (400, "ExpiredToken", Class::Credentials),
        (400, "ExpiredTokenException", Class::Credentials),
        (403, "ExpiredTokenException", Class::Credentials),
        (400, "UnrecognizedClientException", Class::Credentials),
        (403, "InvalidClientTokenId", Class::Credentials),
        (403, "InvalidSignatureException", Class::Credentials),
        (403, "SignatureDoesNotMatch", Class::Credentials),
        (403, "RequestTimeTooSkewed", Class::Credentials),
        (403, "MissingAuthenticationTokenException", Class::Credentials),
        (400, "aws.auth#ExpiredTokenException", Class::Credentials),
        (400, "ExpiredTokenException:http://x/", Class::Credentials),
        (401, "", Class::Credentials),
        (400, "AccessDeniedException", Class::AccessDenied),
        (403, "AccessDenied", Class::AccessDenied),
        (403, "", Class::AccessDenied),
        (400, "TargetNotConnected", Class::TargetNotConnected),
        (400, "DoesNotExistException", Class::SessionGone),
        (400, "InvalidDocument", Class::Rejected),
        (400, "InvalidParameters", Class::Rejected),
        (400, "ValidationException", Class::Rejected),
        (400, "SomethingNew", Class::Rejected),
        (404, "", Class::Rejected),
        (500, "InternalServerError", Class::Network),
        (400, "InternalServerError", Class::Network),
        (503, "ServiceUnavailable", Class::Network),
        (500, "", Class::Network),
        (502, "", Class::Network),
        (504, "", Class::Network),
        (408, "", Class::Network),
        (407, "", Class::Protocol),
        (302, "", Class::Protocol),
        (200, "", Class::Protocol),
    ];
    for (status, code, expected) in rows {
        let got = classify(&answered(Asked::Session, status, code));
        assert_eq!(got, expected, "{status} {code}");
    }
}

#[test]
fn every_answer_to_an_upgrade_has_its_class() {
    let rows = [
        (403, "", Class::AccessDenied),
        (401, "", Class::AccessDenied),
        (403, "AccessDeniedException", Class::AccessDenied),
        (403, "ExpiredTokenException", Class::Credentials),
        (403, "InvalidSignatureException:http://...", Class::Credentials),
        (429, "", THROTTLED),
        (400, "", Class::Network),
        (404, "", Class::Network),
        (408, "", Class::Network),
        (410, "", Class::Network),
        (500, "", Class::Network),
        (503, "", Class::Network),
        (302, "", Class::Protocol),
        (200, "", Class::Protocol),
        (418, "", Class::Protocol),
        (407, "", Class::Protocol),
    ];
    for (status, code, expected) in rows {
        let got = classify(&answered(Asked::Upgrade, status, code));
        assert_eq!(got, expected, "{status} {code}");
    }
}

#[test]
fn what_does_not_exist_is_the_session_only_where_one_was_named() {
    for (asked, expected) in [
        (Asked::Start, Class::Rejected),
        (Asked::Other, Class::Rejected),
        (Asked::Session, Class::SessionGone),
    ] {
        assert_eq!(
            classify(&answered(asked, 400, "DoesNotExistException")),
            expected,
            "{asked:?}"
        );
    }
}

#[test]
fn without_an_answer_it_is_how_far_it_got() {
    for (reached, expected) in [
        (Reached::NoAnswer, Class::Network),
        (Reached::Certificate, Class::Protocol),
        (Reached::Stranger, Class::Protocol),
        (Reached::Proxy, Class::Protocol),
        (Reached::Unsigned, Class::Credentials),
        (Reached::NotBuilt, Class::Rejected),
        (Reached::Unreadable, Class::Network),
        (Reached::Answered, Class::Network),
    ] {
        for asked in [Asked::Start, Asked::Session, Asked::Upgrade, Asked::Other] {
            let evidence = Evidence {
                asked,
                reached,
                ..Evidence::default()
            };
            assert_eq!(classify(&evidence), expected, "{reached:?}");
        }
    }
}

#[test]
fn a_captive_networks_page_is_no_matter_of_credentials() {
    for status in [200, 302, 307, 511] {
        let evidence = Evidence {
            reached: Reached::Stranger,
            status: Some(status),
            ..Evidence::default()
        };
        assert_eq!(classify(&evidence), Class::Protocol, "{status}");
    }
}

#[test]
fn a_wrong_clock_is_no_matter_of_credentials() {
    for code in [
        "RequestTimeTooSkewed",
        "RequestExpired",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "AuthFailure",
    ] {
        let evidence = Evidence {
            skewed: true,
            ..answered(Asked::Session, 403, code)
        };
        assert_eq!(classify(&evidence), Class::Network, "{code}");
    }
    // These are no matter of time.
    for code in ["ExpiredTokenException", "UnrecognizedClientException"] {
        let evidence = Evidence {
            skewed: true,
            ..answered(Asked::Session, 403, code)
        };
        assert_eq!(classify(&evidence), Class::Credentials, "{code}");
    }
}

#[test]
fn the_wait_that_the_service_asks_for_is_kept() {
    let retry_after = Some(Duration::from_secs(9));
    for (status, code) in [(400, "ThrottlingException"), (429, ""), (503, "")] {
        let evidence = Evidence {
            retry_after,
            ..answered(Asked::Session, status, code)
        };
        assert_eq!(classify(&evidence), Class::Throttled { retry_after }, "{status} {code}");
    }
}
