//! `autossm service install`.

use std::fmt::Write;

use anyhow::{Context, bail};

use super::args::InstallArgs;
use super::files::{self, Files};
use super::systemctl::Systemctl;
use super::{Scope, unit};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::{self, Environment};

pub(super) fn install(args: &InstallArgs) -> anyhow::Result<Exit> {
    let scope = Scope::of(args.scope.system);
    let environment = Environment::from_process();
    let starts = args.enable || args.now;
    let service = match (scope, &args.user) {
        (Scope::User, _) => scope.unit_file().to_owned(),
        (Scope::System, Some(user)) => format!("autossm@{user}.service"),
        (Scope::System, None) if starts => bail!("say whom the service is for: --user NAME"),
        (Scope::System, None) => "autossm@NAME.service".to_owned(),
    };
    let program = std::env::current_exe().context("cannot find out where this program is")?;
    let text = unit::text(scope, &program)?;
    let files = Files::of(scope, &environment)?;
    files::write(&files.unit, &text)?;
    let mut said = format!("wrote {}\n", files.unit.display());
    if args.strict {
        files::write(&files.strict, unit::STRICT)?;
        let _infallible = writeln!(said, "wrote {}", files.strict.display());
    } else if files::remove(&files.strict)? {
        let _infallible = writeln!(said, "removed {}", files.strict.display());
    }
    // The service of the system has another user's configuration.
    if scope == Scope::User
        && let Err(error) = config::load(None, &environment)
    {
        let _infallible = writeln!(said, "it cannot work yet: {error}; `autossm check` says when it can");
    }
    let started = order(args, scope, &service, &mut said);
    // What was done is told also when the rest fails.
    output::print(&said)?;
    started.map(|()| Exit::Done)
}

/// Tells the service manager, as far as there is one.
fn order(args: &InstallArgs, scope: Scope, service: &str, said: &mut String) -> anyhow::Result<()> {
    let starts = args.enable || args.now;
    let systemctl = Systemctl::of(scope);
    if systemctl.answers() {
        systemctl.run(&["daemon-reload"])?;
        if starts {
            let mut order = vec!["enable", service];
            if args.now {
                order.insert(1, "--now");
            }
            systemctl.run(&order)?;
            let done = if args.now { "enabled and started" } else { "enabled" };
            let _infallible = writeln!(said, "{done} {service}");
        } else {
            let _infallible = writeln!(said, "start it: systemctl {} enable --now {service}", scope.flag());
        }
    } else if starts {
        bail!(
            "no systemd {} answers, so nothing was enabled; log in as that user (not by su or sudo), then \
             `systemctl {} enable --now {service}`",
            match scope {
                Scope::User => "user manager",
                Scope::System => "system manager",
            },
            scope.flag()
        );
    } else {
        said.push_str("no systemd answers here; it will see the unit when it starts\n");
    }
    Ok(())
}
