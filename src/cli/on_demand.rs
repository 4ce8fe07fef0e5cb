//! Who holds a session that a command needs: the daemon, or the command's own process.

use std::os::unix::net::UnixStream;

use anyhow::Context;

use super::args::{HolderArgs, variable};
use crate::config::{self, Environment, LoadError, OnDemand, SessionSettings, Settings, settings_on_demand};
use crate::control::Client;

/// With one of these, this process finds other profiles than the daemon.
const OWN_FILES: [&str; 2] = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
/// With one of these, this process has credentials that the daemon does not have; a profile goes before them.
const OWN_KEYS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Who holds it.
#[derive(Debug)]
pub(super) enum Holder {
    /// The daemon, if there is one at this place.
    Daemon(Client),
    /// This process.
    Here,
}

/// Who is to hold the session for `wanted`.
pub(super) fn holder(args: &HolderArgs, wanted: &OnDemand) -> anyhow::Result<Holder> {
    let own = OWN_FILES.iter().any(|name| variable(name).is_some());
    if args.no_daemon || own || has_own_keys(args, wanted)? {
        return Ok(Holder::Here);
    }
    // Without a place for the control socket there is no daemon that could be found.
    Ok(args
        .socket
        .path(&Environment::from_process())
        .map_or(Holder::Here, |path| Holder::Daemon(Client::new(&path))))
}

/// Whether this process would use credentials that the daemon does not have.
fn has_own_keys(args: &HolderArgs, wanted: &OnDemand) -> anyhow::Result<bool> {
    if OWN_KEYS.iter().all(|name| variable(name).is_none()) {
        return Ok(false);
    }
    Ok(args.session(wanted)?.profile.is_none())
}

/// Holds a session in a thread of this process while the other end of its connection is used; gives what came of both. The session
/// ends with its connection, and is terminated before this returns.
///
/// # Errors
/// There is no connection or no thread to be had.
pub(super) fn hold_here<Used, Held: Send + 'static>(
    hold: impl FnOnce(UnixStream) -> Held + Send + 'static,
    uses: impl FnOnce(UnixStream) -> Used,
) -> anyhow::Result<(Used, Held)> {
    let (own, theirs) = UnixStream::pair().context("cannot make a connection")?;
    let holder = std::thread::Builder::new().name("session".to_owned());
    let holder = holder.spawn(move || hold(theirs)).context("cannot start a thread")?;
    let used = uses(own);
    let Ok(held) = holder.join() else {
        anyhow::bail!("internal error, please report this; the session may live on until it times out");
    };
    Ok((used, held))
}

impl HolderArgs {
    /// The session's settings, from the configuration if there is one.
    pub(super) fn session(&self, wanted: &OnDemand) -> anyhow::Result<SessionSettings> {
        let named = self.config.named();
        let settings = match config::load(named, &Environment::from_process()) {
            Ok(settings) => settings,
            // Neither ssh nor a command needs a configuration.
            Err(LoadError::Missing { .. }) if named.is_none() => Settings::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(settings_on_demand(wanted, &settings, |prefix| format!("{prefix}-1"))?)
    }
}
