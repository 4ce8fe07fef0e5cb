//! `autossm service status`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Scope;
use super::files::{self, Files, Found};
use super::systemctl::Systemctl;
use crate::cli::exit::Exit;
use crate::cli::output::{self, sanitise};
use crate::config::Environment;

const PROPERTIES: &str =
    "LoadState,ActiveState,SubState,UnitFileState,StatusText,MainPID,NRestarts,Result,FragmentPath,DropInPaths";

pub(super) fn status(scope: Scope) -> anyhow::Result<Exit> {
    let files = Files::of(scope, &Environment::from_process())?;
    let found = match files::look(&files.unit)? {
        Found::Nothing => "not installed by `autossm service install`".to_owned(),
        Found::Ours => format!("{}, by `autossm service install`", files.unit.display()),
        Found::Foreign => format!("{}, written by somebody else", files.unit.display()),
    };
    let mut said = line("installed", &found);
    let systemctl = Systemctl::of(scope);
    if !systemctl.answers() {
        said.push_str(&line("manager", "no systemd answers here"));
        output::print(&said)?;
        return Ok(Exit::Unavailable);
    }
    let mut services = systemctl.services()?;
    if services.is_empty() && scope == Scope::User {
        // One that was never started since the last login.
        services.push(scope.unit_file().to_owned());
    }
    let mut all_active = !services.is_empty();
    for service in &services {
        let shown = systemctl.show(service, PROPERTIES)?;
        all_active &= shown.get("ActiveState").is_some_and(|state| state == "active");
        said.push_str(&text(service, &shown));
    }
    if services.is_empty() {
        said.push_str(&line("services", "none; systemctl enable --now autossm@NAME"));
    }
    output::print(&said)?;
    Ok(if all_active { Exit::Done } else { Exit::NoDaemon })
}

fn text(service: &str, shown: &BTreeMap<String, String>) -> String {
    let value = |name: &str| shown.get(name).map_or("", String::as_str);
    let mut text = format!("\n{service}\n");
    if value("LoadState") == "not-found" {
        text.push_str(&line("unit", "none; `autossm service install` writes it"));
        return text;
    }
    text.push_str(&line("unit", value("FragmentPath")));
    if !value("DropInPaths").is_empty() {
        text.push_str(&line("drop-ins", value("DropInPaths")));
    }
    text.push_str(&line("enabled", value("UnitFileState")));
    let result = match value("Result") {
        "success" | "" => String::new(),
        other => format!(", {other}"),
    };
    text.push_str(&line(
        "state",
        &format!("{} ({}{result})", value("ActiveState"), value("SubState")),
    ));
    if !value("StatusText").is_empty() {
        text.push_str(&line("status", value("StatusText")));
    }
    if value("MainPID") != "0" {
        text.push_str(&line("process", value("MainPID")));
    }
    text.push_str(&line("restarts", value("NRestarts")));
    text
}

fn line(name: &str, value: &str) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _infallible = writeln!(line, "{name:<10} {}", sanitise(value));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_manager_says_is_shown_without_what_could_move_the_cursor() {
        let shown = [
            ("LoadState", "loaded"),
            ("ActiveState", "failed"),
            ("SubState", "failed"),
            ("UnitFileState", "disabled"),
            ("StatusText", "0/1 attached\u{1b}[2J"),
            ("MainPID", "0"),
            ("NRestarts", "3"),
            ("Result", "watchdog"),
            ("FragmentPath", "/etc/x"),
        ];
        let shown = shown.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(
            text("autossm.service", &shown),
            "\nautossm.service\nunit       /etc/x\nenabled    disabled\nstate      failed (failed, watchdog)\n\
             status     0/1 attached\u{fffd}[2J\nrestarts   3\n"
        );
        let missing = BTreeMap::from([("LoadState".to_owned(), "not-found".to_owned())]);
        assert!(text("autossm.service", &missing).contains("`autossm service install` writes it"));
    }
}
