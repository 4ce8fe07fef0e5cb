//! The tokio runtimes of the commands.

use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// What a runtime may still wait for at the end: a name that is being looked up, a file that is being read.
const LEFT_OVERS: Duration = Duration::from_millis(100);

/// For the daemon: all cores.
pub(super) fn daemon() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// For a command that asks one thing: this thread until it is answered.
pub(super) fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let answer = runtime.block_on(future);
    end(runtime);
    Ok(answer)
}

/// To drop a runtime would be to wait for all its threads do, and a lookup takes as long as the resolver likes.
pub(super) fn end(runtime: Runtime) {
    runtime.shutdown_timeout(LEFT_OVERS);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_lookup_that_takes_for_ever_does_not_hold_up_an_end() {
        let (answer, resolver) = mpsc::channel::<()>();
        block_on(async {
            let (begun, begins) = tokio::sync::oneshot::channel();
            let lookup = tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                resolver.recv()
            });
            begins.await.unwrap();
            drop(lookup);
        })
        .unwrap();
        drop(answer);
    }
}
