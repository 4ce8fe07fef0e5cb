//! What may be written on the command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::{Environment, PathError};

/// The exit codes, for `--help`; `exit.rs` is where they are decided.
const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed
  2   wrong usage
  3   no daemon is running
  69  something autossm needs is unavailable
  75  failed for now; trying again may help
  78  the configuration is wrong";

/// autossh for AWS Session Manager: port forwards that survive every network drop.
#[derive(Debug, Parser)]
#[command(name = "autossm", version, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Hold the configured sessions until told to stop (the daemon, in the foreground)
    Run(RunArgs),
    /// Validate the configuration and show what it means
    Check(CheckArgs),
    /// Show the daemon's sessions
    Status(StatusArgs),
    /// Drop a session's connection and attach again at once
    Reconnect(ReconnectArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    #[command(flatten)]
    pub(super) socket: SocketArg,
    /// off, error, warn, info, debug or trace; or directives such as autossm::aws=debug [default: info]
    #[arg(long, value_name = "LEVEL", env = "AUTOSSM_LOG")]
    pub(super) log: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Print the JSON schema of the configuration instead, for editors
    #[arg(long, conflicts_with = "config")]
    pub(super) schema: bool,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only this session, in detail
    pub(super) name: Option<String>,
    /// One JSON document for programs
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct ReconnectArgs {
    /// The session's name
    pub(super) name: String,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArg {
    /// The configuration, a file or a directory [default: ~/.config/autossm, or else /etc/autossm]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl ConfigArg {
    /// What is named; none where the usual places are to be searched.
    pub(super) fn named(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

#[derive(Debug, Args)]
pub(super) struct SocketArg {
    /// The daemon's control socket [default: $XDG_RUNTIME_DIR/autossm/control.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl SocketArg {
    pub(super) fn path(&self, environment: &Environment) -> Result<PathBuf, PathError> {
        self.socket.clone().map_or_else(|| environment.control_socket(), Ok)
    }
}
