//! What `autossm service` may be told on the command line.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceCommand {
    /// Write the unit that runs this program; nothing is enabled or started unless that is asked for
    Install(InstallArgs),
    /// Terminate the service's sessions, stop it and remove what `install` has written
    Uninstall(ScopeArg),
    /// Show the unit, and how the service stands
    Status(ScopeArg),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InstallArgs {
    /// Start it with each login (or, with --system, each boot)
    #[arg(long)]
    pub(super) enable: bool,
    /// The same, and start it now
    #[arg(long)]
    pub(super) now: bool,
    /// With the strictest sandbox; needs user namespaces, and breaks some credential helpers
    #[arg(long, conflicts_with = "system")]
    pub(super) strict: bool,
    /// Whom the system's service is for: with --enable and --now
    #[arg(long, value_name = "NAME", requires = "system")]
    pub(super) user: Option<String>,
    #[command(flatten)]
    pub(super) scope: ScopeArg,
}

#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct ScopeArg {
    /// The system's own service manager, with a service for each of its users that needs one
    #[arg(long)]
    pub(super) system: bool,
}
