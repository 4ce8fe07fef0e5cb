//! What the demo shows.

use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use autossm::status::SessionStatus;

use crate::support::daemon::Daemon;
use crate::support::traffic::Progress;

/// Writes lines with the time since the start.
pub(crate) struct Screen {
    started: Instant,
}

impl Screen {
    #[expect(clippy::disallowed_methods, reason = "the demo's own clock")]
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// One line. A closed pipe is no error.
    pub(crate) fn say(&self, line: &str) {
        let mut out = std::io::stdout().lock();
        let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    /// Shows phase, drops, bytes and recovery, twice a second, for ever.
    pub(crate) async fn watch(&self, daemon: &Daemon, progress: &Progress) -> anyhow::Result<Infallible> {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        let mut shown = 0;
        loop {
            ticks.tick().await;
            let session = daemon.session().await?;
            let recovered: Vec<_> = session
                .history
                .iter()
                .filter(|drop| drop.recovered_after_ms.is_some())
                .collect();
            for drop in recovered.iter().skip(shown) {
                self.say(&format!(
                    "  recovered: {}; back after {} ms, {} attempt(s), {} bytes were unacknowledged",
                    drop.cause_text,
                    drop.recovered_after_ms.unwrap_or(0),
                    drop.attempts,
                    drop.backlog_bytes,
                ));
            }
            shown = recovered.len();
            self.say(&self.line(&session, progress));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the demo's own clock")]
    fn line(&self, session: &SessionStatus, progress: &Progress) -> String {
        let megabytes = |bytes: u64| format!("{:5}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10);
        format!(
            "{:5.1} s  {:<12} drops {:2}  up {}  down {}{}",
            self.started.elapsed().as_secs_f64(),
            session.phase.name(),
            session.figures.drops,
            megabytes(progress.up.load(Ordering::Relaxed)),
            megabytes(progress.down.load(Ordering::Relaxed)),
            waiting(session.figures.reorder_bytes),
        )
    }

    /// The daemon's own view of what happened.
    pub(crate) fn summary(&self, session: &SessionStatus) {
        let slowest = session
            .history
            .iter()
            .filter_map(|drop| drop.recovered_after_ms)
            .max()
            .unwrap_or(0);
        self.say(&format!(
            "\n{} drops survived, slowest recovery {slowest} ms, {} messages sent again, {} received again",
            session.figures.drops, session.figures.resent, session.figures.duplicates,
        ));
    }
}

/// What has come but waits for an earlier message, which the agent sends again, ten a second.
fn waiting(bytes: u64) -> String {
    if bytes < 100_000 {
        return String::new();
    }
    format!(
        "  (+{}.{} MB here, behind lost ones)",
        bytes / 1_000_000,
        bytes / 100_000 % 10
    )
}
