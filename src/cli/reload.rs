//! `autossm reload`: the configuration again.

use super::args::DaemonArgs;
use super::exit::Exit;
use super::{output, runtime};

pub(super) fn reload(args: &DaemonArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let status = runtime::block_on(client.reload())??;
    output::print(&format!("reloaded: {}\n", output::sanitise(&status.message)))?;
    Ok(Exit::Done)
}
