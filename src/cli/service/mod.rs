//! `autossm service`: the systemd unit of this very program, written, removed and looked at.

mod args;
mod files;
mod install;
mod status;
mod systemctl;
mod uninstall;
mod unit;

use super::exit::Exit;
pub(super) use args::ServiceCommand;

/// Whose service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The user's: one service, for the user who asks.
    User,
    /// The system's: a template, with an instance for each user.
    System,
}

impl Scope {
    const fn of(system: bool) -> Self {
        if system { Self::System } else { Self::User }
    }

    /// The unit's file.
    const fn unit_file(self) -> &'static str {
        match self {
            Self::User => "autossm.service",
            Self::System => "autossm@.service",
        }
    }

    /// Every service of it that may run.
    const fn pattern(self) -> &'static str {
        match self {
            Self::User => "autossm.service",
            Self::System => "autossm@*.service",
        }
    }

    /// How `systemctl` is told.
    const fn flag(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::System => "--system",
        }
    }
}

pub(super) fn service(command: &ServiceCommand) -> anyhow::Result<Exit> {
    match command {
        ServiceCommand::Install(args) => install::install(args),
        ServiceCommand::Uninstall(scope) => uninstall::uninstall(Scope::of(scope.system)),
        ServiceCommand::Status(scope) => status::status(Scope::of(scope.system)),
    }
}
