//! `autossm reconnect`: a new websocket at once.

use super::args::ReconnectArgs;
use super::exit::Exit;
use super::{output, runtime};
use crate::config::Environment;
use crate::control::Client;

pub(super) fn reconnect(args: &ReconnectArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.socket.path(&Environment::from_process())?);
    runtime::block_on(client.reconnect(&args.name))??;
    output::print(&format!("{}: reconnecting\n", args.name))?;
    Ok(Exit::Done)
}
