//! SigV4 for the upgrade to a websocket (protocol.md 2).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use autossm_proto::session::{Failure, FailureClass};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use rustls::ClientConfig;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

use super::account::Account;
use crate::transport::{Signature, StreamUrl, UpgradeSigner};

const SERVICE: &str = "ssmmessages";

/// Signs with an account's credentials as they are at that moment.
pub(super) struct Signer {
    account: Arc<Account>,
}

impl Signer {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account }
    }

    async fn sign_now(&self, url: &StreamUrl) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        let ready = self.account.ready().await?;
        let region = &ready.loaded.region;
        if let Some(other) = url.region().filter(|other| other != region) {
            return Err(Failure {
                class: FailureClass::Protocol,
                text: format!("the data channel's address is refused: it is in {other}, the session in {region}"),
            });
        }
        let now = self.account.setup.time.unix_now();
        sign_upgrade(url, ready.credentials.clone(), &ready.loaded.region, now)
    }
}

impl UpgradeSigner for Signer {
    fn sign<'a>(&'a self, url: &'a StreamUrl) -> Signature<'a> {
        Box::pin(self.sign_now(url))
    }

    fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.account.present()?.loaded.tls.clone()
    }

    fn refused(&self, failure: &Failure) {
        if failure.class == FailureClass::Credentials
            && let Some(ready) = self.account.present()
        {
            let failure = Failure {
                class: failure.class,
                text: format!("{}; {}", failure.text, self.account.whose().remedy()),
            };
            self.account.refuse(&failure, ready.credentials.access_key_id());
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

/// The headers that sign a GET of `url`, `now` after the Unix epoch: host, x-amz-date and x-amz-security-token are
/// covered, nothing else.
///
/// The canonical query is made from the decoded parameters (`+` reads as a space), each encoded once and sorted, as
/// AWS's Go signer does whose signatures the service gets from the plugin; the request's own query is not touched.
/// The path is encoded a second time, as everywhere but in S3, and dots in it are left alone.
fn sign_upgrade(
    url: &StreamUrl,
    credentials: Credentials,
    region: &str,
    now: Duration,
) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.excluded_headers = None;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(UNIX_EPOCH + now)
        .settings(settings)
        .build()
        .map_err(|error| unsignable(&error))?
        .into();
    let host = url.host_header();
    let request = SignableRequest::new(
        "GET",
        url.uri().to_string(),
        std::iter::once(("host", host.as_str())),
        SignableBody::empty(),
    )
    .map_err(|error| unsignable(&error))?;
    let signed = sign(request, &params).map_err(|error| unsignable(&error))?;
    let (headers, _query) = signed.into_parts().0.into_parts();
    let mut named = Vec::with_capacity(headers.len());
    for header in headers {
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| unsignable(&error))?;
        value.set_sensitive(true);
        named.push((HeaderName::from_static(header.name()), value));
    }
    Ok(named)
}

fn unsignable(error: &dyn std::error::Error) -> Failure {
    Failure {
        class: FailureClass::Credentials,
        text: format!("the data channel's request cannot be signed: {error}; check the credentials"),
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
