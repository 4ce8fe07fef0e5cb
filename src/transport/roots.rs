//! The certificates that are trusted: the system's, or a bundle named for AWS.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use aws_smithy_types::base64;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::warn;

/// The bundle that takes the place of the system's store, for every program that speaks to AWS.
pub(super) const BUNDLE_VARIABLE: &str = "AWS_CA_BUNDLE";

/// Trusted roots, read once and the same for the SDK's calls and the data channel.
#[derive(Clone)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    /// Where they come from.
    source: String,
}

/// A bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It cannot be read, or is no PEM.
    #[error("the trusted certificates in {} cannot be read: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no usable certificate in it.
    #[error("there are no usable certificates in {}", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

impl Roots {
    /// What `AWS_CA_BUNDLE` names, or the system's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    ///
    /// Roots that cannot be read are left out with a warning: a loopback endpoint needs none, and a dial without a fitting
    /// root says so itself. A bundle that cannot be read does not bring the system's store back: somebody did not want it.
    pub fn of_process() -> Self {
        match std::env::var_os(BUNDLE_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self::bundle(Path::new(&path)).unwrap_or_else(|error| {
                warn!("{BUNDLE_VARIABLE}: {error}; nothing is trusted");
                Self {
                    certificates: Vec::new(),
                    source: format!("{BUNDLE_VARIABLE}, which cannot be used: {error}"),
                }
            }),
            None => Self::system(),
        }
    }

    /// Whether `AWS_CA_BUNDLE` decides, which goes before what a profile says.
    pub fn are_fixed() -> bool {
        std::env::var_os(BUNDLE_VARIABLE).is_some_and(|path| !path.is_empty())
    }

    /// The certificates of a PEM file.
    ///
    /// # Errors
    /// [`RootsError`]: there are none to be had.
    pub fn bundle(path: &Path) -> Result<Self, RootsError> {
        let unreadable = |why: String| RootsError::Unreadable {
            path: path.to_owned(),
            why,
        };
        let text = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let roots = Self::usable(
            found.map_err(|error| unreadable(error.to_string()))?,
            path.display().to_string(),
        );
        if roots.certificates.is_empty() {
            return Err(RootsError::Empty { path: path.to_owned() });
        }
        Ok(roots)
    }

    fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            warn!(%error, "a trusted root certificate cannot be read");
        }
        let roots = Self::usable(found.certs, "the system's store".to_owned());
        if roots.certificates.is_empty() {
            warn!("no trusted root certificates found; set SSL_CERT_FILE to a bundle of them");
        }
        roots
    }

    /// Those that rustls takes; a store may hold some that it does not.
    fn usable(certificates: Vec<CertificateDer<'static>>, source: String) -> Self {
        let all = certificates.len();
        let mut scratch = RootCertStore::empty();
        let certificates: Vec<_> = certificates
            .into_iter()
            .filter(|certificate| scratch.add(certificate.clone()).is_ok())
            .collect();
        let unusable = all - certificates.len();
        if unusable > 0 {
            warn!(unusable, "some trusted root certificates are not usable");
        }
        Self { certificates, source }
    }

    /// For rustls.
    pub fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        let (_added, ignored) = store.add_parsable_certificates(self.certificates.iter().cloned());
        debug_assert_eq!(ignored, 0, "all of them were usable");
        store
    }

    /// As one PEM text each.
    pub fn pem(&self) -> impl Iterator<Item = String> {
        self.certificates.iter().map(|certificate| {
            let text = base64::encode(certificate.as_ref());
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether nothing is trusted.
    pub const fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Where they come from, for people.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("certificates", &self.certificates.len())
            .field("source", &self.source)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &[u8] = include_bytes!("testdata/root.pem");

    fn bundle(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_bundle_is_read_and_what_it_gives_as_pem_is_the_same() {
        let roots = Roots::bundle(bundle(ROOT).path()).unwrap();
        assert_eq!((roots.len(), roots.store().len()), (1, 1));
        let again = bundle(roots.pem().collect::<String>().as_bytes());
        let again = Roots::bundle(again.path()).unwrap();
        assert_eq!(again.certificates, roots.certificates);
    }

    #[test]
    fn a_bundle_that_cannot_be_used_says_why() {
        let error = Roots::bundle(Path::new("/no/such/bundle.pem")).unwrap_err();
        assert!(
            error.to_string().contains("/no/such/bundle.pem cannot be read"),
            "{error}"
        );
        for content in [
            "",
            "no certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let file = bundle(content.as_bytes());
            let read = Roots::bundle(file.path());
            assert!(matches!(read, Err(RootsError::Empty { .. })), "{content}");
        }
    }
}
