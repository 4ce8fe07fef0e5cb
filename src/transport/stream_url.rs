//! The address of a data channel: checked before anything is dialled, and otherwise left exactly as it came.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use autossm_proto::session::{Failure, FailureClass};
use tokio_tungstenite::tungstenite::http::Uri;

/// The DNS suffixes of every AWS partition, dual-stack ones included.
const SUFFIXES: [&str; 10] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
];

/// A StreamUrl that may be given a token: `wss://` to an AWS host, or a loopback address.
///
/// The control plane chooses it and the token in the first frame opens the session, so a host that only looks like
/// AWS's must never be dialled. The query holds base64 (`+`, `/`, `=`) and is never re-encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamUrl {
    uri: Uri,
    host: String,
    port: u16,
    secure: bool,
    loopback: bool,
}

impl StreamUrl {
    /// Checks it. Anything but the known forms is refused as [`FailureClass::Protocol`].
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let uri: Uri = text
            .parse()
            .map_err(|error| refused(&format!("it is not a valid address ({error})")))?;
        let secure = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case("wss") => true,
            Some(scheme) if scheme.eq_ignore_ascii_case("ws") => false,
            Some(_) | None => return Err(refused("it is neither wss:// nor ws://")),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            // What stands before it may be a password: not shown.
            return Err(refused("it has a user name before its host"));
        }
        let (host, port) = split_authority(authority)
            .ok_or_else(|| refused(&format!("its host `{}` is malformed", shown(authority))))?;
        let loopback = is_loopback(&host);
        if !loopback {
            check_aws(&host, port, secure)?;
        }
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Self {
            uri,
            host,
            port,
            secure,
            loopback,
        })
    }

    /// The whole address for the upgrade request; path and query are byte for byte what the control plane sent.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host to look up, in lower case and without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to dial.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The region in an AWS host's name; none for a loopback address.
    pub fn region(&self) -> Option<&str> {
        if self.loopback {
            return None;
        }
        let mut labels = self.host.split('.');
        // With an endpoint of one's own in front: `vpce-ID.ssmmessages.REGION...`.
        if self.host.starts_with("vpce-") {
            labels.next();
        }
        labels.nth(1)
    }

    /// Whether there is TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether the host names this machine; what it resolves to must then be loopback as well.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The `Host` header: with the port only when it is not the scheme's own. Signing uses the same text.
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let default = if self.secure { 443 } else { 80 };
        if self.port == default {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Whether the service has signed the address already, so that a second signature would spoil it.
    pub fn is_presigned(&self) -> bool {
        self.uri.query().unwrap_or("").split('&').any(|parameter| {
            parameter
                .as_bytes()
                .get(..6)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"x-amz-"))
        })
    }
}

/// Without the query, which may hold a signature.
impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.host_header(), self.uri.path())
    }
}

/// Host and port; none when there is userinfo, an empty host, a bad port or a character no host name has.
fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return None,
        }
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        if host.is_empty() || !host.bytes().all(plain) {
            return None;
        }
        (host, port)
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    Some((host.to_ascii_lowercase(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

fn check_aws(host: &str, port: Option<u16>, secure: bool) -> Result<(), Failure> {
    if !is_aws(host) {
        return Err(refused(&format!(
            "`{}` is not a host of Session Manager in any AWS partition",
            shown(host)
        )));
    }
    if !secure {
        return Err(refused("ws:// without TLS is for loopback hosts only"));
    }
    if port.is_some_and(|port| port != 443) {
        return Err(refused(&format!("`{host}` is only reached on port 443")));
    }
    Ok(())
}

/// `ssmmessages[-fips].<region>.<suffix>` or `vpce-<id>.ssmmessages[-fips].<region>.vpce.<suffix>`, by whole labels.
fn is_aws(host: &str) -> bool {
    SUFFIXES.iter().any(|suffix| {
        let Some(front) = host.strip_suffix(suffix).and_then(|front| front.strip_suffix('.')) else {
            return false;
        };
        let labels: Vec<&str> = front.split('.').collect();
        match labels.as_slice() {
            [service, region] => is_service(service) && is_region(region),
            [endpoint, service, region, "vpce"] => {
                endpoint.strip_prefix("vpce-").is_some_and(|id| !id.is_empty())
                    && is_service(service)
                    && is_region(region)
            }
            _ => false,
        }
    })
}

fn is_service(label: &str) -> bool {
    label == "ssmmessages" || label == "ssmmessages-fips"
}

/// `eu-west-1`, `us-gov-east-1`, `us-isob-east-1`: parts of letters and digits, at least two hyphens.
fn is_region(label: &str) -> bool {
    label.split('-').count() >= 3 && label.split('-').all(|part| !part.is_empty())
}

/// A piece of a refused address for the user's eyes: short, and without control characters (`Uri` lets none in).
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn refused(why: &str) -> Failure {
    Failure {
        class: FailureClass::Protocol,
        text: format!(
            "the data channel's address is refused: {why}; check endpoint_url and what answers for AWS on this network"
        ),
    }
}

#[cfg(test)]
#[path = "stream_url_tests.rs"]
mod tests;
