//! `autossm history`: the last drops of each session.

use super::args::HistoryArgs;
use super::exit::Exit;
use super::{output, render, runtime, status};
use crate::status::{DropStatus, SessionStatus};

/// One session's drops, for programs.
#[derive(serde::Serialize)]
struct Drops<'a> {
    session: &'a str,
    drops: u64,
    history: &'a [DropStatus],
}

pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let status = runtime::block_on(status::look(&client, args.name.as_deref()))??;
    let text = if args.json {
        let all: Vec<Drops<'_>> = status.sessions.iter().map(drops).collect();
        format!("{}\n", serde_json::to_string_pretty(&all)?)
    } else {
        render::histories(&status.sessions)
    };
    output::print(&text)?;
    Ok(Exit::Done)
}

fn drops(session: &SessionStatus) -> Drops<'_> {
    Drops {
        session: &session.name,
        drops: session.figures.drops,
        history: &session.history,
    }
}
