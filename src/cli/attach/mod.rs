//! `autossm attach`: this terminal shows a shell that the daemon holds.

mod adopt;
mod escapes;
mod exchange;
mod pipes;
pub(super) mod tty;

use anyhow::Context;

use super::args::AttachArgs;
use super::exit::Exit;
use super::{output, runtime};
use crate::control::{AttachRequest, Client, Proxied};
use crate::endpoint::ViewRequest;
use crate::status::ProxyEnd;
pub(super) use adopt::adopt;
pub(super) use exchange::{Ended, Kind, exchange};

pub(super) fn attach(args: &AttachArgs) -> anyhow::Result<Exit> {
    let client = args.socket.client()?;
    let target = match &args.target {
        Some(target) => target.clone(),
        None => runtime::block_on(only_shell(&client))??,
    };
    let parameters = args
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), vec![value.clone()]));
    let request = AttachRequest {
        adopt: None,
        target,
        whose: args.account.whose(),
        view: view(args.read_only),
        document: args.document.clone(),
        parameters: parameters.collect(),
        command: false,
    };
    show(&client, &request)
}

/// How this process looks at a terminal.
fn view(read_only: bool) -> ViewRequest {
    let terminal = tty::is_terminal();
    ViewRequest {
        size: tty::size().filter(|_| terminal),
        read_only,
        raw: !terminal,
    }
}

/// Carries it until one side has enough.
fn show(client: &Client, request: &AttachRequest) -> anyhow::Result<Exit> {
    let terminal = !request.view.raw;
    let carried = runtime::block_on(async {
        let Proxied { session, stream, first } = client.attach(request).await?;
        let ended = exchange(stream, &first, if terminal { Kind::Terminal } else { Kind::Pipe })
            .await
            .context("cannot carry the terminal")?;
        Ok::<_, anyhow::Error>((session, ended))
    })?;
    let (session, ended) = carried?;
    Ok(say(&session, ended))
}

/// The name of the only shell there is.
async fn only_shell(client: &Client) -> anyhow::Result<String> {
    let status = client.status().await?;
    let shells: Vec<&str> = status
        .sessions
        .iter()
        .filter(|session| session.shell)
        .map(|session| session.name.as_str())
        .collect();
    match shells[..] {
        [only] => Ok(only.to_owned()),
        [] => anyhow::bail!("the daemon holds no shell; name a target to start one on"),
        _ => anyhow::bail!("name one of the shells: {}", shells.join(", ")),
    }
}

/// Says what has become of the session, and gives the exit code for it.
fn say(session: &str, ended: Ended) -> Exit {
    match ended {
        Ended::Detached => {
            output::complain(&format!("detached; `autossm attach {session}` comes back to it"));
            Exit::Done
        }
        Ended::Unread => Exit::Done,
        Ended::Signal(name) => {
            output::complain(&format!(
                "{name}: detached; `autossm attach {session}` comes back to it"
            ));
            Exit::Done
        }
        Ended::Broken => {
            output::complain(&format!(
                "{session}: the daemon has ended, and this terminal's connection with it"
            ));
            Exit::Temporary
        }
        Ended::Over(end, _) => over(session, &end),
    }
}

fn over(session: &str, end: &ProxyEnd) -> Exit {
    let cause = if end.is_clean() {
        "the shell has ended"
    } else {
        &output::sanitise(&end.cause)
    };
    output::complain(&format!("{session}: {cause}"));
    Exit::of_end(end)
}
