//! What the demo, the daemon's tests and the benchmark share: the real binary as a child process, and traffic whose
//! every byte is known.
#![allow(dead_code, reason = "each user takes what it needs")]

pub(crate) mod daemon;
pub(crate) mod measure;
pub(crate) mod pattern;
pub(crate) mod traffic;

/// Between two looks at what has no event of its own.
const LOOK: std::time::Duration = std::time::Duration::from_millis(10);

/// Looks again and again until it is so; false after [`daemon::PATIENCE`].
pub(crate) async fn comes_true(mut holds: impl AsyncFnMut() -> bool) -> bool {
    let mut ticks = tokio::time::interval(LOOK);
    let looking = async {
        while !holds().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(daemon::PATIENCE, looking).await.is_ok()
}

/// A test that cannot run here says so where no harness hides it; the caller then returns.
pub(crate) fn skipped(why: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let text = format!("SKIPPED {}: {why}\n", thread.name().unwrap_or_default());
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}
