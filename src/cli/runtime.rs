//! The tokio runtimes of the commands.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

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
    Ok(runtime.block_on(future))
}
