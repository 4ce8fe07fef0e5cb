//! What may be written on the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use autossm_proto::session::Phase;
use clap::{Args, Parser, Subcommand};

use super::exit;
use super::service::ServiceCommand;
use crate::config::{Environment, LogFormat, PathError};
use crate::control::{Client, Whose};

/// The exit codes, for `--help`; `exit.rs` is where they are decided.
const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed
  2   wrong usage
  3   no daemon is running
  4   the session is not in that phase
  69  something autossm needs is unavailable
  75  failed for now; trying again may help
  77  the session needs a login to AWS
  78  the configuration is wrong
`exec` gives the command's own, and 255 where that is not known.";

/// autossh for AWS Session Manager: port forwards and shells that survive every network drop.
#[derive(Debug, Parser)]
#[command(name = "autossm", version, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Hold the configured sessions until told to stop (the daemon, in the foreground)
    #[command(after_help = exit::OF_RUN)]
    Run(RunArgs),
    /// Validate the configuration and show what it means
    Check(CheckArgs),
    /// Show the daemon's sessions
    Status(StatusArgs),
    /// Show the last drops, and how long each took
    History(HistoryArgs),
    /// Drop a session's connection, or all of them, and attach again at once
    #[command(after_help = exit::OF_RECONNECT)]
    Reconnect(ReconnectArgs),
    /// End a session and start a new one; its local connections are reset
    Restart(NameArgs),
    /// Start a session that was stopped
    Start(NameArgs),
    /// End a session and stop listening until it is started
    Stop(NameArgs),
    /// Make the daemon read its configuration again; unchanged sessions are not touched
    Reload(DaemonArgs),
    /// Wait until a session is in a phase
    #[command(after_help = exit::OF_WAIT)]
    Wait(WaitArgs),
    /// Connect this terminal to a shell; detaching leaves it running
    Attach(AttachArgs),
    /// Take over a shell that another client has left, and connect this terminal to it
    Adopt(AdoptArgs),
    /// Run a command on a target: its output, and its exit code
    Exec(ExecArgs),
    /// Carry standard input and output to a port of a target: ssh's ProxyCommand
    #[command(after_help = exit::OF_PROXY)]
    Proxy(ProxyArgs),
    /// Print what makes ssh use it, for ~/.ssh/config
    SshConfig(SshConfigArgs),
    /// Show the sessions AWS has, which of them the daemon holds, and which nobody does
    Sessions(SessionsArgs),
    /// Look whether all is right that a session needs, and say what to do where it is not
    Doctor(DoctorArgs),
    /// Show what happens, one JSON object a line
    Events(DaemonArgs),
    /// Show or change what the daemon logs, until it is started again
    LogLevel(LogLevelArgs),
    /// Install autossm as a systemd service, remove it, or show how it stands
    #[command(subcommand)]
    Service(ServiceCommand),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    #[command(flatten)]
    pub(super) socket: SocketArg,
    /// off, error, warn, info, debug or trace, or directives such as autossm::aws=debug [default: the configuration's]
    #[arg(long, value_name = "LEVEL")]
    pub(super) log: Option<String>,
    /// human, json, or auto: what suits where the log goes [default: the configuration's]
    #[arg(long, value_name = "FORMAT", value_parser = log_format)]
    pub(super) log_format: Option<LogFormat>,
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
    /// JSON for programs: one document, or with --watch one a line
    #[arg(long)]
    pub(super) json: bool,
    /// Show it again every second
    #[arg(long)]
    pub(super) watch: bool,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Only this session
    pub(super) name: Option<String>,
    /// One JSON document for programs
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct ReconnectArgs {
    /// The session's name, which starts a dormant one; without it, all sessions that are neither stopped nor dormant
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The session's name
    pub(super) name: String,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct DaemonArgs {
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The session's name
    pub(super) name: String,
    /// up (attached), stopped, dormant, starting, handshaking, reattaching, awaiting_login, awaiting_target or ended
    #[arg(long = "for", value_name = "PHASE", value_parser = phase)]
    pub(super) phase: Phase,
    /// How long; 0s only looks
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct ProxyArgs {
    /// An instance (i-... or mi-...), another target of Session Manager, or the name of a configured session
    pub(super) target: String,
    /// The port on the target
    #[arg(default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
    #[command(flatten)]
    pub(super) account: AccountArgs,
    #[command(flatten)]
    pub(super) holder: HolderArgs,
    /// Tell on standard error what happens to the session that this process holds
    #[arg(long, short)]
    pub(super) verbose: bool,
}

#[derive(Debug, Args)]
pub(super) struct HolderArgs {
    /// Hold the session in this process, whether a daemon runs or not
    #[arg(long)]
    pub(super) no_daemon: bool,
    #[command(flatten)]
    pub(super) config: ConfigArg,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// An instance (i-... or mi-...), another target of Session Manager, or the name of a configured session
    pub(super) target: String,
    /// The command: one word is a command line of the target's shell, several are a program and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    pub(super) command: Vec<String>,
    /// Survive every drop: its two outputs come as one, with a checksum
    #[arg(long)]
    pub(super) durable: bool,
    /// In a terminal, with what is typed here
    #[arg(long, short, conflicts_with = "durable")]
    pub(super) interactive: bool,
    #[command(flatten)]
    pub(super) account: AccountArgs,
    #[command(flatten)]
    pub(super) holder: HolderArgs,
}

#[derive(Debug, Args)]
pub(super) struct AttachArgs {
    /// The name of a shell that the daemon holds, or a target to start one on [default: the only shell there is]
    pub(super) target: Option<String>,
    /// Only look: nothing that is typed is passed on
    #[arg(long)]
    pub(super) read_only: bool,
    /// The document of a shell that is started [default: the account's]
    #[arg(long, value_name = "NAME")]
    pub(super) document: Option<String>,
    /// A parameter of that document; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(super) parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) account: AccountArgs,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct AdoptArgs {
    /// The session, as `autossm sessions` lists it
    pub(super) session_id: String,
    /// Only look: nothing that is typed is passed on
    #[arg(long)]
    pub(super) read_only: bool,
    #[command(flatten)]
    pub(super) account: AccountArgs,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct AccountArgs {
    /// The profile of AWS's shared configuration [default: AWS_PROFILE, or the configuration's]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The region [default: AWS_REGION, or the configuration's]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Another endpoint for the ssm service [default: AWS_ENDPOINT_URL_SSM, or the configuration's]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

impl AccountArgs {
    /// Whose session is asked for: by the command line, else by the environment.
    pub(super) fn whose(&self) -> Whose {
        Whose {
            profile: self.profile.clone(),
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            default_profile: variable("AWS_PROFILE"),
            default_region: region_of_environment(),
            default_endpoint_url: variable("AWS_ENDPOINT_URL_SSM").or_else(|| variable("AWS_ENDPOINT_URL")),
        }
    }
}

/// An empty variable is one that is not set.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The region that the environment names.
pub(super) fn region_of_environment() -> Option<String> {
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

/// `NAME=VALUE`.
fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    /// Those of others as well
    #[arg(long)]
    pub(super) all: bool,
    /// One JSON document for programs
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) config: ConfigArg,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct SshConfigArgs {
    /// The user to log in as
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    #[command(flatten)]
    pub(super) socket: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct LogLevelArgs {
    /// off, error, warn, info, debug or trace, or directives such as autossm::aws=debug
    pub(super) level: Option<String>,
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

    /// The daemon to ask.
    pub(super) fn client(&self) -> Result<Client, PathError> {
        Ok(Client::new(&self.path(&Environment::from_process())?))
    }
}

/// A phase by its name.
fn phase(text: &str) -> Result<Phase, String> {
    let wanted = if text == "up" { "attached" } else { text };
    let known = Phase::ALL
        .into_iter()
        .find(|phase| phase.name() == wanted.replace('-', "_"));
    known.ok_or_else(|| {
        let names: Vec<&str> = Phase::ALL.into_iter().map(Phase::name).collect();
        format!("no such phase; there are up, {}", names.join(", "))
    })
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    let known = LogFormat::WORDS.iter().find(|(word, _)| *word == text);
    let words = || LogFormat::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    known
        .map(|(_, format)| *format)
        .ok_or_else(|| format!("no such format; there are {}", words().join(", ")))
}
