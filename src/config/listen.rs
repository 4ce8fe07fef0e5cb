//! The forms of `listen`, and which of them get in each other's way.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::paths::Environment;
use super::settings::Listen;

/// Linux takes no longer path for a Unix socket, in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

/// Why a text is no place to listen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Refused {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Listen {
    /// As it may be written in a configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listen {
    /// Whether only programs on this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Localhost(_) | Self::Unix(_) => true,
        }
    }

    /// Whether both cannot listen at once. Port 0 is never in the way: the kernel chooses a free one.
    pub(super) fn clashes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            _ if self.port() != other.port() => false,
            _ => self
                .addresses()
                .iter()
                .any(|a| other.addresses().iter().any(|b| same_place(*a, *b))),
        }
    }

    fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Localhost(port) => Some(*port),
            Self::Unix(_) => None,
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Tcp(address) => vec![*address],
            Self::Localhost(port) => vec![(Ipv4Addr::LOCALHOST, *port).into(), (Ipv6Addr::LOCALHOST, *port).into()],
            Self::Unix(_) => Vec::new(),
        }
    }
}

/// `[::]` takes both families on Linux (`net.ipv6.bindv6only` is 0), `0.0.0.0` all of the older one.
fn same_place(a: SocketAddr, b: SocketAddr) -> bool {
    let (a_ip, b_ip) = (a.ip().to_canonical(), b.ip().to_canonical());
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V4(ip) => ip.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    a.port() == b.port() && a.port() != 0 && (a_ip == b_ip || covers(a_ip, b_ip) || covers(b_ip, a_ip))
}

/// What `text` means.
pub(super) fn parse(text: &str, environment: &Environment) -> Result<Listen, Refused> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path, environment);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Listen::Tcp(address));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(no_port(text));
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err(Refused::new(
            format!("`{port}` is no port"),
            "a port is a number from 1 to 65535, or 0 for one that is free",
        ));
    };
    match host {
        "" | "localhost" => Ok(Listen::Localhost(port)),
        "*" => Err(Refused::new(
            "`*` is no address",
            format!("write \"0.0.0.0:{port}\" or \"[::]:{port}\" to listen on all of them"),
        )),
        host if host.parse::<Ipv6Addr>().is_ok() => Err(Refused::new(
            "an IPv6 address needs brackets here",
            format!("write \"[{host}]:{port}\""),
        )),
        host => Err(Refused::new(
            format!("`{host}` is no address of this machine that autossm could listen on"),
            format!(
                "write an IP address or \"localhost:{port}\"; \
                 the host behind the target goes to forward.host"
            ),
        )),
    }
}

fn no_port(text: &str) -> Refused {
    if text.parse::<u16>().is_ok() {
        return Refused::new(
            "this is a port without an address",
            format!("write \"localhost:{text}\", or \":{text}\" for short"),
        );
    }
    if text.starts_with('/') || text.starts_with('~') || text.starts_with("./") {
        return Refused::new(
            "this is a path without a kind",
            format!("write \"unix:{text}\" for a Unix socket"),
        );
    }
    Refused::new(
        "there is no port",
        "write ADDRESS:PORT, such as \"127.0.0.1:5432\", or \"unix:/path\"",
    )
}

fn unix(path: &str, environment: &Environment) -> Result<Listen, Refused> {
    let Some(expanded) = environment.expand(path) else {
        return Err(Refused::new(
            "the variable this path starts with is not set here, or holds no absolute path",
            "write the whole path",
        ));
    };
    if !expanded.is_absolute() {
        return Err(Refused::new(
            "the path of a Unix socket must be absolute",
            "start it with `/`, `~/` or `$XDG_RUNTIME_DIR/`",
        ));
    }
    let length = expanded.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        return Err(Refused::new(
            format!("this path has {length} bytes; a Unix socket's may have {LONGEST_SOCKET_PATH}"),
            "put it in a directory with a shorter name, such as $XDG_RUNTIME_DIR",
        ));
    }
    Ok(Listen::Unix(expanded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            home: Some("/home/ada".into()),
            runtime_dir: Some("/run/user/7".into()),
            ..Environment::default()
        }
    }

    fn ok(text: &str) -> Listen {
        parse(text, &environment()).unwrap()
    }

    #[test]
    fn every_form_is_understood() {
        for (text, meant) in [
            ("127.0.0.1:5432", "127.0.0.1:5432"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:5432", "[::1]:5432"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("localhost:5432", "localhost:5432"),
            (":5432", "localhost:5432"),
            (":0", "localhost:0"),
            ("unix:/run/db.sock", "unix:/run/db.sock"),
            ("unix:~/db.sock", "unix:/home/ada/db.sock"),
            ("unix:$XDG_RUNTIME_DIR/db.sock", "unix:/run/user/7/db.sock"),
        ] {
            let listen = ok(text);
            assert_eq!(listen.to_string(), meant, "{text}");
            assert_eq!(ok(meant), listen, "what is shown can be written");
        }
    }

    #[test]
    fn what_is_no_place_says_what_to_write() {
        for (text, hint) in [
            ("5432", "\"localhost:5432\""),
            ("127.0.0.1", "ADDRESS:PORT"),
            ("::1:5432", "\"[::1]:5432\""),
            ("*:80", "\"0.0.0.0:80\""),
            ("db.internal:5432", "forward.host"),
            ("localhost:http", "from 1 to 65535"),
            ("localhost:70000", "from 1 to 65535"),
            ("localhost:", "from 1 to 65535"),
            ("/run/db.sock", "\"unix:/run/db.sock\""),
            ("unix:db.sock", "start it with `/`"),
            ("", "ADDRESS:PORT"),
        ] {
            let refused = parse(text, &environment()).unwrap_err();
            let said = refused.hint;
            assert!(said.contains(hint), "{text}: {said}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(parse(&long, &environment()).is_err());
        assert!(parse(&long[..long.len() - 1], &environment()).is_ok());
        assert!(parse("unix:~/db.sock", &Environment::default()).is_err());
    }

    #[test]
    fn clashes_are_found_across_forms() {
        for (a, b, clash) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "[::1]:1", false),
            ("localhost:1", "[::1]:1", true),
            ("localhost:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            (":0", ":0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", ":1", false),
        ] {
            assert_eq!(ok(a).clashes_with(&ok(b)), clash, "{a} {b}");
            assert_eq!(ok(b).clashes_with(&ok(a)), clash, "{b} {a}");
        }
    }

    #[test]
    fn only_loopback_and_unix_are_local() {
        for (text, local) in [
            ("127.0.0.1:1", true),
            ("127.8.8.8:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            (":1", true),
            ("unix:/a", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            assert_eq!(ok(text).is_local(), local, "{text}");
        }
    }
}
