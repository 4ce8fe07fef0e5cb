//! A Session Manager that means harm: a control plane and a data-channel service on loopback, both scripted by the test.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::channel::{Channel, read_head};

/// The session that every good StartSession gives.
pub(crate) const SESSION: &str = "ada-0a1b2c3d4e5f67890";
/// The token that opens it. Must never be seen anywhere.
pub(crate) const TOKEN: &str = "canary-token-of-the-hostile-service";

/// What happens to a connection of the data-channel service, before or after its upgrade; the number counts them from 0.
pub(crate) type Attack = Arc<dyn Fn(TcpStream, usize) -> Attacking + Send + Sync>;
pub(crate) type Attacking = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// How a call is answered: the name of the call, how many were made before, and a good answer's body.
pub(crate) type Script = fn(&str, usize, &str) -> Answer;

/// An answer of the control plane.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A body with status 200.
    Json(String),
    /// These bytes as they are, then the filler so many times.
    Raw {
        head: String,
        filler: Vec<u8>,
        times: usize,
    },
}

/// Answers every call as AWS does.
pub(crate) fn good(_call: &str, _nth: usize, body: &str) -> Answer {
    Answer::Json(body.to_owned())
}

/// An attack that begins after the upgrade, on every channel.
pub(crate) fn attack<F>(run: fn(Channel, usize) -> F) -> Attack
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    Arc::new(move |socket, nth| Box::pin(async move { run(Channel::accept(socket).await?, nth).await }))
}

/// A running service, on a thread of its own so that its floods do not slow the simulator down. It ends with its value.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) url: String,
    /// The thread ends when this is dropped.
    released: watch::Sender<bool>,
}

impl Service {
    /// Listens, but lets everybody wait until it is released.
    pub(crate) async fn start(script: Script, attack: Attack) -> io::Result<Self> {
        let (released, wait) = watch::channel(false);
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(control.local_addr().unwrap()).unwrap();
                let mut ended = wait.clone();
                tokio::select! {
                    () = serve(control, script, attack, wait) => {}
                    _ = ended.wait_for(|_| false) => {}
                }
            });
        });
        let control = told.await.map_err(io::Error::other)?;
        Ok(Self {
            url: format!("http://{control}"),
            released,
        })
    }

    /// From now on it answers.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

async fn serve(control: TcpListener, script: Script, attack: Attack, wait: watch::Receiver<bool>) {
    let channels = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = channels.local_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let (mut connections, mut attacks) = (JoinSet::new(), JoinSet::new());
    let mut nth = 0;
    loop {
        tokio::select! {
            Ok((socket, _)) = control.accept() => {
                let (calls, mut wait) = (Arc::clone(&calls), wait.clone());
                connections.spawn(async move {
                    if wait.wait_for(|released| *released).await.is_ok() {
                        answer_calls(socket, script, &calls, at).await
                    } else {
                        Ok(())
                    }
                });
            }
            Ok((socket, _)) = channels.accept() => {
                attacks.spawn(attack(socket, nth));
                nth += 1;
            }
        }
    }
}

async fn answer_calls(
    mut socket: TcpStream,
    script: Script,
    calls: &AtomicUsize,
    channels: SocketAddr,
) -> io::Result<()> {
    loop {
        let head = read_head(&mut socket).await?.to_ascii_lowercase();
        let header = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
                .trim()
        };
        let mut body = vec![0; header("content-length:").parse().unwrap_or(0)];
        socket.read_exact(&mut body).await?;
        let call = header("x-amz-target:")
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned();
        let good = serde_json::json!({
            "SessionId": SESSION,
            "TokenValue": TOKEN,
            "StreamUrl": format!("ws://{channels}/v1/data-channel/{SESSION}?role=publish_subscribe&cell-number=AAE+/="),
        });
        match script(&call, calls.fetch_add(1, Ordering::SeqCst), &good.to_string()) {
            Answer::Json(body) => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                socket.write_all(head.as_bytes()).await?;
                socket.write_all(body.as_bytes()).await?;
            }
            Answer::Raw { head, filler, times } => {
                socket.write_all(head.as_bytes()).await?;
                for _ in 0..times {
                    socket.write_all(&filler).await?;
                }
                return Ok(());
            }
        }
    }
}
