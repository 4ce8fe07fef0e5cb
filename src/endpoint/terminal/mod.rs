//! The terminal of a shell, held by the daemon: a model of its screen, and those who look at it.
//!
//! A viewer is a terminal that shows what the model shows ([`View`]), or a pipe that gets the bytes as they came. A viewer's
//! terminal says when it has shown a frame; only then it gets the next one, which is made from what the screen is by then: a slow
//! one sees fewer of them and holds up nobody. Nothing may be left out for a pipe, so a slow one slows the session down.

mod frames;
mod model;
mod translate;
mod view;
mod viewer;

use std::collections::BTreeMap;
use std::time::Duration;

use autossm_proto::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::status::ProxyEnd;
pub use frames::{BadFrame, Frames, FromViewer, LARGEST, ToViewer};
use model::Model;
use view::View;
pub use view::{ENTER_ALTERNATE, LEAVE_ALTERNATE, RESTORE};
pub use viewer::ViewerReport;
use viewer::{Said, Viewer};

/// Viewers of one terminal.
const MOST_VIEWERS: usize = 32;
/// Reports of all viewers that may wait for the session.
const REPORTS: usize = 64;
/// Between two frames: more of them nobody sees.
const FRAME: Duration = Duration::from_millis(10);

/// How somebody wants to look at a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewRequest {
    /// Rows and columns of the viewer's terminal; none for a pipe.
    #[serde(default)]
    pub size: Option<(u16, u16)>,
    /// What is typed is not passed on, and the size does not count.
    #[serde(default)]
    pub read_only: bool,
    /// The bytes as they came instead of a screen.
    #[serde(default)]
    pub raw: bool,
}

/// A terminal with its viewers.
#[derive(Debug)]
pub struct Terminal {
    model: Model,
    viewers: BTreeMap<u64, Viewer>,
    next: u64,
    reports: mpsc::Receiver<ViewerReport>,
    reporter: mpsc::Sender<ViewerReport>,
    tasks: JoinSet<()>,
    /// Whether viewers may be read.
    reading: watch::Sender<bool>,
    status: Option<String>,
    /// Counts what can be seen.
    change: u64,
    /// Bytes of the session so far, and how many of them were reported as taken.
    received: u64,
    taken: u64,
    answers: Vec<u8>,
}

impl Terminal {
    /// One that keeps so many lines of scrollback. Needs a tokio runtime.
    pub fn new(scrollback: usize) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        Self {
            model: Model::new(scrollback),
            viewers: BTreeMap::new(),
            next: 0,
            reports,
            reporter,
            tasks: JoinSet::new(),
            reading: watch::Sender::new(true),
            status: None,
            change: 0,
            received: 0,
            taken: 0,
            answers: Vec::new(),
        }
    }

    /// Whether nobody more can look.
    pub fn is_full(&self) -> bool {
        self.viewers.len() >= MOST_VIEWERS
    }

    /// Shows the terminal to somebody more.
    pub fn attach(&mut self, stream: UnixStream, request: ViewRequest) {
        let view = request
            .size
            .filter(|_| !request.raw)
            .map(|(rows, cols)| View::new(rows, cols, &self.model));
        let id = self.next;
        self.next += 1;
        let reading = self.reading.subscribe();
        let viewer = Viewer::start(id, stream, (self.reporter.clone(), reading), &mut self.tasks);
        self.viewers.insert(id, viewer.looking(request, view, self.received));
        self.fit();
    }

    /// Waits for a viewer's word, or for the end of what it was told, which is none. Cancel safe.
    pub async fn next(&mut self) -> Option<ViewerReport> {
        tokio::select! {
            // This holds a sender itself, so it never ends.
            report = self.reports.recv() => report,
            Some(_ended) = self.tasks.join_next() => None,
        }
    }

    /// Takes a viewer's report; what was typed, if it is that.
    pub fn take(&mut self, ViewerReport { viewer: id, said }: ViewerReport) -> Option<Bytes> {
        let viewer = self.viewers.get_mut(&id)?;
        match said {
            Said::Frame(FromViewer::Input(bytes)) if !viewer.request.read_only => return Some(bytes),
            Said::Frame(FromViewer::Input(_)) => {}
            Said::Frame(FromViewer::Size { rows, cols }) => {
                viewer.set_size(rows, cols);
                self.fit();
            }
            Said::Frame(FromViewer::Shown) => viewer.ready = true,
            Said::Frame(FromViewer::Redraw) => viewer.redraw(),
            Said::Written(bytes) => viewer.written += bytes,
            Said::Gone => {
                self.viewers.remove(&id);
                self.fit();
            }
        }
        None
    }

    /// Whether somebody looks.
    pub fn is_watched(&self) -> bool {
        !self.viewers.is_empty()
    }

    /// Rows and columns that the remote program is to have; none while nobody has said any.
    pub fn wanted_size(&self) -> Option<(u16, u16)> {
        let typing = self.viewers.values().any(|viewer| !viewer.request.read_only);
        let counted = self
            .viewers
            .values()
            .filter(|viewer| !(typing && viewer.request.read_only));
        let sizes = counted.filter_map(|viewer| viewer.request.size);
        sizes.reduce(|(rows, cols), (more, wide)| (rows.min(more), cols.min(wide)))
    }

    /// The smallest of those who look decides, as long as there is one.
    fn fit(&mut self) {
        if let Some((rows, cols)) = self.wanted_size() {
            self.model.set_size(rows, cols);
        }
        self.change += 1;
    }

    /// Rows and columns of the model.
    pub fn size(&self) -> (u16, u16) {
        self.model.size()
    }

    /// Standard output of the session, or all that it writes.
    pub fn stdout(&mut self, bytes: &Bytes) {
        self.model.process(bytes);
        self.answers.extend(self.model.take_answers());
        self.change += 1;
        self.received += bytes.len() as u64;
        self.tell_pipes(&ToViewer::Stdout(bytes.clone()));
    }

    /// Standard error of the session.
    pub fn stderr(&mut self, bytes: &Bytes) {
        self.received += bytes.len() as u64;
        self.tell_pipes(&ToViewer::Stderr(bytes.clone()));
    }

    /// The command has ended with this code, or says so; `dropped` while it ran.
    pub fn exit(&mut self, code: i32, dropped: bool) {
        let word = ToViewer::Exit { code, dropped };
        self.viewers.retain(|_, viewer| viewer.tell(&word));
    }

    /// The exit code that a command in a terminal has told, since the last look.
    pub fn take_exit(&mut self) -> Option<i32> {
        self.model.take_exit()
    }

    fn tell_pipes(&mut self, word: &ToViewer) {
        let before = self.viewers.len();
        self.viewers
            .retain(|_, viewer| viewer.view.is_some() || viewer.tell(word));
        if self.viewers.len() < before {
            tracing::debug!("a viewer of a terminal is gone");
            self.fit();
        }
    }

    /// What the terminal itself answers to questions of the remote program, since the last look.
    pub fn take_answers(&mut self) -> Bytes {
        std::mem::take(&mut self.answers).into()
    }

    /// Bytes of the session that all have, since the last look.
    pub fn take_written(&mut self) -> usize {
        let pipes = self.viewers.values().filter(|viewer| viewer.view.is_none());
        let least = pipes.map(|viewer| viewer.written).min();
        let done = least.map_or(self.received, |least| least.min(self.received));
        let news = done.saturating_sub(self.taken);
        self.taken += news;
        usize::try_from(news).unwrap_or(usize::MAX)
    }

    /// Whether viewers may be read: there is room for what they type.
    pub fn set_reading(&self, reading: bool) {
        self.reading
            .send_if_modified(|now| std::mem::replace(now, reading) != reading);
    }

    /// What the last row of each screen says; none: what the model has there.
    pub fn set_status(&mut self, status: Option<String>) {
        if self.status != status {
            self.status = status;
            self.change += 1;
        }
    }

    /// Sends a frame to each screen that is out of date, has shown the one before and had it for a moment.
    pub fn render(&mut self, now: Timestamp) {
        for viewer in self.viewers.values_mut() {
            if viewer.due(self.change).is_none_or(|at| at > now) {
                continue;
            }
            viewer.render((&mut self.model, self.status.as_deref()), self.change, now);
        }
    }

    /// When [`Terminal::render`] has something to do.
    pub fn deadline(&self) -> Option<Timestamp> {
        let due = self.viewers.values().filter_map(|viewer| viewer.due(self.change));
        due.min()
    }

    /// The session is over: all are told, and the next one begins with an empty screen.
    pub fn end(&mut self, end: &ProxyEnd, now: Timestamp) {
        self.set_status(None);
        for mut viewer in std::mem::take(&mut self.viewers).into_values() {
            viewer.render((&mut self.model, None), self.change, now);
            if !viewer.tell(&ToViewer::End(end.clone())) {
                tracing::debug!("a viewer of a terminal is gone before it could be told the end");
            }
        }
        // What nobody has taken of this session is nothing to the next one.
        self.taken = self.received;
        self.model.reset();
        self.change += 1;
    }

    /// Waits until what all were told is on its way.
    pub async fn drained(&mut self) {
        while !self.is_drained() {
            // Who writes reports it, and waits until it is heard.
            self.next().await;
        }
    }

    /// Whether all tasks of viewers have ended.
    pub fn is_drained(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::status::ProxyEndKind;

    /// However late it reads, and in however many pieces it came.
    #[tokio::test]
    async fn a_pipe_gets_all_and_then_the_end() {
        let mut terminal = Terminal::new(0);
        let (mut client, own) = UnixStream::pair().unwrap();
        let request = ViewRequest {
            raw: true,
            ..ViewRequest::default()
        };
        terminal.attach(own, request);
        let piece = Bytes::from_static(&[b'x'; 500]);
        (0..5000).for_each(|_| terminal.stdout(&piece));
        terminal.exit(3, false);
        let end = ProxyEnd {
            end: ProxyEndKind::Closed,
            cause: String::new(),
        };
        terminal.end(&end, Timestamp::ZERO);
        assert!(!terminal.is_drained(), "nobody has read it yet");
        let (mut frames, mut bytes, mut last) = (Frames::default(), 0, Vec::new());
        let read = async {
            while client.read_buf(frames.room()).await.unwrap() > 0 {
                while let Some(word) = frames.next_told().unwrap() {
                    if let ToViewer::Stdout(more) = word {
                        bytes += more.len();
                    } else {
                        last.push(word);
                    }
                }
            }
        };
        let both = async { tokio::join!(read, terminal.drained()) };
        tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
        assert_eq!(bytes, 5000 * 500);
        let exit = ToViewer::Exit {
            code: 3,
            dropped: false,
        };
        assert_eq!(last, [exit, ToViewer::End(end)]);
        assert_eq!(terminal.take_written(), 0, "the next session's are others");
    }
}
