//! Connections that are brought to sessions: one for each session on demand of `autossm proxy`, any number for a shell.

use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::registry::{Connecting, Entry, ProxyAsked};
use super::run::Daemon;
use crate::config::{OnDemand, settings_on_demand};
use crate::control::{AttachRequest, OpenProxy, ProxyError};
use crate::endpoint::{LocalSocket, ProxiedStream, ViewRequest};
use crate::status::Event;
use crate::supervisor::{Ending, SessionHandle};

/// Sessions on demand at once.
const MOST: usize = 512;

impl Daemon {
    pub(super) fn answer_proxy(&mut self, asked: ProxyAsked) {
        let made = match asked.request {
            Connecting::Port(request) => self
                .make_on_demand(&request.into())
                .map(|(name, handle)| self.expect(name, handle, None)),
            Connecting::Shell(request) => self.shell_for(request),
        };
        if asked.reply.send(made).is_err() {
            tracing::debug!("who asked for a proxied connection is gone");
        }
    }

    /// The shell of that name, or a new one.
    fn shell_for(&mut self, request: AttachRequest) -> Result<OpenProxy, ProxyError> {
        let view = request.view;
        let entries = self.registry.entries();
        let known = entries
            .iter()
            .find(|entry| request.adopt.is_none() && entry.settings.name == request.target);
        let (name, handle) = match known {
            Some(entry) if entry.settings.shell.is_some() && !request.command => (request.target, entry.handle.clone()),
            Some(_) | None => self.make_on_demand(&request.into())?,
        };
        Ok(self.expect(name, handle, Some(view)))
    }

    /// Whoever asked brings a connection to the session; with a view it is one of its terminal.
    fn expect(&mut self, session: String, handle: SessionHandle, view: Option<ViewRequest>) -> OpenProxy {
        let (connection, arrives) = oneshot::channel();
        while self.bringing.try_join_next().is_some() {}
        match view {
            Some(view) => self.bringing.spawn(bring_viewer(handle, arrives, view)),
            None => self.bringing.spawn(bring(handle, arrives)),
        };
        OpenProxy { session, connection }
    }

    fn make_on_demand(&mut self, wanted: &OnDemand) -> Result<(String, SessionHandle), ProxyError> {
        let entries = self.registry.entries();
        if entries.iter().filter(|entry| entry.is_on_demand()).count() >= MOST {
            return Err(ProxyError::TooMany(MOST));
        }
        let is_taken = |name: &str| entries.iter().any(|entry| entry.settings.name == name);
        let mut number = self.on_demand;
        let free = |prefix: &str| loop {
            number = number.saturating_add(1);
            let name = format!("{prefix}-{number}");
            if !is_taken(&name) {
                break name;
            }
        };
        let settings = settings_on_demand(wanted, &self.settings, free);
        let settings = settings.map_err(|refused| ProxyError::Refused(refused.to_string()))?;
        self.on_demand = number;
        let session = settings.name.clone();
        let entry = self.start_session(settings);
        let handle = entry.handle.clone();
        let mut all = entries.to_vec();
        all.push(entry);
        self.registry.replace(all);
        self.board.announce(Event::Added {
            session: session.clone(),
        });
        Ok((session, handle))
    }

    /// Whether that session was one on demand; it is in no list any more.
    pub(super) fn forget_on_demand(&self, session: &str) -> bool {
        let entries = self.registry.entries();
        let is_it = |entry: &&Entry| entry.settings.name == session && entry.is_on_demand();
        if !entries.iter().any(|entry| is_it(&entry)) {
            return false;
        }
        let rest = entries.iter().filter(|entry| !is_it(entry)).cloned().collect();
        self.registry.replace(rest);
        self.board.remove(session);
        self.board.announce(Event::Removed {
            session: session.to_owned(),
        });
        true
    }
}

/// Gives the connection to its session, or ends a session that gets none.
pub(super) async fn bring(handle: SessionHandle, arrives: oneshot::Receiver<UnixStream>) {
    let socket = match arrives.await {
        Ok(stream) => ProxiedStream::new(stream),
        Err(_) => Err(std::io::ErrorKind::NotConnected.into()),
    };
    let gone = match socket {
        Ok(socket) => handle.attach(LocalSocket::Proxied(socket)).await,
        Err(error) => {
            tracing::debug!(%error, "no connection for a session on demand");
            handle.end(Ending::Terminate).await
        }
    };
    if let Err(gone) = gone {
        tracing::debug!(%gone, "a session on demand has ended before its connection came");
    }
}

/// Shows the session's terminal to who comes. If nobody does, a session that was made for them ends; others never waited.
pub(super) async fn bring_viewer(handle: SessionHandle, arrives: oneshot::Receiver<UnixStream>, view: ViewRequest) {
    let gone = match arrives.await {
        Ok(stream) => handle.view(stream, view).await,
        Err(_) => handle.unwanted().await,
    };
    if let Err(gone) = gone {
        tracing::debug!(%gone, "a shell has ended before its viewer came");
    }
}
