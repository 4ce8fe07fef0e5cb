//! The way out through an HTTP proxy: which hosts go through it, and CONNECT (RFC 9110, 9.3.6).

use std::fmt;
use std::net::IpAddr;

use autossm_proto::session::{Failure, FailureClass};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};

use super::tcp;

/// Where a proxy may be named, the first that is not empty counts. HTTP_PROXY is for `http://`, which autossm speaks to
/// loopback only.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Where hosts that need no proxy may be named.
const NO_PROXY_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// This machine itself, and the metadata services that are only on its own network card.
const NEVER: &str = "localhost,127.0.0.0/8,::1,169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254";
/// No proxy's answer to CONNECT is longer; what follows it is not ours to read.
const LONGEST_ANSWER: usize = 8 << 10;

/// What the environment says about proxies, read once.
///
/// The SDK's client and the data channel go by the same value, so that one cannot leave where the other does not. A
/// loopback address never goes through a proxy: it would mean the proxy's own machine.
#[derive(Clone)]
pub struct Proxies {
    /// The proxy's URL, with its scheme; it may hold a password.
    url: Option<String>,
    no_proxy: String,
    chosen: Choice,
}

/// What that URL comes to.
#[derive(Clone)]
enum Choice {
    None,
    Through(std::sync::Arc<Matcher>),
    /// It cannot be used. To go out directly instead would be what the user did not want.
    Unusable(String),
}

/// A proxy for one host.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl Proxies {
    /// Without a proxy.
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    /// As this process's environment has it.
    pub fn from_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// As these variables have it.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            let found = names.iter().find_map(|name| {
                let value = variable(name)?;
                Some((*name, value.trim().to_owned())).filter(|(_, value)| !value.is_empty())
            });
            found.unzip()
        };
        let (name, url) = first(&PROXY_VARIABLES);
        let url = url.map(with_scheme);
        let (_, no_proxy) = first(&NO_PROXY_VARIABLES);
        let no_proxy = no_proxy.unwrap_or_default();
        let chosen = match (&url, name) {
            (Some(url), Some(name)) => match check(url) {
                Ok(()) => Choice::Through(std::sync::Arc::new(
                    Matcher::builder().https(url.as_str()).no(no_proxy.as_str()).build(),
                )),
                Err(why) => Choice::Unusable(format!("the proxy in {name} cannot be used: {why}")),
            },
            _ => Choice::None,
        };
        Self { url, no_proxy, chosen }
    }

    /// The proxy for this host; none where it is reached directly.
    ///
    /// # Errors
    /// [`FailureClass::Protocol`]: a proxy is named that cannot be used.
    pub fn route(&self, host: &str, port: u16) -> Result<Option<Proxy>, Failure> {
        if is_never_proxied(host) {
            return Ok(None);
        }
        let matcher = match &self.chosen {
            Choice::None => return Ok(None),
            Choice::Through(matcher) => matcher,
            Choice::Unusable(text) => return Err(protocol(text.clone())),
        };
        let bracketed = authority(host, port);
        let uri: Uri = format!("https://{bracketed}/")
            .parse()
            .map_err(|error| protocol(format!("{host} cannot be reached through a proxy: {error}")))?;
        let Some(intercept) = matcher.intercept(&uri) else {
            return Ok(None);
        };
        let proxy = intercept.uri();
        Ok(Some(Proxy {
            host: proxy.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: proxy.port_u16().unwrap_or(80),
            authorization: intercept.basic_auth().cloned(),
        }))
    }

    /// The proxy's URL and the hosts that go round it, for a client with the same rules; none without a proxy.
    ///
    /// # Errors
    /// Why the proxy that is named cannot be used.
    pub fn for_client(&self) -> Result<Option<(&str, String)>, &str> {
        match &self.chosen {
            Choice::Through(_) => {
                let no_proxy = format!("{},{NEVER}", self.no_proxy);
                Ok(self.url.as_deref().map(|url| (url, no_proxy)))
            }
            Choice::None => Ok(None),
            Choice::Unusable(why) => Err(why),
        }
    }
}

/// Without what may be a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("named", &self.url.is_some())
            .field("no_proxy", &self.no_proxy)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {}", authority(&self.host, self.port))
    }
}

impl Proxy {
    /// A connection to this host and port through the proxy. Cancel-safe: dropping it closes the connection.
    ///
    /// # Errors
    /// [`FailureClass::Network`]: the proxy is not reached, or cannot reach the host; [`FailureClass::Protocol`]: it
    /// refuses.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let mut stream = tcp::connect(&self.host, self.port, false)
            .await
            .map_err(|failure| Failure {
                text: format!("{self}: {}", failure.text),
                ..failure
            })?;
        let lost = |error: std::io::Error| network(format!("{self} broke off: {error}"));
        stream.write_all(&self.request(host, port)).await.map_err(lost)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= LONGEST_ANSWER {
                return Err(protocol(format!("{self} does not answer as an HTTP proxy does")));
            }
            // Byte by byte, since what follows the head belongs to the tunnel. The head is short and comes once.
            let byte = stream.read_u8().await.map_err(lost)?;
            answer.push(byte);
        }
        match status(&answer) {
            Some(200..=299) => Ok(stream),
            code => Err(self.refusal(host, code)),
        }
    }

    fn request(&self, host: &str, port: u16) -> Vec<u8> {
        let authority = authority(host, port);
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    fn refusal(&self, host: &str, status: Option<u16>) -> Failure {
        match status {
            Some(407) => protocol(format!("{self}: {}", password_wanted(self.authorization.is_some()))),
            Some(status @ (408 | 429 | 500..=599)) => {
                network(format!("{self} cannot reach {host} now (HTTP {status})"))
            }
            Some(status) => protocol(format!(
                "{self} does not let {host} through (HTTP {status}); ask who runs it, or put the host into NO_PROXY"
            )),
            None => protocol(format!("{self} does not answer as an HTTP proxy does")),
        }
    }
}

/// What to do about a 407.
pub fn password_wanted(given: bool) -> &'static str {
    if given {
        "it does not take this user and password (407); correct them in HTTPS_PROXY and restart autossm"
    } else {
        "it wants a user and a password (407); write HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT and restart autossm"
    }
}

/// `HOST:PORT` is an HTTP proxy, as curl has it. Not every reader of proxies takes it without the scheme.
fn with_scheme(url: String) -> String {
    if url.contains("://") {
        url
    } else {
        format!("http://{url}")
    }
}

/// Whether the URL of a proxy can be used.
fn check(url: &str) -> Result<(), &'static str> {
    // The error would show what may be a password.
    let Ok(uri) = url.parse::<Uri>() else {
        return Err("it is not a URL; write http://HOST:PORT, and %XX for special characters of a password");
    };
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("TLS to the proxy itself is not supported; write http://HOST:PORT"),
        Some(_) | None => return Err("only HTTP proxies are supported; write http://HOST:PORT"),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("it names no host; write http://HOST:PORT");
    }
    Ok(())
}

/// The status of an answer's first line.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok()
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Whether it is one of [`NEVER`].
pub fn is_never_proxied(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    let is_loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || NEVER.split(',').any(|never| never == bare)
}

fn network(text: String) -> Failure {
    Failure {
        class: FailureClass::Network,
        text,
    }
}

fn protocol(text: String) -> Failure {
    Failure {
        class: FailureClass::Protocol,
        text,
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
