//! The commands: parse, do one thing, say how it ended.
//!
//! One file a command; `output` is the only writer to standard output, `exit` knows every exit code.

mod accounts;
mod args;
mod attach;
mod check;
mod doctor;
mod events;
mod exec;
mod exit;
mod history;
mod log_level;
mod on_demand;
mod order;
mod output;
mod proxy;
mod relay;
mod reload;
mod render;
mod run;
mod runtime;
mod service;
mod sessions;
mod ssh_config;
mod status;
mod table;
mod wait;

#[cfg(test)]
mod generated_tests;
#[cfg(test)]
mod manual_tests;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
pub use exit::Exit;

use crate::control::Order;

/// Runs the command in `arguments`, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error).into(),
    };
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&error);
            exit::of(&error).into()
        }
    }
}

/// Says why nothing can be done, and gives the exit code for it.
pub fn fail(message: &str) -> ExitCode {
    output::error(&anyhow::Error::msg(message.to_owned()));
    Exit::Failure.into()
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Status(args) => status::status(&args),
        Command::History(args) => history::history(&args),
        Command::Reconnect(args) => order::reconnect(&args),
        Command::Restart(args) => order::give(&args, Order::Restart),
        Command::Start(args) => order::give(&args, Order::Start),
        Command::Stop(args) => order::give(&args, Order::Stop),
        Command::Reload(args) => reload::reload(&args),
        Command::Wait(args) => wait::wait(&args),
        Command::Attach(args) => attach::attach(&args),
        Command::Adopt(args) => attach::adopt(&args),
        Command::Exec(args) => Ok(exec::exec(&args)),
        Command::Proxy(args) => proxy::proxy(&args),
        Command::SshConfig(args) => ssh_config::ssh_config(&args),
        Command::Sessions(args) => sessions::sessions(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Events(args) => events::events(&args),
        Command::LogLevel(args) => log_level::log_level(&args),
        Command::Service(command) => service::service(&command),
    }
}
