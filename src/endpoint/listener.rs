//! All places where a session's local connections come in.

use std::io;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::inherited::{self, InheritedSocket};
use super::unix::UnixEntrance;
use super::{Inherited, LocalSocket, tcp, unix};
use crate::config::{ForwardSettings, Listen};

/// Between two attempts to listen where it was not possible.
const RETRY: Duration = Duration::from_secs(5);
/// The first and the longest wait after an accept that failed for want of a resource.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Reports that may wait for the session.
const NEWS: usize = 16;

/// Listening is not possible now; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {cause}; retrying, free it or change `listen` of this session")]
pub struct ListenError {
    place: String,
    #[source]
    cause: io::Error,
}

/// A session's listeners: each accepts in a task of its own, and retries slowly while it cannot bind.
#[derive(Debug)]
pub struct Listeners {
    /// One for each place in the settings.
    states: Vec<State>,
    news: mpsc::Receiver<News>,
    accepted: mpsc::Receiver<LocalSocket>,
    /// Dropping it ends the accepting and removes socket files.
    tasks: JoinSet<()>,
}

#[derive(Debug)]
enum State {
    Up(Vec<String>),
    Down(String),
}

#[derive(Debug)]
struct News {
    index: usize,
    state: State,
}

impl Listeners {
    /// Listens on every place of the settings, or instead of them on the sockets that were `inherited` under the
    /// session's name. What cannot be bound now is retried in the background.
    pub async fn open(session: &str, forward: &ForwardSettings, inherited: &Inherited) -> Self {
        // One slot: when the session takes no more connections, the kernel's queue is where they wait.
        let (accepted_sender, accepted) = mpsc::channel(1);
        let (news_sender, news) = mpsc::channel(NEWS);
        let mut tasks = JoinSet::new();
        let mut states = Vec::new();
        let entrances = if inherited.of(session).is_some() {
            vec![Place::Inherited(inherited.clone(), forward.allow_remote_clients)]
        } else {
            forward.listen.iter().cloned().map(Place::Own).collect()
        };
        for (index, place) in entrances.into_iter().enumerate() {
            let keeper = Keeper {
                session: session.to_owned(),
                index,
                place,
                accepted: accepted_sender.clone(),
                news: news_sender.clone(),
            };
            let first = keeper.bind().await;
            states.push(keeper.announce(&first, None));
            tasks.spawn(keeper.run(first));
        }
        Self {
            states,
            news,
            accepted,
            tasks,
        }
    }

    /// No place at all: nothing is accepted.
    pub fn none() -> Self {
        Self {
            states: Vec::new(),
            news: mpsc::channel(1).1,
            accepted: mpsc::channel(1).1,
            tasks: JoinSet::new(),
        }
    }

    /// The next local connection, once `accepting`. Cancel safe.
    pub async fn accept(&mut self, accepting: bool) -> LocalSocket {
        loop {
            tokio::select! {
                Some(news) = self.news.recv() => {
                    if let Some(state) = self.states.get_mut(news.index) {
                        *state = news.state;
                    }
                }
                Some(socket) = self.accepted.recv(), if accepting => return socket,
                else => std::future::pending().await,
            }
        }
    }

    /// Accepts no more; connections that nobody has taken yet are closed.
    pub fn close(&mut self) {
        self.tasks.abort_all();
        self.accepted.close();
        while self.accepted.try_recv().is_ok() {}
        self.states.clear();
    }

    /// Where connections are accepted now, with the ports the kernel chose.
    pub fn addresses(&self) -> Vec<String> {
        let mut addresses = Vec::new();
        for state in &self.states {
            match state {
                State::Up(up) => addresses.extend_from_slice(up),
                State::Down(_) => {}
            }
        }
        addresses
    }

    /// Why not all places are listened on, for people.
    pub fn error(&self) -> Option<String> {
        let mut errors = Vec::new();
        for state in &self.states {
            match state {
                State::Up(_) => {}
                State::Down(error) => errors.push(error.as_str()),
            }
        }
        (!errors.is_empty()).then(|| errors.join("; "))
    }
}

/// Where connections come in.
#[derive(Debug)]
enum Place {
    /// Bound by us.
    Own(Listen),
    /// The session's sockets of these; whether other machines may reach them.
    Inherited(Inherited, bool),
}

/// One place, held by one task.
#[derive(Debug)]
struct Keeper {
    session: String,
    index: usize,
    place: Place,
    accepted: mpsc::Sender<LocalSocket>,
    news: mpsc::Sender<News>,
}

impl Keeper {
    async fn run(self, first: Result<Bound, ListenError>) {
        let mut attempt = first;
        loop {
            let error = match attempt {
                Ok(bound) => return self.accept(bound).await,
                Err(error) => error.to_string(),
            };
            tokio::time::sleep(RETRY).await;
            attempt = self.bind().await;
            let state = self.announce(&attempt, Some(&error));
            let index = self.index;
            if self.news.send(News { index, state }).await.is_err() {
                return;
            }
        }
    }

    async fn bind(&self) -> Result<Bound, ListenError> {
        match &self.place {
            Place::Own(listen) => bind(listen).await,
            Place::Inherited(inherited, remote_allowed) => {
                let sockets = inherited.of(&self.session).unwrap_or_default();
                Bound::inherited(sockets, *remote_allowed).map_err(|cause| ListenError {
                    place: "the service manager's socket".to_owned(),
                    cause,
                })
            }
        }
    }

    /// One log line when something has changed; the state for status.
    fn announce(&self, attempt: &Result<Bound, ListenError>, before: Option<&str>) -> State {
        match attempt {
            Ok(bound) => {
                tracing::info!(
                    session = self.session,
                    addresses = bound.addresses.join(", "),
                    "listening"
                );
                State::Up(bound.addresses.clone())
            }
            Err(error) => {
                let text = error.to_string();
                if before != Some(text.as_str()) {
                    tracing::warn!(name: "cannot_listen", session = self.session, "{text}");
                }
                State::Down(text)
            }
        }
    }

    async fn accept(&self, bound: Bound) {
        let mut pause = PAUSE_MIN;
        let mut turn = 0;
        loop {
            match bound.accept(&mut turn).await {
                Ok(socket) => {
                    pause = PAUSE_MIN;
                    if self.accepted.send(socket).await.is_err() {
                        return;
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if pause == PAUSE_MIN {
                        tracing::warn!(session = self.session, %error, "cannot accept local connections now, retrying");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

/// The sockets of one place; `localhost` has two.
#[derive(Debug)]
struct Bound {
    entrances: Vec<Entrance>,
    addresses: Vec<String>,
}

#[derive(Debug)]
enum Entrance {
    Tcp(TcpListener),
    Unix(UnixEntrance),
}

impl Bound {
    fn tcp(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let mut addresses = Vec::new();
        for listener in &listeners {
            addresses.push(listener.local_addr()?.to_string());
        }
        Ok(Self {
            entrances: listeners.into_iter().map(Entrance::Tcp).collect(),
            addresses,
        })
    }

    fn inherited(sockets: &[InheritedSocket], remote_allowed: bool) -> io::Result<Self> {
        let mut entrances = Vec::new();
        for socket in sockets {
            entrances.push(match socket {
                InheritedSocket::Tcp(listener) => Entrance::Tcp(inherited::tcp(listener, remote_allowed)?),
                InheritedSocket::Unix(listener) => Entrance::Unix(UnixEntrance::foreign(inherited::unix(listener)?)),
            });
        }
        Ok(Self {
            entrances,
            addresses: sockets.iter().map(inherited::place).collect(),
        })
    }

    /// The next connection; the entrances take turns. Cancel safe.
    async fn accept(&self, turn: &mut usize) -> io::Result<LocalSocket> {
        *turn = turn.wrapping_add(1);
        let first = *turn % self.entrances.len().max(1);
        std::future::poll_fn(|context| {
            let (before, from) = self.entrances.split_at(first);
            for entrance in from.iter().chain(before) {
                let accepted = match entrance {
                    Entrance::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, _)| {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "TCP_NODELAY not set on a local connection");
                        }
                        LocalSocket::Tcp(stream)
                    }),
                    Entrance::Unix(unix) => unix
                        .listener
                        .poll_accept(context)
                        .map_ok(|(stream, _)| LocalSocket::Unix(stream)),
                };
                if accepted.is_ready() {
                    return accepted;
                }
            }
            Poll::Pending
        })
        .await
    }
}

async fn bind(listen: &Listen) -> Result<Bound, ListenError> {
    let bound = match listen {
        Listen::Tcp(address) => tcp::bind(*address)
            .await
            .and_then(|listener| Bound::tcp(vec![listener])),
        Listen::Localhost(port) => tcp::bind_localhost(*port).await.and_then(Bound::tcp),
        Listen::Unix(path) => unix::bind(path).await.map(|unix| Bound {
            entrances: vec![Entrance::Unix(unix)],
            addresses: vec![place(listen)],
        }),
    };
    bound.map_err(|cause| ListenError {
        place: place(listen),
        cause,
    })
}

/// As it is written in the configuration.
fn place(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Localhost(port) => format!("localhost:{port}"),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// The client gave up before it was accepted; the listener is as good as before.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}
