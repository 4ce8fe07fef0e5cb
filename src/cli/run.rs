//! `autossm run`: the daemon in the foreground.

use std::sync::Arc;

use super::args::RunArgs;
use super::exit::Exit;
use super::runtime;
use crate::config::{self, Environment};
use crate::endpoint::Inherited;
use crate::{daemon, logging};

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    // Before there is another thread.
    let inherited = Inherited::from_process();
    let environment = Environment::from_process();
    // An empty variable is one that is not set.
    let level = args.log.as_deref().filter(|level| !level.trim().is_empty());
    if let Some(level) = level {
        logging::check(level)?;
    }
    let settings = config::load(args.config.named(), &environment)?;
    let log = logging::start(
        level.unwrap_or_else(|| settings.log.level.as_str()),
        args.log_format.unwrap_or(settings.log.format),
    )?;
    let options = daemon::Options {
        socket: args.socket.path(&environment)?,
        config: args.config.named().map(ToOwned::to_owned),
        environment,
        log: Arc::<logging::LogHandle>::clone(&log),
        inherited,
    };
    let runtime = runtime::daemon()?;
    let ended = runtime.block_on(daemon::run(settings, options));
    runtime::end(runtime);
    let heard = log.flush();
    match ended {
        // Whoever takes no line of the log takes no other words either, and to say them would be to wait for ever.
        Err(error) if !heard => Ok(Exit::Daemon(error.exit_code())),
        ended => Ok(ended.map(|()| Exit::Done)?),
    }
}
