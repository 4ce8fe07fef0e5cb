//! `autossm proxy`: one connection to a port of a target, for ssh's ProxyCommand.
//!
//! The session is held by the daemon, or in this process where none runs. Nothing but the connection's bytes goes to
//! standard output; nothing goes to standard error unless something is wrong, since ssh shows it on the terminal.

use std::os::unix::net::UnixStream;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{ProxyArgs, variable};
use super::exit::Exit;
use super::relay::{Ended, is_interactive, relay};
use super::{output, runtime};
use crate::config::{self, Environment, LoadError, LogFormat, OnDemand, SessionSettings, Settings, settings_on_demand};
use crate::control::{Client, ClientError, Proxied, ProxyRequest};
use crate::status::{ProxyEnd, ProxyEndKind};
use crate::{daemon, logging};

/// With one of these, this process finds other profiles than the daemon.
const OWN_FILES: [&str; 2] = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
/// With one of these, this process has credentials that the daemon does not have; a profile goes before them.
const OWN_KEYS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

pub(super) fn proxy(args: &ProxyArgs) -> anyhow::Result<Exit> {
    let environment = Environment::from_process();
    let request = request(args);
    if !is_interactive() {
        // Ctrl-C is meant for ssh, which decides what becomes of it.
        // From the first listener on, it does not end this process any more.
        runtime::block_on(async { signal(SignalKind::interrupt()).map(drop) })?.context("cannot listen to signals")?;
    }
    let own = OWN_FILES.iter().any(|name| variable(name).is_some());
    if !args.no_daemon && !own && !has_own_keys(args, &environment, &request)? {
        // Without a place for the control socket there is no daemon that could be found.
        if let Ok(path) = args.socket.path(&environment) {
            let client = Client::new(&path);
            match runtime::block_on(client.proxy(&request))? {
                Ok(proxied) => return through_daemon(args, &client, &proxied),
                Err(ClientError::NoDaemon { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    alone(args, session(args, &environment, &request)?)
}

/// Whether this process would use credentials that the daemon does not have.
fn has_own_keys(args: &ProxyArgs, environment: &Environment, request: &ProxyRequest) -> anyhow::Result<bool> {
    if OWN_KEYS.iter().all(|name| variable(name).is_none()) {
        return Ok(false);
    }
    Ok(session(args, environment, request)?.profile.is_none())
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

/// The session's settings, from the configuration if there is one.
fn session(args: &ProxyArgs, environment: &Environment, request: &ProxyRequest) -> anyhow::Result<SessionSettings> {
    let named = args.config.named();
    let settings = match config::load(named, environment) {
        Ok(settings) => settings,
        // ssh needs no configuration.
        Err(LoadError::Missing { .. }) if named.is_none() => Settings::default(),
        Err(error) => return Err(error.into()),
    };
    let wanted = OnDemand::from(request.clone());
    Ok(settings_on_demand(&wanted, &settings, |prefix| format!("{prefix}-1"))?)
}

fn alone(args: &ProxyArgs, session: SessionSettings) -> anyhow::Result<Exit> {
    if args.verbose {
        logging::start("info", LogFormat::Human)?;
    }
    let (own, theirs) = UnixStream::pair().context("cannot make a connection")?;
    let holder = std::thread::Builder::new().name("session".to_owned());
    let holder = holder
        .spawn(move || runtime::block_on(daemon::hold_alone(session, theirs)))
        .context("cannot start a thread")?;
    let ended = relay(&own, &[]).context("cannot carry the connection")?;
    // The session ends with its connection, and is terminated before this process ends.
    drop(own);
    let Ok(held) = holder.join() else {
        anyhow::bail!("internal error, please report this; the session may live on until it times out");
    };
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
    match end.end {
        ProxyEndKind::Closed if end.cause.is_empty() => Exit::Done,
        ProxyEndKind::Closed | ProxyEndKind::Lost | ProxyEndKind::Unreachable | ProxyEndKind::Stopped => {
            Exit::Temporary
        }
        ProxyEndKind::Refused | ProxyEndKind::TargetOffline => Exit::Unavailable,
        ProxyEndKind::LoginNeeded => Exit::LoginNeeded,
        ProxyEndKind::Denied | ProxyEndKind::Rejected => Exit::Failure,
    }
}
