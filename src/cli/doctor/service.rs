//! The service manager: what it lends the daemon, and which of the protections it was asked for are in force.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::Section;
use crate::config::Environment;
use crate::status::Sandbox;

/// Where logind notes who lingers (loginctl(1)).
const LINGER: &str = "/var/lib/systemd/linger";

/// What a user's service lives on; none where systemd does not run.
pub(super) fn check(environment: &Environment) -> Option<Section> {
    if !sd_notify::booted().unwrap_or(false) {
        return None;
    }
    let mut section = Section::new("service manager");
    runtime_directory(environment, &mut section);
    bus(environment, &mut section);
    let uid = rustix::process::geteuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match user_name(&users, uid).or_else(|| std::env::var("USER").ok()) {
        Some(user) if Path::new(LINGER).join(&user).exists() => {
            section.fine(format!("lingering is on: a service of {user} goes on without a login"));
        }
        Some(user) => section.skipped(format!(
            "lingering is off: a user service ends with the last logout of {user}; `loginctl enable-linger` keeps it"
        )),
        None => section.skipped(format!("user {uid} has no name, so nothing can be said of lingering")),
    }
    Some(section)
}

fn runtime_directory(environment: &Environment, section: &mut Section) {
    let Some(directory) = &environment.runtime_dir else {
        section.odd(
            "XDG_RUNTIME_DIR is not set: this is no login of its own, so `systemctl --user` does not work",
            "log in as this user, not by su or sudo; or `export XDG_RUNTIME_DIR=/run/user/$(id -u)`",
        );
        return;
    };
    let shown = directory.display();
    match std::fs::metadata(directory) {
        Err(error) => section.odd(
            format!("the runtime directory {shown} cannot be used: {error}"),
            "log in as this user, or `loginctl enable-linger`",
        ),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => section.odd(
            format!("the runtime directory {shown} belongs to user {}", found.uid()),
            "log in as this user, not by su or sudo",
        ),
        Ok(found) if found.mode() & 0o077 != 0 => section.odd(
            format!(
                "others may enter the runtime directory {shown} (mode {:o})",
                found.mode() & 0o777
            ),
            format!("chmod 700 '{shown}'"),
        ),
        Ok(_) => section.fine(format!("the runtime directory {shown} is this user's alone")),
    }
}

fn bus(environment: &Environment, section: &mut Section) {
    let named = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    let path = named
        .as_deref()
        .and_then(|address| address.strip_prefix("unix:path="))
        .map(|path| PathBuf::from(path.split([',', ';']).next().unwrap_or_default()))
        .or_else(|| Some(environment.runtime_dir.as_ref()?.join("bus")));
    match path {
        Some(path) if UnixStream::connect(&path).is_ok() => {
            section.fine("a session bus answers: there can be notices on the desktop");
        }
        Some(_) | None => section.skipped("no session bus answers, so there are no notices on the desktop"),
    }
}

/// The name of a user's number in a file like /etc/passwd.
fn user_name(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// What the daemon has found out about itself.
pub(super) fn sandbox(sandbox: &Sandbox, section: &mut Section) {
    if !sandbox.service {
        section.skipped("no service manager has started it, so it has no sandbox");
        return;
    }
    match sandbox.watchdog_ms {
        Some(every) => section.fine(format!("systemd restarts it when it hangs for {} s", every / 1000)),
        None => section.odd(
            "systemd does not notice when it hangs",
            "set WatchdogSec=30s in its unit",
        ),
    }
    let mut found = |holds: bool, what: &str, else_what: &str, help: &str| {
        if holds {
            section.fine(what);
        } else {
            section.odd(else_what, help);
        }
    };
    found(
        sandbox.no_new_privileges,
        "no program it starts can gain privileges",
        "programs it starts could gain privileges",
        "set NoNewPrivileges=yes in its unit",
    );
    found(
        sandbox.filters > 0,
        &format!("its system calls are filtered (filters: {})", sandbox.filters),
        "its system calls are not filtered",
        "set SystemCallFilter=@system-service in its unit",
    );
    found(
        sandbox.sockets_restricted,
        "it can only make sockets of the families it needs",
        "it can make sockets of every family",
        "set RestrictAddressFamilies= in its unit",
    );
    found(
        sandbox.own_users,
        "it has a user namespace of its own, so that its files can be protected",
        "it has no user namespace of its own, so a user's service manager ignores all protection of files silently",
        "set PrivateUsers=yes in its unit, where the machine allows unprivileged user namespaces",
    );
    found(
        sandbox.own_tmp,
        "it has a /tmp of its own",
        "it shares /tmp with everybody",
        "set PrivateTmp=yes in its unit; it needs a user namespace",
    );
    let (writable, not): (Vec<_>, Vec<_>) = sandbox.places.iter().partition(|place| place.writable);
    let list = |places: &[&crate::status::Place]| {
        let paths: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
        paths.join(", ")
    };
    if !not.is_empty() {
        section.fine(format!("it cannot write to {}", list(&not)));
    }
    if !writable.is_empty() {
        section.skipped(format!("it can write to {}", list(&writable)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;
    use crate::status::Place;

    #[test]
    fn each_protection_that_is_missing_is_said_with_what_to_do() {
        let mut section = Section::new("daemon");
        let none = Sandbox {
            service: true,
            ..Sandbox::default()
        };
        sandbox(&none, &mut section);
        assert_eq!(section.findings.len(), 6);
        for finding in &section.findings {
            assert_eq!(finding.verdict, Verdict::Odd, "{finding:?}");
            assert!(finding.help.is_some(), "{finding:?}");
        }
        let mut section = Section::new("daemon");
        let all = Sandbox {
            service: true,
            no_new_privileges: true,
            filters: 9,
            sockets_restricted: true,
            own_users: true,
            capabilities: "0".repeat(16),
            own_tmp: true,
            places: vec![
                Place {
                    path: "/usr".to_owned(),
                    writable: false,
                },
                Place {
                    path: "/home/ada".to_owned(),
                    writable: true,
                },
            ],
            watchdog_ms: Some(30_000),
        };
        sandbox(&all, &mut section);
        assert!(
            section.findings.iter().all(|finding| finding.verdict < Verdict::Odd),
            "{section:?}"
        );
        assert_eq!(section.findings.len(), 8);
        let mut section = Section::new("daemon");
        sandbox(&Sandbox::default(), &mut section);
        assert_eq!(section.findings.len(), 1, "by hand, or in the foreground");
    }

    #[test]
    fn a_number_has_the_name_that_the_file_says() {
        let users = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(user_name(users, 1000).as_deref(), Some("ada"));
        assert_eq!(user_name(users, 7), None);
    }
}
