//! Whether a host can be reached at all, step by step, for a person who wants to know.

use std::sync::Arc;

use autossm_proto::session::{Failure, FailureClass};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::tls::certificate_failure;
use super::{Proxies, tcp};

/// The way that led to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Without a proxy.
    Direct,
    /// Through this one.
    Through(String),
}

/// Looks up, connects, through a proxy if there is one, and does TLS with this host on port 443; sends nothing over it.
///
/// There is no time limit inside.
///
/// # Errors
/// The first step that fails, with what to do.
pub async fn reach(host: &str, proxies: &Proxies, tls: Arc<ClientConfig>) -> Result<Path, Failure> {
    const PORT: u16 = 443;
    let (stream, path) = match proxies.route(host, PORT)? {
        Some(proxy) => (proxy.connect(host, PORT).await?, Path::Through(proxy.to_string())),
        None => (tcp::connect(host, PORT, false).await?, Path::Direct),
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Failure {
        class: FailureClass::Rejected,
        text: format!("{host} is no name of a host: {error}"),
    })?;
    match TlsConnector::from(tls).connect(name, stream).await {
        Ok(_stream) => Ok(path),
        Err(error) => Err(match certificate_failure(&error) {
            Some(text) => Failure {
                class: FailureClass::Protocol,
                text: format!("{host}: {text}"),
            },
            None => Failure {
                class: FailureClass::Network,
                text: format!("{host} ended the TLS handshake: {error}"),
            },
        }),
    }
}
