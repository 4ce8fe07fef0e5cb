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
mod tests {
    use super::*;

    const REAL: &str = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/alice-0a1b2c3d4e5f67890\
        ?role=publish_subscribe&cell-number=AAEAAb+c/d==";

    #[test]
    fn path_and_query_stay_as_they_came() {
        let url = StreamUrl::parse(REAL).unwrap();
        assert_eq!(
            url.uri().path_and_query().unwrap().as_str(),
            "/v1/data-channel/alice-0a1b2c3d4e5f67890?role=publish_subscribe&cell-number=AAEAAb+c/d=="
        );
        assert_eq!((url.host(), url.port()), ("ssmmessages.eu-west-1.amazonaws.com", 443));
        assert!(url.is_secure() && !url.is_loopback());
    }

    #[test]
    fn hosts_of_every_partition_are_taken() {
        for host in [
            "ssmmessages.eu-west-1.amazonaws.com",
            "SSMMessages.EU-west-1.amazonaws.com",
            "ssmmessages.us-gov-west-1.amazonaws.com",
            "ssmmessages-fips.us-east-1.amazonaws.com",
            "ssmmessages.cn-north-1.amazonaws.com.cn",
            "ssmmessages.eusc-de-east-1.amazonaws.eu",
            "ssmmessages.us-iso-east-1.c2s.ic.gov",
            "ssmmessages.us-isob-east-1.sc2s.sgov.gov",
            "ssmmessages.eu-isoe-west-1.cloud.adc-e.uk",
            "ssmmessages.us-isof-south-1.csp.hci.ic.gov",
            "ssmmessages.eu-west-1.api.aws",
            "ssmmessages-fips.us-east-1.api.aws",
            "ssmmessages.cn-north-1.api.amazonwebservices.com.cn",
            "ssmmessages.eusc-de-east-1.api.amazonwebservices.eu",
            "vpce-0123456789abcdef0-abcdefgh.ssmmessages.eu-west-1.vpce.amazonaws.com",
            "vpce-0123-abcd-eu-west-1a.ssmmessages-fips.us-east-1.vpce.amazonaws.com",
        ] {
            for port in ["", ":443"] {
                let url = StreamUrl::parse(&format!("wss://{host}{port}/v1/data-channel/s?a=b"));
                let url = url.unwrap_or_else(|failure| panic!("{host}: {}", failure.text));
                let region = url.region().unwrap();
                assert!(
                    is_region(region) && host.to_ascii_lowercase().contains(&format!(".{region}.")),
                    "{region}"
                );
                assert_eq!(url.host_header(), host.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn loopback_may_be_plain_on_any_port() {
        for (text, host, port, header) in [
            ("ws://127.0.0.1:8080/x?y", "127.0.0.1", 8080, "127.0.0.1:8080"),
            ("ws://127.9.9.9/x", "127.9.9.9", 80, "127.9.9.9"),
            ("ws://[::1]:9/x", "::1", 9, "[::1]:9"),
            ("ws://localhost:1/x", "localhost", 1, "localhost:1"),
            ("wss://LOCALHOST/x", "localhost", 443, "localhost"),
        ] {
            let url = StreamUrl::parse(text).unwrap();
            assert!(url.is_loopback(), "{text}");
            assert_eq!((url.host(), url.port()), (host, port), "{text}");
            assert_eq!(url.host_header(), header);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "wss://",
            "not a url",
            "https://ssmmessages.eu-west-1.amazonaws.com/x",
            "ssmmessages.eu-west-1.amazonaws.com/x",
            "ws://ssmmessages.eu-west-1.amazonaws.com/x",
            "ws://10.0.0.1/x",
            "ws://[fe80::1]/x",
            "ws://localhost.evil.org/x",
            "ws://127.0.0.1.evil.org/x",
            "ws://128.0.0.1/x",
            "ws://localhost@10.0.0.1/x",
            "wss://192.0.2.1/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com.evil.org/x",
            "wss://ssmmessages.eu-west-1.evilamazonaws.com/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com./x",
            "wss://.ssmmessages.eu-west-1.amazonaws.com/x",
            "wss://ssmmessages..eu-west-1.amazonaws.com/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com:8443/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com:/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com:99999/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com:44a3/x",
            "wss://alice@ssmmessages.eu-west-1.amazonaws.com/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com@evil.org/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com:443@evil.org/x",
            "wss://evil.org/ssmmessages.eu-west-1.amazonaws.com",
            "wss://evil.org?ssmmessages.eu-west-1.amazonaws.com",
            "wss://evil.org#.ssmmessages.eu-west-1.amazonaws.com",
            "wss://evil.org\\.ssmmessages.eu-west-1.amazonaws.com/x",
            "wss://ssmmessages%2eeu-west-1.amazonaws.com/x",
            "wss://amazonaws.com/x",
            "wss://ssmmessages.amazonaws.com/x",
            "wss://ssmmessages.evil.amazonaws.com/x",
            "wss://bucket.s3.eu-west-1.amazonaws.com/x",
            "wss://ssmmessages.eu-west-1.elb.amazonaws.com/x",
            "wss://xssmmessages.eu-west-1.amazonaws.com/x",
            "wss://a.ssmmessages.eu-west-1.amazonaws.com/x",
            "wss://vpce-.ssmmessages.eu-west-1.vpce.amazonaws.com/x",
            "wss://evil.ssmmessages.eu-west-1.vpce.amazonaws.com/x",
            "wss://vpce-1.execute-api.eu-west-1.vpce.amazonaws.com/x",
            "wss://ssmmessages.eu-west-1.amazonaws.co/x",
            "wss://ssmmessages.eu-west-1.amazonaws.com\u{0430}/x",
        ] {
            match StreamUrl::parse(text) {
                Err(failure) => assert_eq!(failure.class, FailureClass::Protocol, "{text}"),
                Ok(url) => panic!("{text} was taken as {url:?}"),
            }
        }
    }

    #[test]
    fn a_signature_in_the_query_is_noticed() {
        let parse = |query: &str| StreamUrl::parse(&format!("ws://localhost/x?{query}")).unwrap();
        assert!(parse("a=b&X-Amz-Signature=00").is_presigned());
        assert!(parse("x-amz-date=1").is_presigned());
        assert!(!parse("a=X-Amz-Signature").is_presigned());
        assert!(!parse("").is_presigned());
    }

    #[test]
    fn the_query_is_not_in_debug() {
        let text = format!("{:?}", StreamUrl::parse(REAL).unwrap());
        assert_eq!(
            text,
            "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/alice-0a1b2c3d4e5f67890"
        );
    }

    /// The query may be a signature; a refusal is logged.
    #[test]
    fn a_refusal_does_not_show_the_query() {
        for text in [
            "wss://evil.example/path?X-Amz-Security-Token=canary",
            "wss://user:canary@evil.example/",
            "http://127.0.0.1/?canary",
            "wss://127.0.0.1:0/?canary",
            "wss://[::1/?canary",
            "canary canary",
        ] {
            let failure = StreamUrl::parse(text).unwrap_err();
            assert!(!failure.text.contains("canary"), "{}", failure.text);
        }
    }
}
