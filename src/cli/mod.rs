//! The commands: parse, do one thing, say how it ended.
//!
//! One file a command; `output` is the only writer to standard output, `exit` knows every exit code.

mod args;
mod check;
mod exit;
mod output;
mod reconnect;
mod render;
mod run;
mod runtime;
mod status;
mod table;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
pub use exit::Exit;

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
        Command::Reconnect(args) => reconnect::reconnect(&args),
    }
}
