//! TLS for the data channel: one configuration, built once.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use super::Roots;

/// A client configuration that trusts these roots.
///
/// Reading them takes its time, so call it at start, not at every dial.
///
/// The provider is named here, so that a dependency which brings a second one cannot make rustls ask which to take.
pub fn client_config(roots: &Roots) -> Result<Arc<ClientConfig>, rustls::Error> {
    Ok(Arc::new(with_roots(roots.store())?))
}

/// No ALPN: a websocket upgrade is HTTP/1.1, which is what no ALPN means.
pub(super) fn with_roots(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// What was wrong with the peer's TLS, when that is why `error` came about, and what to do; none for other errors.
///
/// TLS faults arrive as I/O errors with the real one inside, at any depth.
pub fn certificate_failure(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let tls = error.downcast_ref::<rustls::Error>().or_else(|| {
            error
                .downcast_ref::<io::Error>()?
                .get_ref()?
                .downcast_ref::<rustls::Error>()
        });
        if let Some(tls) = tls {
            return Some(format!(
                "TLS failed: {tls}; a captive network or an inspecting proxy may stand between \
                 (its root certificate belongs into the system's store, AWS_CA_BUNDLE or SSL_CERT_FILE)"
            ));
        }
        // An `io::Error` hides its inner error from `source`, which starts one level below it.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_tls_fault_is_found_at_any_depth() {
        let tls = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let io = || io::Error::new(io::ErrorKind::InvalidData, tls());
        assert!(certificate_failure(&tls()).unwrap().contains("UnknownIssuer"));
        assert!(certificate_failure(&io()).is_some());
        assert!(certificate_failure(&Outer(io())).is_some());
        let wrapped = io::Error::other(Outer(io()));
        assert!(certificate_failure(&wrapped).is_some());
        assert!(certificate_failure(&io::Error::from(io::ErrorKind::ConnectionReset)).is_none());
        assert!(certificate_failure(&Outer(io::Error::other("x"))).is_none());
    }

    #[test]
    fn the_configuration_offers_no_alpn() {
        assert!(with_roots(RootCertStore::empty()).unwrap().alpn_protocols.is_empty());
    }
}
