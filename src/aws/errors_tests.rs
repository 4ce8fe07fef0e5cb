//! Credentials' failures row by row; those of calls are in `transport/classify_tests.rs` and `ssm_tests.rs`.

use std::io;

use super::*;

fn whose() -> Whose {
    Whose::unknown(Some("work"))
}

#[test]
fn credentials_that_cannot_be_fetched_have_a_class_by_cause() {
    let refused = || ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionRefused).into());
    let tls = || {
        let error = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        ConnectorError::io(io::Error::new(io::ErrorKind::InvalidData, error).into())
    };
    let proxy = || ConnectorError::io(io::Error::other("tunnel error: proxy authorization required").into());
    let portal = || ConnectorError::other(NotAws::of("oidc", 302).into(), None);
    let helper = || CredentialsError::provider_error(HelperError::Hangs(Duration::from_secs(60)));
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
        (helper(), FailureClass::Credentials),
        (CredentialsError::provider_error(tls()), FailureClass::Protocol),
        (CredentialsError::provider_error(proxy()), FailureClass::Protocol),
        (CredentialsError::provider_error(portal()), FailureClass::Protocol),
        (CredentialsError::not_loaded(portal()), FailureClass::Protocol),
    ];
    for (error, expected) in rows {
        let failure = of_credentials(&whose(), &error);
        assert_eq!(failure.class, expected, "{}", failure.text);
        assert!(failure.text.contains("`work`"), "{}", failure.text);
        let helps = failure.text.contains("get-caller-identity --profile work");
        assert_eq!(helps, expected == FailureClass::Credentials, "{}", failure.text);
    }
}

/// The text is the SDK's, which has no type for it: this fails when it is another.
#[tokio::test]
async fn a_service_that_says_nothing_is_the_networks_matter() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limit = aws_sdk_sts::config::timeout::TimeoutConfig::builder().operation_timeout(Duration::from_millis(100));
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::new("eu-west-1"))
        .credentials_provider(aws_credential_types::Credentials::new(
            "AKIA", "secret", None, None, "test",
        ))
        .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
        .timeout_config(limit.build())
        .build();
    let asked = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send();
    let failure = of_credentials(&whose(), &CredentialsError::provider_error(asked.await.unwrap_err()));
    assert_eq!(failure.class, FailureClass::Network, "{}", failure.text);
}

#[test]
fn a_proxy_that_wants_a_password_is_told_from_aws() {
    let error = ConnectorError::io(io::Error::other("tunnel error: proxy authorization required").into());
    let failure = of_credentials(&whose(), &CredentialsError::provider_error(error));
    assert!(
        failure.text.contains("http://USER:PASSWORD@HOST:PORT"),
        "{}",
        failure.text
    );
}

#[test]
fn a_text_from_outside_is_one_bounded_line() {
    assert_eq!(plain("User: x\r\n\x1b[2J is denied."), "User: x   [2J is denied");
    assert_eq!(plain(&"é".repeat(1000)).chars().count(), MESSAGE_LIMIT);
}
