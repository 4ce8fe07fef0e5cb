//! `autossm status`: all sessions as a table, or one in detail; as JSON for programs.

use super::args::StatusArgs;
use super::exit::Exit;
use super::{output, render, runtime};
use crate::config::Environment;
use crate::control::{Client, ClientError, UnknownSession};

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let client = Client::new(&args.socket.path(&Environment::from_process())?);
    let mut status = runtime::block_on(client.status())??;
    if let Some(name) = &args.name {
        status.sessions.retain(|session| session.name == *name);
        if status.sessions.is_empty() {
            let name = name.clone();
            return Err(ClientError::from(UnknownSession { name }).into());
        }
    }
    let text = if args.json {
        let mut json = serde_json::to_string_pretty(&status)?;
        json.push('\n');
        json
    } else if args.name.is_some() {
        status.sessions.iter().map(render::session).collect()
    } else {
        render::overview(&status)
    };
    output::print(&text)?;
    Ok(Exit::Done)
}
