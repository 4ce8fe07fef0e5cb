//! `autossm proxy`: one connection to a port of a target, for ssh's ProxyCommand.
//!
//! The session is held by the daemon, or in this process where none runs. Nothing but the connection's bytes goes to
//! standard output; nothing goes to standard error unless something is wrong, since ssh shows it on the terminal.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::args::ProxyArgs;
use super::exit::Exit;
use super::on_demand::{Holder, hold_here, holder};
use super::relay::{Ended, is_interactive, relay};
use super::{output, runtime};
use crate::config::{LogFormat, OnDemand, SessionSettings};
use crate::control::{Client, ClientError, Proxied, ProxyRequest};
use crate::status::ProxyEnd;
use crate::{daemon, logging};

pub(super) fn proxy(args: &ProxyArgs) -> anyhow::Result<Exit> {
    let request = request(args);
    if !is_interactive() {
        // Ctrl-C is meant for ssh, which decides what becomes of it.
        // From the first listener on, it does not end this process any more.
        runtime::block_on(async { signal(SignalKind::interrupt()).map(drop) })?.context("cannot listen to signals")?;
    }
    let wanted = OnDemand::from(request.clone());
    if let Holder::Daemon(client) = holder(&args.holder, &wanted)? {
        match runtime::block_on(client.proxy(&request))? {
            Ok(proxied) => return through_daemon(args, &client, &proxied),
            Err(ClientError::NoDaemon { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    alone(args, args.holder.session(&wanted)?)
}

fn request(args: &ProxyArgs) -> ProxyRequest {
    ProxyRequest {
        target: args.target.clone(),
        port: args.port,
        whose: args.account.whose(),
    }
}

fn through_daemon(args: &ProxyArgs, client: &Client, proxied: &Proxied) -> anyhow::Result<Exit> {
    let ended = relay(&proxied.stream, &proxied.first).context("cannot carry the connection")?;
    if ended == Ended::ClientGone {
        return Ok(Exit::Done);
    }
    match runtime::block_on(client.proxy_end(&proxied.session))? {
        Ok(end) => Ok(say(args, &end)),
        Err(ClientError::UnknownSession(_)) => Ok(Exit::Done),
        Err(_) => {
            output::complain(&format!(
                "{}: the daemon has ended, and the connection with it",
                args.target
            ));
            Ok(Exit::Temporary)
        }
    }
}

fn alone(args: &ProxyArgs, session: SessionSettings) -> anyhow::Result<Exit> {
    let log = if args.verbose {
        Some(logging::start("info", LogFormat::Human)?)
    } else {
        None
    };
    let ended = hold_alone(args, session);
    // Before anything else is said.
    if let Some(log) = log {
        log.flush();
    }
    ended
}

fn hold_alone(args: &ProxyArgs, session: SessionSettings) -> anyhow::Result<Exit> {
    let hold = move |stream| runtime::block_on(daemon::hold_alone(session, stream, is_interactive()));
    let (ended, held) = hold_here(hold, |stream| relay(&stream, &[]))?;
    let ended = ended.context("cannot carry the connection")?;
    match held?? {
        Some(end) if ended == Ended::FarSide => Ok(say(args, &end)),
        Some(_) | None => Ok(Exit::Done),
    }
}

/// Says what a user of ssh must know, and gives the exit code for it.
fn say(args: &ProxyArgs, end: &ProxyEnd) -> Exit {
    if !end.cause.is_empty() {
        output::complain(&format!("{}: {}", args.target, output::sanitise(&end.cause)));
    }
    Exit::of_end(end)
}
