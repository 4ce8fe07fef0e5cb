//! `autossm run`: the daemon in the foreground.

use super::args::RunArgs;
use super::exit::Exit;
use super::runtime;
use crate::config::{self, Environment};
use crate::{daemon, logging};

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let environment = Environment::from_process();
    logging::start(args.log.as_deref())?;
    let settings = config::load(args.config.named(), &environment)?;
    let options = daemon::Options {
        socket: args.socket.path(&environment)?,
    };
    runtime::daemon()?.block_on(daemon::run(settings, options))?;
    Ok(Exit::Done)
}
