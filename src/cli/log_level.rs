//! `autossm log-level`: what the daemon logs, shown or changed.

use super::args::LogLevelArgs;
use super::exit::Exit;
use super::{output, runtime};

pub(super) fn log_level(args: &LogLevelArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let level = if let Some(level) = &args.level {
        runtime::block_on(client.set_log_level(level))??;
        level.clone()
    } else {
        runtime::block_on(client.status())??.log_level
    };
    output::print(&format!("{}\n", output::sanitise(&level)))?;
    Ok(Exit::Done)
}
