//! The table of classes, row by row.

use std::io;

use super::*;

fn answered(status: u16, code: &'static str) -> Evidence<'static> {
    Evidence {
        kind: Kind::Answered,
        code: Some(code).filter(|code| !code.is_empty()),
        status: Some(status),
        retry_after: None,
    }
}

#[test]
fn every_answer_has_its_class() {
    use FailureClass as Class;
    let throttled = Class::Throttled { retry_after: None };
    let rows = [
        (400, "ThrottlingException", throttled),
        (400, "Throttling", throttled),
        (400, "RequestLimitExceeded", throttled),
        (429, "", throttled),
        (400, "ExpiredToken", Class::Credentials),
        (400, "ExpiredTokenException", Class::Credentials),
        (400, "UnrecognizedClientException", Class::Credentials),
        (403, "InvalidSignatureException", Class::Credentials),
        (403, "SignatureDoesNotMatch", Class::Credentials),
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
        (502, "", Class::Network),
        (503, "SlowDown", throttled),
        (407, "", Class::Network),
        (302, "", Class::Protocol),
    ];
    for (status, code, expected) in rows {
        let got = class(Action::Resume, &answered(status, code));
        assert_eq!(got, expected, "{status} {code}");
    }
}

#[test]
fn what_does_not_exist_at_a_start_is_not_the_session() {
    let evidence = answered(400, "DoesNotExistException");
    assert_eq!(class(Action::Start, &evidence), FailureClass::Rejected);
    assert_eq!(class(Action::Terminate, &evidence), FailureClass::SessionGone);
}

#[test]
fn calls_without_an_answer_have_a_class_by_kind() {
    for (kind, expected) in [
        (Kind::NoAnswer, FailureClass::Network),
        (Kind::Certificate, FailureClass::Protocol),
        (Kind::Unsigned, FailureClass::Credentials),
        (Kind::NotBuilt, FailureClass::Rejected),
        (Kind::Answered, FailureClass::Network),
    ] {
        let evidence = Evidence {
            kind,
            ..Evidence::default()
        };
        assert_eq!(class(Action::Start, &evidence), expected, "{kind:?}");
    }
    // A captive network's page.
    let page = Evidence {
        kind: Kind::Unreadable,
        status: Some(200),
        ..Evidence::default()
    };
    assert_eq!(class(Action::Start, &page), FailureClass::Protocol);
}

#[test]
fn the_wait_that_throttling_asks_for_is_kept() {
    let retry_after = Some(Duration::from_secs(9));
    for code in ["ThrottlingException", ""] {
        let evidence = Evidence {
            retry_after,
            ..answered(429, code)
        };
        assert_eq!(
            class(Action::Resume, &evidence),
            FailureClass::Throttled { retry_after }
        );
    }
}

#[test]
fn credentials_that_cannot_be_fetched_for_want_of_a_network_are_a_network_failure() {
    let refused = || ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionRefused).into());
    let rows = [
        (CredentialsError::provider_error(refused()), FailureClass::Network),
        (CredentialsError::unhandled(refused()), FailureClass::Network),
        (
            CredentialsError::provider_timed_out(Duration::from_secs(1)),
            FailureClass::Network,
        ),
        (CredentialsError::not_loaded(refused()), FailureClass::Credentials),
        (CredentialsError::not_loaded_no_source(), FailureClass::Credentials),
        (
            CredentialsError::provider_error("the SSO token has expired"),
            FailureClass::Credentials,
        ),
        (
            CredentialsError::invalid_configuration("a loop of profiles"),
            FailureClass::Credentials,
        ),
    ];
    for (error, expected) in rows {
        let failure = of_credentials(Some("work"), &error);
        assert_eq!(failure.class, expected, "{}", failure.text);
        assert!(failure.text.contains("`work`"));
    }
}

#[test]
fn a_text_from_outside_is_one_bounded_line() {
    assert_eq!(plain("User: x\r\n\x1b[2J is denied."), "User: x   [2J is denied");
    assert_eq!(plain(&"é".repeat(1000)).chars().count(), MESSAGE_LIMIT);
}
