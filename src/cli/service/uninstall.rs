//! `autossm service uninstall`: no session, no process and no file of the service is left.

use std::fmt::Write;
use std::time::Duration;

use anyhow::bail;

use super::Scope;
use super::files::{self, Files, Found};
use super::systemctl::Systemctl;
use crate::cli::exit::Exit;
use crate::cli::{output, runtime};
use crate::config::Environment;

/// How long a service may take to terminate its sessions; longer than systemd would wait for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn uninstall(scope: Scope) -> anyhow::Result<Exit> {
    let files = Files::of(scope, &Environment::from_process())?;
    match files::look(&files.unit)? {
        Found::Ours => {}
        Found::Nothing => {
            output::complain(&format!(
                "{} is not there, so there is nothing to remove",
                files.unit.display()
            ));
            return Ok(Exit::Failure);
        }
        Found::Foreign => {
            output::complain(&format!(
                "{} was not written by `autossm service install`, so it stays; remove it by hand",
                files.unit.display()
            ));
            return Ok(Exit::Failure);
        }
    }
    let systemctl = Systemctl::of(scope);
    if !systemctl.answers() {
        bail!(
            "no systemd answers here, so a service that runs could not be ended, and nothing was removed; log in as the user whose \
             service it is (not by su or sudo) and try again"
        );
    }
    let mut said = String::new();
    for service in systemctl.services()? {
        end(&systemctl, &service, &mut said)?;
    }
    for file in [&files.strict, &files.unit] {
        if files::remove(file)? {
            let _infallible = writeln!(said, "removed {}", file.display());
        }
    }
    systemctl.run(&["daemon-reload"])?;
    output::print(&said)?;
    Ok(Exit::Done)
}

/// Terminates the service's sessions, then stops and disables it.
fn end(systemctl: &Systemctl, service: &str, said: &mut String) -> anyhow::Result<()> {
    if is_active(systemctl, service)? {
        // The daemon's word for "end, and terminate every session": works for other users' services too.
        if let Err(error) = systemctl.run(&["kill", "--kill-who=main", "--signal=SIGUSR2", service]) {
            // It has just ended, or waits to be started again.
            let _infallible = writeln!(
                said,
                "{service}: no process could be told to terminate its sessions ({error}); `autossm sessions` lists what is left"
            );
            return disable(systemctl, service);
        }
        let ended = runtime::block_on(async {
            let ended = async {
                while is_active(systemctl, service)? {
                    tokio::time::sleep(LOOK).await;
                }
                anyhow::Ok(())
            };
            tokio::time::timeout(PATIENCE, ended).await
        })?;
        match ended {
            Ok(ended) => {
                ended?;
                let _infallible = writeln!(said, "{service}: terminated its sessions and stopped it");
            }
            Err(_) => {
                let _infallible = writeln!(
                    said,
                    "{service}: it did not end within {PATIENCE:?}, so it is stopped by force; \
                     `autossm sessions` shows what it may have left"
                );
            }
        }
    }
    disable(systemctl, service)
}

fn disable(systemctl: &Systemctl, service: &str) -> anyhow::Result<()> {
    systemctl.run(&["disable", "--now", service])?;
    // A failed one would still be listed. One that is not is none to be reset.
    if let Err(error) = systemctl.run(&["reset-failed", service]) {
        tracing::debug!(%error, "nothing to reset");
    }
    Ok(())
}

fn is_active(systemctl: &Systemctl, service: &str) -> anyhow::Result<bool> {
    let shown = systemctl.show(service, "ActiveState")?;
    Ok(!matches!(
        shown.get("ActiveState").map(String::as_str),
        Some("inactive" | "failed") | None
    ))
}
