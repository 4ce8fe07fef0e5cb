//! Any bytes on the control socket: the server answers or closes, and serves the next client.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::Duration;

use autossm::control::{
    AttachRequest, ControlHandle, ControlSocket, OpenProxy, Order, OrderError, Ordered, ProxyError, ProxyRequest,
    ReloadError, Subscription, UnknownSession, serve,
};
use autossm::status::{DaemonStatus, Event, EventLine, ProxyEnd, ReloadStatus, Sandbox, SessionStatus};
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

/// No answer of this daemon without sessions is longer, however many requests were sent.
const LONGEST: usize = 4 << 20;

/// A daemon without sessions.
#[derive(Clone, Debug)]
struct Empty;

impl ControlHandle for Empty {
    async fn status(&self) -> DaemonStatus {
        DaemonStatus {
            version: "0".to_owned(),
            pid: 1,
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

    async fn order(&self, name: &str, _order: Order) -> Result<Ordered, OrderError> {
        Err(UnknownSession { name: name.to_owned() }.into())
    }

    async fn order_all(&self, _order: Order) -> usize {
        0
    }

    async fn reload(&self) -> Result<ReloadStatus, ReloadError> {
        Err(ReloadError::Wrong("line 1\nline 2".to_owned()))
    }

    /// Sessions without anybody who would take a connection.
    async fn proxy(&self, request: ProxyRequest) -> Result<OpenProxy, ProxyError> {
        if request.target.is_empty() {
            return Err(ProxyError::Refused("no target".to_owned()));
        }
        let (connection, _) = oneshot::channel();
        Ok(OpenProxy {
            session: "ssh-1".to_owned(),
            connection,
        })
    }

    /// No shell either.
    async fn attach(&self, request: AttachRequest) -> Result<OpenProxy, ProxyError> {
        if request.view.raw {
            return Err(ProxyError::Stopped { name: request.target });
        }
        self.proxy(ProxyRequest {
            target: request.target,
            port: 0,
            whose: request.whose,
        })
        .await
    }

    fn proxy_end(&self, _session: &str) -> Option<ProxyEnd> {
        None
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        if level == "info" { Ok(()) } else { Err(level.to_owned()) }
    }

    fn subscribe(&self) -> Subscription {
        let event = Event::Missed { count: 1 };
        Subscription {
            first: vec![EventLine { unix_ms: 1, event }],
            // Its sender is gone: the stream ends, so that each input does.
            rest: broadcast::channel(1).1,
        }
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut client = UnixStream::connect(socket()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may have closed already: that is an answer too.
    if client.write_all(data).is_ok() && client.shutdown(std::net::Shutdown::Write).is_err() {
        return;
    }
    let mut answer = Vec::new();
    match client.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server neither answered nor closed: {error}"),
    }
    assert!(answer.len() < LONGEST);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{answer:?}");
}

/// One server for the whole process, on a thread of its own.
fn socket() -> &'static std::path::Path {
    static SOCKET: OnceLock<std::path::PathBuf> = OnceLock::new();
    SOCKET.get_or_init(|| {
        let directory = std::env::temp_dir().join(format!("autossm-fuzz-{}", std::process::id()));
        let path = directory.join("control.sock");
        let (ready, wait) = std::sync::mpsc::channel();
        let bound = path.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let socket = ControlSocket::bind(&bound).unwrap();
                ready.send(()).unwrap();
                serve(socket, Empty, CancellationToken::new()).await;
            });
        });
        wait.recv().unwrap();
        path
    })
}
