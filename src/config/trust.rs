//! Whether a file's permissions let somebody else decide whose credentials are used and where they go.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::paths::SYSTEM_DIRECTORY;

/// Who runs autossm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) uid: u32,
    /// Whether the group with our own user's number has nobody else in it, as on most systems.
    pub(super) has_private_group: bool,
    /// How root's files look in a user namespace that does not know root, as a user service with `PrivateUsers=` has: the
    /// number that stands for everybody unknown.
    pub(super) unknown: Option<u32>,
}

/// What the system says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) directory: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// In a directory with this bit only a file's owner can replace it.
const STICKY: u32 = 0o1000;

impl Me {
    pub(super) fn from_process() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        // A file that cannot be read lists nobody: then the numbers alone must do.
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let overflow = read("/proc/sys/kernel/overflowuid").trim().parse().ok();
        Self {
            uid,
            has_private_group: is_private(&groups, uid),
            unknown: overflow.filter(|_| is_without_root(&read("/proc/self/uid_map"))),
        }
    }
}

impl Access {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            directory: metadata.is_dir(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode(),
        }
    }
}

/// Whether no member is listed in the group number `gid` other than the user it is named after.
fn is_private(groups: &str, gid: u32) -> bool {
    groups.lines().all(|line| {
        let mut fields = line.split(':');
        let (name, number, members) = (fields.next(), fields.nth(1), fields.next());
        number.and_then(|number| number.parse().ok()) != Some(gid)
            || members
                .unwrap_or_default()
                .split(',')
                .all(|member| member.trim().is_empty() || Some(member.trim()) == name)
    })
}

/// Whether a user namespace with this map has nobody whose number is 0 outside (user_namespaces(7)). Where there are no
/// such namespaces, there is no map.
fn is_without_root(uid_map: &str) -> bool {
    let mut lines = uid_map.lines().peekable();
    lines.peek().is_some() && lines.all(|line| line.split_whitespace().nth(1) != Some("0"))
}

/// Why `path` cannot be trusted, and what to do about it.
pub(super) fn distrust(path: &Path, access: Access, me: Me) -> Option<(String, String)> {
    const WHY: &str = "whoever changes it decides where your AWS credentials go";
    let kind = if access.directory { "directory" } else { "file" };
    let shown = path.display();
    // Only root can put something into /etc, so what is there is trusted although its owner cannot be told.
    let is_roots = access.uid == 0 || (me.unknown == Some(access.uid) && path.starts_with(SYSTEM_DIRECTORY));
    if access.uid != me.uid && !is_roots {
        let message = format!(
            "this {kind} belongs to user {}, and you are user {}; {WHY}",
            access.uid, me.uid
        );
        return Some((message, format!("make it yours: sudo chown {} '{shown}'", me.uid)));
    }
    if access.directory && access.mode & STICKY != 0 {
        return None;
    }
    let own_group = me.has_private_group && access.gid == me.uid;
    let who = if access.mode & OTHERS_WRITE != 0 {
        "every user of this machine".to_owned()
    } else if access.mode & GROUP_WRITES != 0 && !own_group && access.gid != 0 {
        format!("every member of group {}", access.gid)
    } else {
        return None;
    };
    let message = format!("{who} can write to this {kind}; {WHY}");
    Some((message, format!("take that away: chmod go-w '{shown}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(directory: bool, uid: u32, gid: u32, mode: u32, has_private_group: bool) -> Option<String> {
        let access = Access {
            directory,
            uid,
            gid,
            mode,
        };
        let me = Me {
            uid: 1000,
            has_private_group,
            unknown: None,
        };
        distrust(Path::new("config.toml"), access, me).map(|(message, hint)| format!("{message} / {hint}"))
    }

    #[test]
    fn only_oneself_and_root_are_trusted() {
        assert_eq!(verdict(false, 1000, 100, 0o644, true), None);
        assert_eq!(verdict(false, 0, 0, 0o644, true), None);
        assert_eq!(verdict(true, 1000, 100, 0o755, true), None);
        let other = verdict(false, 1001, 1000, 0o600, true).unwrap();
        assert!(
            other.contains("belongs to user 1001") && other.contains("chown 1000 'config.toml'"),
            "{other}"
        );
        let other = verdict(true, 1001, 1000, 0o1700, true).unwrap();
        assert!(other.contains("this directory belongs to user 1001"), "{other}");
    }

    #[test]
    fn in_a_namespace_without_root_only_etc_is_trusted_to_be_roots() {
        let me = Me {
            uid: 1000,
            has_private_group: true,
            unknown: Some(65534),
        };
        let verdict = |path: &str, uid, mode| {
            let access = Access {
                directory: false,
                uid,
                gid: 65534,
                mode,
            };
            distrust(Path::new(path), access, me)
        };
        assert_eq!(verdict("/etc/autossm/config.toml", 65534, 0o644), None);
        assert!(verdict("/etc/autossm/config.toml", 65534, 0o664).is_some());
        assert!(verdict("/etc/autossm/config.toml", 1001, 0o644).is_some());
        assert!(verdict("/home/ada/.config/autossm/config.toml", 65534, 0o644).is_some());
        assert!(is_without_root("      1000       1000          1\n"));
        assert!(!is_without_root("         0          0 4294967295\n"));
        assert!(
            !is_without_root("0 100000 65536\n1000 0 1\n"),
            "root under another number"
        );
        assert!(!is_without_root(""));
    }

    #[test]
    fn nobody_else_may_write() {
        for directory in [false, true] {
            let all = verdict(directory, 1000, 1000, 0o666, true).unwrap();
            assert!(all.contains("every user") && all.contains("chmod go-w"), "{all}");
            let group = verdict(directory, 1000, 100, 0o664, true).unwrap();
            assert!(group.contains("every member of group 100"), "{group}");
        }
    }

    #[test]
    fn a_group_of_ones_own_is_oneself() {
        assert_eq!(verdict(false, 1000, 1000, 0o664, true), None);
        assert!(verdict(false, 1000, 1000, 0o664, false).is_some());
    }

    #[test]
    fn in_a_sticky_directory_a_file_cannot_be_replaced() {
        assert_eq!(verdict(true, 0, 0, 0o1777, true), None);
        assert!(verdict(false, 1000, 1000, 0o1666, true).is_some());
    }

    #[test]
    fn the_group_file_says_who_is_in_a_group() {
        let groups = "root:x:0:\nada:x:1000:\nbob:x:1001:bob\nteam:x:1002:ada,bob\nnonsense\n";
        assert!(is_private(groups, 1000));
        assert!(is_private(groups, 1001));
        assert!(!is_private(groups, 1002));
        assert!(is_private(groups, 7), "a group nobody lists");
        assert!(is_private("", 1000));
    }
}
