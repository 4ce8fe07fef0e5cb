//! An agent that is a program: started for its session, connected to the agents' port as AWS's agent is.
//!
//! The contract is in `tests/interop/main.rs`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use autossm_proto::wire::MessageType;
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::agent_side::Link;
use super::socket::PeerSocket;
use super::socket_link::SocketLink;
use crate::counters::Counters;
use crate::fault::Side;
use crate::lane::Frame;

/// What the program is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assignment<'a> {
    /// Where it connects to.
    pub(crate) endpoint: SocketAddr,
    pub(crate) session_id: &'a str,
    pub(crate) target: &'a str,
    /// Empty means the default one, a shell.
    pub(crate) document: &'a str,
    /// As in StartSession: names with lists of values.
    pub(crate) parameters: &'a str,
    /// The account's key, and where KMS is.
    pub(crate) kms: Option<(&'a str, SocketAddr)>,
}

/// A program and its link. The program is killed with this value.
#[derive(Debug)]
pub(crate) struct OutsideAgent {
    pub(crate) link: SocketLink,
    /// Why the program has ended the session.
    pub(crate) over: Option<String>,
    connected_before: bool,
    /// None once it has spoken.
    ended: Option<oneshot::Receiver<String>>,
    _watcher: JoinSet<()>,
}

impl OutsideAgent {
    /// Starts the program.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(program: &Path, assignment: Assignment<'_>) -> io::Result<Self> {
        let mut command = Command::new(program);
        if let Some((key, address)) = assignment.kms {
            command
                .args(["--kms-key", key])
                .args(["--kms-endpoint", &format!("http://{address}")]);
        }
        let child = command
            .arg("--endpoint")
            .arg(format!("ws://{}", assignment.endpoint))
            .args(["--session-id", assignment.session_id])
            .args(["--instance-id", assignment.target])
            .args(["--document", assignment.document])
            .args(["--parameters", assignment.parameters])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (sender, ended) = oneshot::channel();
        let mut watcher = JoinSet::new();
        watcher.spawn(watch(child, sender));
        Ok(Self {
            link: SocketLink::new(Side::Agent),
            over: None,
            connected_before: false,
            ended: Some(ended),
            _watcher: watcher,
        })
    }

    pub(crate) fn attach(&mut self, socket: PeerSocket) -> Link {
        self.link.attach(socket);
        let again = std::mem::replace(&mut self.connected_before, true);
        Link::Up { again }
    }

    /// Reads and writes the websocket. True when something moved.
    pub(crate) fn run(&mut self, cx: &mut Context<'_>, now: Instant, counters: &Counters) -> (bool, Option<Link>) {
        let read = self.link.poll_read(cx, now, counters);
        let written = self.link.poll_write(cx, now, counters);
        let mut progress = read.progress || written.progress;
        if let Some(ended) = &mut self.ended
            && let Poll::Ready(text) = Pin::new(ended).poll(cx)
        {
            self.ended = None;
            self.over = Some(text.unwrap_or_default());
            progress = true;
        }
        let gone = read.gone || written.gone;
        (progress, gone.then_some(Link::Down))
    }

    /// The next message for the client; what the agent says to the service alone stays here.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Bytes> {
        while let Some(frame) = self.link.up.pop(now) {
            match frame {
                Frame::Message(bytes) if is_for_the_service(&bytes) => {}
                Frame::Message(bytes) => return Some(bytes),
                pong @ Frame::Pong(_) => self.link.down.push(pong, now),
            }
        }
        None
    }
}

/// Waits for the program's end; its last line is what the client is told.
async fn watch(mut child: Child, ended: oneshot::Sender<String>) {
    // Closed with the simulator, however that ends, so that no program stays behind.
    let _open = child.stdin.take();
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take()
        && let Err(error) = stdout.read_to_end(&mut said).await
    {
        tracing::warn!(%error, "what the agent's program said is lost");
    }
    match child.wait().await {
        Ok(status) => tracing::info!(%status, "the agent's program has ended"),
        Err(error) => tracing::warn!(%error, "the agent's program cannot be waited for"),
    }
    let text = String::from_utf8_lossy(&said);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    if ended.send(last.unwrap_or_default().to_owned()).is_err() {
        tracing::debug!("the session was over before its agent");
    }
}

fn is_for_the_service(frame: &Bytes) -> bool {
    let name = MessageType::AgentSessionState.name().as_bytes();
    frame.get(4..4 + name.len()).is_some_and(|found| found == name)
}
