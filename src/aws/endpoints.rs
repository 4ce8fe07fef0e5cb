//! Endpoints that the environment names for the SDK.

use autossm_proto::session::{Failure, FailureClass};

use crate::config::secret_in_endpoint;

/// Those the SDK reads for the services that are asked here.
const VARIABLES: [&str; 6] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SSM",
    "AWS_ENDPOINT_URL_KMS",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
];

/// Refuses those that would show a secret in the log, as the configuration does.
///
/// # Errors
/// [`FailureClass::Rejected`], without the URL.
pub(super) fn check(variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
    for name in VARIABLES {
        if let Some((message, hint)) = variable(name).as_deref().and_then(secret_in_endpoint) {
            return Err(Failure {
                class: FailureClass::Rejected,
                text: format!("{name}: {message}; {hint}"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_the_environment_with_a_secret_is_refused_and_not_shown() {
        for name in VARIABLES {
            for url in ["http://bob:canary@127.0.0.1:1/", "https://ssm.example.com/?sig=canary"] {
                let failure = check(|asked| (asked == name).then(|| url.to_owned())).unwrap_err();
                assert_eq!(failure.class, FailureClass::Rejected);
                assert!(failure.text.starts_with(name), "{}", failure.text);
                assert!(!failure.text.contains("canary"), "{}", failure.text);
            }
        }
        assert!(check(|_| Some("https://ssm.example.com/path/".to_owned())).is_ok());
        assert!(check(|_| None).is_ok());
    }
}
