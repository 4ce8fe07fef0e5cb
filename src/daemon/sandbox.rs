//! Finds out which protections this very process has, by asking the kernel and by trying.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use crate::config::{Environment, Listen, SessionSettings};
use crate::status::{Place, Sandbox};

/// Looks now. What it tries leaves nothing behind.
pub(super) fn look(environment: &Environment) -> Sandbox {
    let status = read("/proc/self/status");
    let field = |name: &str| status_field(&status, name);
    let number = |name: &str| field(name).parse().unwrap_or(0);
    // Before Linux 5.9 the number of filters is not told.
    let filters = number("Seccomp_filters").max(u32::from(field("Seccomp") == "2"));
    let watchdog = sd_notify::watchdog_enabled();
    Sandbox {
        service: std::env::var_os("NOTIFY_SOCKET").is_some(),
        no_new_privileges: number("NoNewPrivs") == 1,
        filters,
        sockets_restricted: refuses_packets(),
        own_users: !maps_everybody(&read("/proc/self/uid_map")),
        capabilities: field("CapBnd").to_owned(),
        own_tmp: has_own_tmp(&read("/proc/self/mountinfo")),
        places: places(environment)
            .into_iter()
            .filter(|place| place.is_dir())
            .map(|place| Place {
                writable: can_write(&place),
                path: place.display().to_string(),
            })
            .collect(),
        watchdog_ms: watchdog.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// A file that cannot be read says nothing.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// `Name:<tab>value`, as in `/proc/PID/status` (proc(5)).
fn status_field<'a>(status: &'a str, name: &str) -> &'a str {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim()
}

/// The first namespace has one line for all users (user_namespaces(7)).
fn maps_everybody(uid_map: &str) -> bool {
    let mut numbers = uid_map.split_whitespace();
    // Where it cannot be read, there are no such namespaces.
    numbers.nth(2).is_none_or(|count| count == "4294967295")
}

/// A mount at `/tmp` of a directory that systemd has made for one service.
fn has_own_tmp(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, place) = (fields.next(), fields.next());
        place == Some("/tmp") && root.is_some_and(|root| root.contains("/systemd-private-"))
    })
}

/// Says so where a session's Unix socket is where nobody else can see it.
pub(super) fn tell_of_hidden_sockets(session: &SessionSettings) {
    let listen = session.forward.iter().flat_map(|forward| &forward.listen);
    for path in listen.filter_map(temporary) {
        if has_own_tmp(&read("/proc/self/mountinfo")) {
            tracing::warn!(
                session = session.name,
                path = %path.display(),
                "the service has a /tmp of its own (`PrivateTmp=yes`): nobody else finds this socket; listen below \
                 $XDG_RUNTIME_DIR instead",
            );
        }
    }
}

/// The path of a Unix socket below what a service may have for itself.
fn temporary(listen: &Listen) -> Option<&Path> {
    match listen {
        Listen::Unix(path) if path.starts_with("/tmp") || path.starts_with("/var/tmp") => Some(path),
        Listen::Unix(_) | Listen::Tcp(_) | Listen::Localhost(_) => None,
    }
}

/// Without a filter the kernel says that it needs a privilege; the filter says that there is no such family.
fn refuses_packets() -> bool {
    let tried = rustix::net::socket(AddressFamily::PACKET, SocketType::DGRAM, None);
    tried.is_err_and(|error| error == Errno::AFNOSUPPORT)
}

fn places(environment: &Environment) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("/usr"), PathBuf::from("/etc")];
    if let Some(home) = &environment.home {
        places.extend([
            home.clone(),
            home.join(".ssh"),
            home.join(".aws"),
            home.join(".aws/sso/cache"),
        ]);
    }
    places.extend(environment.runtime_dir.clone());
    places
}

/// Tries to make a file without a name, which is gone when it is closed.
fn can_write(directory: &Path) -> bool {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_gone_when_dropped) => true,
        // A file system without such files: what the kernel says of its mode must do.
        Err(Errno::OPNOTSUPP) => rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_right() {
        let status = "Name:\tautossm\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t7\n";
        assert_eq!(status_field(status, "NoNewPrivs"), "1");
        assert_eq!(status_field(status, "Seccomp"), "2");
        assert_eq!(status_field(status, "CapBnd"), "");
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("      1000       1000          1\n"));
        let own = "90 80 8:1 /tmp/systemd-private-1f-autossm.service-a/tmp /tmp rw - ext4 /dev/sda1 rw\n";
        assert!(has_own_tmp(own));
        assert!(!has_own_tmp("90 80 0:40 / /tmp rw - tmpfs tmpfs rw\n"));
    }

    #[test]
    fn only_a_path_that_a_service_may_have_for_itself_is_looked_at() {
        for (path, is_temporary) in [
            ("/tmp/a/b", true),
            ("/var/tmp/b", true),
            ("/tmpx/b", false),
            ("/run/b", false),
        ] {
            assert_eq!(temporary(&Listen::Unix(path.into())).is_some(), is_temporary, "{path}");
        }
    }

    #[test]
    fn trying_finds_out_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        assert!(can_write(home.path()));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(!can_write(&home.path().join("missing")));
        let environment = Environment {
            home: Some(home.path().to_owned()),
            ..Environment::default()
        };
        let sandbox = look(&environment);
        let own = sandbox
            .places
            .iter()
            .find(|place| place.path == home.path().display().to_string());
        assert!(own.unwrap().writable, "{sandbox:?}");
        assert!(
            !sandbox.capabilities.is_empty() || cfg!(not(target_os = "linux")),
            "{sandbox:?}"
        );
    }
}
