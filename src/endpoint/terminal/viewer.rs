//! One who looks at a terminal: a connection, read and written by a task each.

use autossm_proto::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::model::Model;
use super::view::View;
use super::{FRAME, Frames, FromViewer, ToViewer, ViewRequest};

/// What a viewer's tasks tell.
#[derive(Debug)]
pub struct ViewerReport {
    pub(super) viewer: u64,
    pub(super) said: Said,
}

/// What one of them has to say.
#[derive(Debug)]
pub(super) enum Said {
    Frame(FromViewer),
    /// So many bytes of the session have reached the connection.
    Written(u64),
    /// Nobody looks any more.
    Gone,
}

/// One who looks.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) request: ViewRequest,
    /// None for a pipe.
    pub(super) view: Option<View>,
    /// The last frame was shown.
    pub(super) ready: bool,
    /// The session's bytes up to here have reached a pipe.
    pub(super) written: u64,
    /// Frames go out one at a time, and the session hands out no more bytes than it may leave untaken.
    words: mpsc::UnboundedSender<ToViewer>,
    reader: AbortHandle,
    /// What the last frame shows, and when it was sent.
    drawn: Option<(u64, Timestamp)>,
}

impl Viewer {
    /// Serves a connection with two tasks.
    pub(super) fn start(
        id: u64,
        stream: UnixStream,
        (reports, reading): (mpsc::Sender<ViewerReport>, watch::Receiver<bool>),
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (read, write) = stream.into_split();
        #[expect(
            clippy::disallowed_methods,
            reason = "its bound is in bytes, and the session keeps it: as for the mailbox of a pump"
        )]
        let (words, queue) = mpsc::unbounded_channel();
        tasks.spawn(write_all(id, write, queue, reports.clone()));
        let reader = tasks.spawn(read_all(id, read, reading, reports));
        Self {
            request: ViewRequest::default(),
            view: None,
            ready: true,
            written: 0,
            words,
            reader,
            drawn: None,
        }
    }

    /// As what; a pipe gets what comes after the first `received` bytes.
    pub(super) fn looking(mut self, request: ViewRequest, view: Option<View>, received: u64) -> Self {
        (self.request, self.view, self.written) = (request, view, received);
        self
    }

    /// Never waits. False: it is gone.
    pub(super) fn tell(&self, word: &ToViewer) -> bool {
        self.words.send(word.clone()).is_ok()
    }

    pub(super) fn set_size(&mut self, rows: u16, cols: u16) {
        if let Some(size) = &mut self.request.size {
            *size = (rows, cols);
        }
        if let Some(view) = &mut self.view {
            view.set_size(rows, cols);
        }
        self.drawn = None;
    }

    pub(super) fn redraw(&mut self) {
        if let Some(view) = &mut self.view {
            view.redraw();
        }
        self.drawn = None;
    }

    /// When it gets its next frame, if it is out of date.
    pub(super) fn due(&self, change: u64) -> Option<Timestamp> {
        if self.view.is_none() || !self.ready {
            return None;
        }
        match self.drawn {
            Some((drawn, _)) if drawn == change => None,
            Some((_, at)) => Some(at.after(FRAME)),
            None => Some(Timestamp::ZERO),
        }
    }

    pub(super) fn render(&mut self, (model, status): (&mut Model, Option<&str>), change: u64, now: Timestamp) {
        let Some(view) = &mut self.view else { return };
        let frame = view.render(model, status);
        self.drawn = Some((change, now));
        if !frame.is_empty() {
            // One that cannot be told says so itself: it has no more than this in its queue.
            self.ready = !self.tell(&ToViewer::Frame(frame.into()));
        }
    }
}

impl Drop for Viewer {
    /// The other task ends when it has written what it was told.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn write_all(
    viewer: u64,
    mut stream: OwnedWriteHalf,
    mut words: mpsc::UnboundedReceiver<ToViewer>,
    reports: mpsc::Sender<ViewerReport>,
) {
    while let Some(word) = words.recv().await {
        let bytes = match &word {
            ToViewer::Stdout(bytes) | ToViewer::Stderr(bytes) => bytes.len() as u64,
            ToViewer::Frame(_) | ToViewer::Exit { .. } | ToViewer::End(_) => 0,
        };
        let said = match stream.write_all(&word.encode()).await {
            Ok(()) if bytes == 0 => continue,
            Ok(()) => Said::Written(bytes),
            Err(_) => Said::Gone,
        };
        // Without a session nobody needs to know.
        if reports.send(ViewerReport { viewer, said }).await.is_err() {
            return;
        }
    }
}

async fn read_all(
    viewer: u64,
    mut stream: OwnedReadHalf,
    mut reading: watch::Receiver<bool>,
    reports: mpsc::Sender<ViewerReport>,
) {
    let mut frames = Frames::default();
    loop {
        let said = match frames.next_said() {
            Ok(Some(frame)) => Said::Frame(frame),
            Ok(None) => {
                if reading.wait_for(|reading| *reading).await.is_err() {
                    return;
                }
                match stream.read_buf(frames.room()).await {
                    Ok(0) | Err(_) => Said::Gone,
                    Ok(_) => continue,
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a viewer of a terminal is dropped");
                Said::Gone
            }
        };
        let gone = matches!(said, Said::Gone);
        if reports.send(ViewerReport { viewer, said }).await.is_err() || gone {
            return;
        }
    }
}
