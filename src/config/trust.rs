//! Whether somebody else could change a file, or put another in its place: its owner and mode, and those of every directory
//! on the way to it, as ssh's StrictModes judges them.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::paths::SYSTEM_DIRECTORY;

/// Who runs autossm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Me {
    pub(crate) uid: u32,
    /// Our own group, if nobody else is in it, as on most systems.
    pub(crate) private_group: Option<u32>,
    /// How root's files look in a user namespace that does not know root, as a user service with `PrivateUsers=` has: the
    /// number that stands for everybody unknown.
    pub(crate) unknown: Option<u32>,
}

/// What the system says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) kind: Kind,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A symbolic link: its mode says nothing.
    Link,
}

/// Who else could change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    Owner(u32),
    Group(u32),
    Everybody,
}

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// In a directory with this bit only a file's owner can replace it.
const STICKY: u32 = 0o1000;
/// Linux follows no more.
const MOST_LINKS: usize = 40;

impl Me {
    pub(crate) fn from_process() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        // A file that cannot be read lists nobody: then the numbers alone must do.
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let overflow = read("/proc/sys/kernel/overflowuid").trim().parse().ok();
        Self {
            uid,
            private_group: private_group(&read("/etc/passwd"), &read("/etc/group"), uid),
            unknown: overflow.filter(|_| is_without_root(&read("/proc/self/uid_map"))),
        }
    }
}

impl Access {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            kind: if metadata.is_dir() {
                Kind::Directory
            } else if metadata.is_symlink() {
                Kind::Link
            } else {
                Kind::File
            },
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode(),
        }
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Link => "link",
        }
    }
}

/// The group of the user with this number, unless the two files list somebody else in it: as a member, or with it as the
/// primary group. Of a user no file lists, it is the group with the same number.
fn private_group(users: &str, groups: &str, uid: u32) -> Option<u32> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
    let users: Vec<(&str, Option<u32>, Option<u32>)> = users
        .lines()
        .map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            (name, number(fields.nth(1)), number(fields.next()))
        })
        .collect();
    let listed = users.iter().find(|(_, own, _)| *own == Some(uid));
    let gid = listed.map_or(Some(uid), |(_, _, gid)| *gid)?;
    if users
        .iter()
        .any(|(_, other, group)| *group == Some(gid) && *other != Some(uid))
    {
        return None;
    }
    let is_me = |member: &str, group: &str| match listed {
        Some(_) => users.iter().any(|(name, own, _)| *name == member && *own == Some(uid)),
        None => member == group,
    };
    let nobody_else = groups.lines().all(|line| {
        let mut fields = line.split(':');
        let (name, number, members) = (fields.next().unwrap_or_default(), number(fields.nth(1)), fields.next());
        let members = members.unwrap_or_default().split(',').map(str::trim);
        number != Some(gid)
            || members
                .filter(|member| !member.is_empty())
                .all(|member| is_me(member, name))
    });
    nobody_else.then_some(gid)
}

/// Whether a user namespace with this map has nobody whose number is 0 outside (user_namespaces(7)). Where there are no
/// such namespaces, there is no map.
fn is_without_root(uid_map: &str) -> bool {
    let mut lines = uid_map.lines().peekable();
    lines.peek().is_some() && lines.all(|line| line.split_whitespace().nth(1) != Some("0"))
}

/// Who else could change `path`, of which the system says this.
pub(crate) fn stranger(path: &Path, access: Access, me: Me) -> Option<Stranger> {
    // Only root can put something into /etc, so what is there is trusted although its owner cannot be told.
    let is_roots = access.uid == 0 || (me.unknown == Some(access.uid) && path.starts_with(SYSTEM_DIRECTORY));
    if access.uid != me.uid && !is_roots {
        return Some(Stranger::Owner(access.uid));
    }
    // What is in a sticky directory is safe there if it is ours or root's, and that is asked of each thing on the way.
    if access.kind == Kind::Link || (access.kind == Kind::Directory && access.mode & STICKY != 0) {
        None
    } else if access.mode & OTHERS_WRITE != 0 {
        Some(Stranger::Everybody)
    } else if access.mode & GROUP_WRITES != 0 && me.private_group != Some(access.gid) && access.gid != 0 {
        Some(Stranger::Group(access.gid))
    } else {
        None
    }
}

/// What strangers could change on the way to `path`: each directory in which a name is looked up, `path` itself if it is one,
/// and each link that is followed.
///
/// # Errors
/// What the system says when the way does not lead anywhere.
pub(crate) fn strangers_on_the_way(path: &Path, me: Me) -> io::Result<Vec<(PathBuf, Access, Stranger)>> {
    let path = std::path::absolute(path)?;
    // A link there is root's word, wherever it leads.
    let is_roots = path.starts_with(SYSTEM_DIRECTORY);
    Ok(judge(way(&path)?, is_roots, me))
}

fn judge(way: Vec<(PathBuf, Access)>, is_roots: bool, me: Me) -> Vec<(PathBuf, Access, Stranger)> {
    let last = way.iter().rposition(|(_, access)| access.kind == Kind::Directory);
    let found = way.into_iter().enumerate().filter_map(|(index, (place, access))| {
        // A namespace that does not know root cannot tell whose /home is. What lies nearest must be known to be ours.
        let is_roots = me.unknown == Some(access.uid) && (is_roots || Some(index) != last);
        let access = Access {
            uid: if is_roots { 0 } else { access.uid },
            ..access
        };
        let stranger = stranger(&place, access, me)?;
        Some((place, access, stranger))
    });
    found.collect()
}

fn way(path: &Path) -> io::Result<Vec<(PathBuf, Access)>> {
    let mut at = PathBuf::from("/");
    let mut way = vec![(at.clone(), Access::of(&at.symlink_metadata()?))];
    let mut ahead = names_reversed(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(name);
        let access = Access::of(&next.symlink_metadata()?);
        match access.kind {
            Kind::File => at = next,
            Kind::Directory => {
                at.clone_from(&next);
                way.push((next, access));
            }
            Kind::Link => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(rustix::io::Errno::LOOP.into());
                }
                let target = next.read_link()?;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                ahead.extend(names_reversed(&target));
                way.push((next, access));
            }
        }
    }
    Ok(way)
}

/// The names in a path, the last one first.
fn names_reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

/// Why `path` cannot be trusted, and what to do about it.
pub(super) fn distrust(path: &Path, access: Access, me: Me) -> Option<(String, String)> {
    stranger(path, access, me).map(|stranger| explain(path, access, stranger, me))
}

/// What is to be said about something that a stranger could change, and what to do about it.
pub(super) fn explain(path: &Path, access: Access, stranger: Stranger, me: Me) -> (String, String) {
    const WHY: &str = "whoever changes it decides where your AWS credentials go";
    let (kind, shown) = (access.kind.name(), path.display());
    let sudo = if access.uid == me.uid { "" } else { "sudo " };
    let take_away = format!("take that away: {sudo}chmod go-w '{shown}'");
    match stranger {
        Stranger::Owner(uid) => {
            let message = format!("this {kind} belongs to user {uid}, and you are user {}; {WHY}", me.uid);
            (message, format!("make it yours: sudo chown -h {} '{shown}'", me.uid))
        }
        Stranger::Group(gid) => (
            format!("every member of group {gid} can write to this {kind}; {WHY}"),
            take_away,
        ),
        Stranger::Everybody => (
            format!("every user of this machine can write to this {kind}; {WHY}"),
            take_away,
        ),
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
