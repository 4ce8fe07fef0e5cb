use super::*;

fn kind(directory: bool) -> Kind {
    if directory { Kind::Directory } else { Kind::File }
}

fn verdict(directory: bool, uid: u32, gid: u32, mode: u32, has_private_group: bool) -> Option<String> {
    let access = Access {
        kind: kind(directory),
        uid,
        gid,
        mode,
    };
    let me = Me {
        uid: 1000,
        private_group: has_private_group.then_some(1000),
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
        other.contains("belongs to user 1001") && other.contains("chown -h 1000 'config.toml'"),
        "{other}"
    );
    let other = verdict(true, 1001, 1000, 0o1700, true).unwrap();
    assert!(other.contains("this directory belongs to user 1001"), "{other}");
}

#[test]
fn in_a_namespace_without_root_only_etc_is_trusted_to_be_roots() {
    let me = Me {
        uid: 1000,
        private_group: Some(1000),
        unknown: Some(65534),
    };
    let verdict = |path: &str, uid, mode| {
        let access = Access {
            kind: Kind::File,
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
fn a_group_is_private_only_if_nobody_else_has_it_in_either_file() {
    let users = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nbob:x:1001:1001\n\
                 eve:x:1002:1003\nmax:x:1004:1003\nnonsense\nzoe:x:1005:100\n";
    let groups = "root:x:0:\nada:x:1000:\nbob:x:1001:bob\nteam:x:1003:\nusers:x:100:ada\nnonsense\n";
    let private = |uid| private_group(users, groups, uid);
    assert_eq!(private(1000), Some(1000));
    assert_eq!(private(1001), Some(1001), "one may be listed oneself");
    assert_eq!(private(1002), None, "max has it as his primary group");
    assert_eq!(private(1005), None, "ada is listed");
    assert_eq!(private(7), Some(7), "a user nobody lists");
    assert_eq!(private_group(users, "guests:x:7:ada\n", 7), None);
    assert_eq!(private_group("", "ada:x:7:ada\n", 7), Some(7));
    let user_of_that_group = format!("{users}guest:x:2000:1000\n");
    assert_eq!(private_group(&user_of_that_group, groups, 1000), None);
}

/// The places on the way to `path` that strangers could change, without what lies above the test's own directory.
fn found(directory: &Path, path: &str) -> Vec<(String, Stranger)> {
    let found = strangers_on_the_way(&directory.join(path), Me::from_process()).unwrap();
    let below = |place: &Path| place.strip_prefix(directory).unwrap().display().to_string();
    let found = found.into_iter().map(|(place, _, stranger)| (below(&place), stranger));
    found.collect()
}

#[test]
fn every_directory_on_the_way_is_looked_at() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().canonicalize().unwrap();
    let path = |name: &str| directory.join(name);
    let mode = |name: &str, mode| std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).unwrap();
    std::fs::create_dir_all(path("home/config/autossm")).unwrap();
    std::fs::create_dir_all(path("open/deep")).unwrap();
    for file in ["home/config/autossm/config.toml", "open/deep/config.toml"] {
        std::fs::write(path(file), "").unwrap();
    }
    for name in ["home", "home/config", "home/config/autossm", "open/deep"] {
        mode(name, 0o755);
    }
    mode("open", 0o777);
    let everybody = |place: &str| vec![(place.to_owned(), Stranger::Everybody)];
    assert_eq!(found(&directory, "home/config/autossm/config.toml"), []);
    assert_eq!(found(&directory, "open/deep/config.toml"), everybody("open"));
    // A link into it, and a link in it that leads out of it.
    symlink("../open/deep/config.toml", path("home/link.toml")).unwrap();
    assert_eq!(found(&directory, "home/link.toml"), everybody("open"));
    symlink(path("home/config"), path("open/out")).unwrap();
    assert_eq!(found(&directory, "open/out/autossm/config.toml"), everybody("open"));
    assert_eq!(found(&directory, "open/../home/config/autossm"), everybody("open"));
    mode("home/config", 0o777);
    assert_eq!(
        found(&directory, "home/config/autossm/config.toml"),
        everybody("home/config")
    );
    mode("home/config", 0o1777);
    assert_eq!(found(&directory, "home/config/autossm/config.toml"), []);
    symlink("round", path("round")).unwrap();
    assert!(strangers_on_the_way(&path("round"), Me::from_process()).is_err());
}

#[test]
fn what_lies_far_above_in_a_namespace_without_root_is_taken_for_roots() {
    let me = Me {
        uid: 1000,
        private_group: None,
        unknown: Some(65534),
    };
    let judged = |is_roots: bool, way: &[(&str, u32, u32)]| {
        let directory = |&(path, uid, mode): &(&str, u32, u32)| {
            let access = Access {
                kind: Kind::Directory,
                uid,
                gid: uid,
                mode,
            };
            (PathBuf::from(path), access)
        };
        let found = judge(way.iter().map(directory).collect(), is_roots, me);
        let found: Vec<PathBuf> = found.into_iter().map(|(place, ..)| place).collect();
        found
    };
    let found = |way: &[(&str, u32, u32)]| judged(false, way);
    let root = ("/", 65534, 0o755);
    let linked = [root, ("/etc", 65534, 0o755), ("/nix", 65534, 0o755)];
    assert_eq!(found(&linked), [Path::new("/nix")]);
    assert!(judged(true, &linked).is_empty(), "a link in /etc/autossm");
    assert!(found(&[root, ("/home", 65534, 0o755), ("/home/ada", 1000, 0o755)]).is_empty());
    assert_eq!(
        found(&[root, ("/srv", 65534, 0o755), ("/srv/ada", 65534, 0o755)]),
        [Path::new("/srv/ada")]
    );
    assert_eq!(
        found(&[root, ("/srv", 65534, 0o777), ("/srv/ada", 1000, 0o755)]),
        [Path::new("/srv")]
    );
    assert_eq!(
        found(&[root, ("/srv", 1001, 0o755), ("/srv/ada", 1000, 0o755)]),
        [Path::new("/srv")]
    );
}
