//! A daemon with one session, `db`, that counts what it is asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::status::{Event, ProxyEndKind};

/// Events the fake keeps for a slow reader.
pub(super) const KEPT: usize = 8;

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    pub(super) events: broadcast::Sender<EventLine>,
    /// What proxied connections get back is what they send.
    echoes: Arc<Mutex<JoinSet<()>>>,
}

impl Fake {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    /// Tells all readers.
    pub(super) fn happen(&self, message: &str) {
        let event = Event::Reload {
            ok: true,
            message: message.to_owned(),
        };
        drop(self.events.send(EventLine { unix_ms: 1, event }));
    }
}

impl ControlHandle for Fake {
    async fn status(&self) -> DaemonStatus {
        DaemonStatus {
            version: "1.2.3".to_owned(),
            pid: 7,
            log_level: "info".to_owned(),
            last_reload: None,
            sessions: Vec::new(),
        }
    }

    async fn sandbox(&self) -> Sandbox {
        Sandbox::default()
    }

    async fn session(&self, _name: &str) -> Option<SessionStatus> {
        None
    }

    async fn order(&self, name: &str, order: Order) -> Result<Ordered, OrderError> {
        let own = || name.to_owned();
        match name {
            "db" => {}
            "off" => return Err(OrderError::Stopped { name: own() }),
            _ => return Err(UnknownSession { name: own() }.into()),
        }
        self.note(format!("{order:?} {name}"));
        Ok(match order {
            Order::Start => Ordered::AlreadyRunning,
            Order::Reconnect | Order::Restart | Order::Stop => Ordered::Begun,
        })
    }

    async fn order_all(&self, order: Order) -> usize {
        self.note(format!("{order:?} all"));
        7
    }

    async fn reload(&self) -> Result<ReloadStatus, ReloadError> {
        self.note("reload".to_owned());
        // Longer than a short question may take.
        tokio::time::sleep(std::time::Duration::from_secs(15)).await;
        Err(ReloadError::Wrong("line 1\nline 2".to_owned()))
    }

    async fn proxy(&self, request: ProxyRequest) -> Result<OpenProxy, ProxyError> {
        self.note(format!("proxy {} {}", request.target, request.port));
        if request.target == "wrong" {
            return Err(ProxyError::Refused("`wrong` is no target".to_owned()));
        }
        let (connection, arrived) = oneshot::channel::<UnixStream>();
        let echo = async move {
            if let Ok(mut stream) = arrived.await {
                let (mut from, mut to) = stream.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            }
        };
        self.echoes.lock().unwrap().spawn(echo);
        Ok(OpenProxy {
            session: "ssh-1".to_owned(),
            connection,
        })
    }

    async fn attach(&self, request: AttachRequest) -> Result<OpenProxy, ProxyError> {
        let view = request.view;
        self.note(format!("attach {} {:?} {}", request.target, view.size, view.read_only));
        self.proxy(ProxyRequest {
            target: request.target,
            port: 0,
            whose: request.whose,
        })
        .await
    }

    fn proxy_end(&self, session: &str) -> Option<ProxyEnd> {
        let end = ProxyEnd {
            end: ProxyEndKind::Lost,
            cause: "why".to_owned(),
        };
        (session == "ssh-1").then_some(end)
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        self.note(format!("log {level}"));
        match level {
            "loud" => Err("`loud` is no log level".to_owned()),
            _ => Ok(()),
        }
    }

    fn subscribe(&self) -> Subscription {
        let event = Event::Hello {
            version: "1.2.3".to_owned(),
            pid: 7,
        };
        Subscription {
            first: vec![EventLine { unix_ms: 1, event }],
            rest: self.events.subscribe(),
        }
    }
}

/// A server on a socket of its own, stopped at the end of a test.
pub(super) struct Fixture {
    pub(super) fake: Fake,
    pub(super) path: PathBuf,
    cancelled: CancellationToken,
    tasks: JoinSet<()>,
    _directory: TempDir,
}

impl Fixture {
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("autossm/control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        let fake = Fake {
            asked: Arc::default(),
            events: broadcast::Sender::new(KEPT),
            echoes: Arc::default(),
        };
        let (cancelled, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(serve(socket, fake.clone(), cancelled.clone()));
        Self {
            fake,
            path,
            cancelled,
            tasks,
            _directory: directory,
        }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(&self.path)
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.fake.asked.lock().unwrap().clone()
    }

    /// Everything the server answers to these bytes until it closes.
    pub(super) async fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        // A server that has closed already is one that has seen enough.
        drop(stream.write_all(request).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(super) async fn stop(mut self) {
        self.cancelled.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
        assert!(!self.path.exists(), "the socket is removed");
    }
}
