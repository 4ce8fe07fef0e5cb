//! `autossm status`: all sessions as a table, or one in detail; as JSON for programs.

use std::io::IsTerminal;
use std::time::Duration;

use super::args::StatusArgs;
use super::exit::Exit;
use super::output::{self, Reader};
use super::{render, runtime};
use crate::control::{Client, ClientError, UnknownSession};
use crate::status::DaemonStatus;

/// Between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(1);
/// The cursor to the top left, and everything below it gone.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    runtime::block_on(async {
        if args.watch {
            return watch(&client, args).await;
        }
        output::print(&text(&look(&client, args.name.as_deref()).await?, args)?)?;
        Ok(Exit::Done)
    })?
}

/// Until the daemon ends, or whoever reads goes away.
async fn watch(client: &Client, args: &StatusArgs) -> anyhow::Result<Exit> {
    let before = if std::io::stdout().is_terminal() { CLEAR } else { "" };
    let reader_gone = output::reader_gone();
    let mut reader_gone = std::pin::pin!(reader_gone);
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        tokio::select! {
            biased;
            () = &mut reader_gone => return Ok(Exit::Done),
            _ = ticks.tick() => {}
        }
        let text = text(&look(client, args.name.as_deref()).await?, args)?;
        if output::print(&format!("{before}{text}"))? == Reader::Gone {
            return Ok(Exit::Done);
        }
    }
}

/// The status, of one session if it is named.
pub(super) async fn look(client: &Client, name: Option<&str>) -> Result<DaemonStatus, ClientError> {
    let mut status = client.status().await?;
    if let Some(name) = name {
        status.sessions.retain(|session| session.name == name);
        if status.sessions.is_empty() {
            let name = name.to_owned();
            return Err(UnknownSession { name }.into());
        }
    }
    Ok(status)
}

fn text(status: &DaemonStatus, args: &StatusArgs) -> serde_json::Result<String> {
    Ok(if args.json {
        let json = if args.watch {
            serde_json::to_string(status)?
        } else {
            serde_json::to_string_pretty(status)?
        };
        format!("{json}\n")
    } else if args.name.is_some() {
        status.sessions.iter().map(render::session).collect()
    } else {
        render::overview(status)
    })
}
