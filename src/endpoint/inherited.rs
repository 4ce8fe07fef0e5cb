//! Listening sockets that the service manager has opened for us: socket activation, by name.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// Sockets by their `FileDescriptorName=` (systemd.socket(5)), which is the name of the session they belong to. Clones
/// share them. They stay open as long as the process lives, so that a session can listen on them again.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    sockets: Arc<BTreeMap<String, Vec<InheritedSocket>>>,
    refused: Arc<[String]>,
}

/// One of them.
#[derive(Debug)]
pub(super) enum InheritedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Inherited {
    /// Takes what this process was given (sd_listen_fds(3)), and the variables that say so, so that no child believes
    /// that they are for it. To be called once and before there are other threads: it changes the environment.
    pub fn from_process() -> Self {
        // The names first: the library takes the other variables away.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut sockets: BTreeMap<String, Vec<InheritedSocket>> = BTreeMap::new();
        let mut refused = Vec::new();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            match take(&mut given, index) {
                Ok(socket) => sockets.entry(name.to_owned()).or_default().push(socket),
                Err(error) => refused.push(format!("`{}`: {error}", name.escape_debug())),
            }
        }
        Self {
            sockets: Arc::new(sockets),
            refused: refused.into(),
        }
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sockets.keys().map(String::as_str)
    }

    /// What else was given and is of no use: its name, and why.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// Those of one session.
    pub(super) fn of(&self, session: &str) -> Option<&[InheritedSocket]> {
        self.sockets.get(session).map(Vec::as_slice)
    }
}

fn take(given: &mut ListenFd, index: usize) -> io::Result<InheritedSocket> {
    let unusable = || io::Error::new(io::ErrorKind::InvalidInput, "it is no listening TCP or Unix socket");
    let socket = if let Ok(Some(listener)) = given.take_tcp_listener(index) {
        InheritedSocket::Tcp(listener)
    } else if let Ok(Some(listener)) = given.take_unix_listener(index) {
        InheritedSocket::Unix(listener)
    } else {
        return Err(unusable());
    };
    let listens = match &socket {
        InheritedSocket::Tcp(listener) => socket_acceptconn(listener.as_fd()),
        InheritedSocket::Unix(listener) => socket_acceptconn(listener.as_fd()),
    };
    if listens? { Ok(socket) } else { Err(unusable()) }
}

/// The same socket once more, for the runtime.
pub(super) fn tcp(listener: &TcpListener, remote_allowed: bool) -> io::Result<tokio::net::TcpListener> {
    let is_local = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    if !remote_allowed && !is_local(listener.local_addr()?) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "other machines could connect to it, and `allow_remote_clients` is not set",
        ));
    }
    let copy = listener.try_clone()?;
    copy.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(copy)
}

/// The same socket once more, for the runtime.
pub(super) fn unix(listener: &UnixListener) -> io::Result<tokio::net::UnixListener> {
    let copy = listener.try_clone()?;
    copy.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(copy)
}

/// Where it listens, as status shows it.
pub(super) fn place(socket: &InheritedSocket) -> String {
    match socket {
        InheritedSocket::Tcp(listener) => listener
            .local_addr()
            .map_or_else(|_| "a TCP socket".to_owned(), |address| address.to_string()),
        InheritedSocket::Unix(listener) => {
            let address = listener.local_addr().ok();
            let path = address.as_ref().and_then(|address| address.as_pathname());
            path.map_or_else(
                || "an unnamed Unix socket".to_owned(),
                |path| format!("unix:{}", path.display()),
            )
        }
    }
}

#[cfg(test)]
impl Inherited {
    /// As if the service manager had opened it.
    pub(super) fn with_tcp(session: &str, listener: TcpListener) -> Self {
        let sockets = BTreeMap::from([(session.to_owned(), vec![InheritedSocket::Tcp(listener)])]);
        Self {
            sockets: Arc::new(sockets),
            refused: Arc::new([]),
        }
    }
}
