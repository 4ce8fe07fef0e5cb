//! Files on a disk: where they are searched, how several of them add up, whose they may be.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

const GOOD: &str = "target = \"i-0123456789abcdef0\"\nforward = { listen = \":0\", port = 5432 }\n";

/// A home directory.
struct Home {
    directory: TempDir,
    environment: Environment,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            config_home: Some(directory.path().to_owned()),
            ..Environment::default()
        };
        Self { directory, environment }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("autossm").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        self.chmod(name, 0o644);
        path
    }

    fn chmod(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self) -> Settings {
        load(None, &self.environment).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is said, without the name of the directory.
    fn refused(&self) -> String {
        let error = load(None, &self.environment).unwrap_err().to_string();
        error.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

fn names(settings: &Settings) -> Vec<&str> {
    settings.sessions.iter().map(|session| session.name.as_str()).collect()
}

#[test]
fn drop_ins_add_up_in_the_order_of_their_names() {
    let home = Home::new();
    home.write(
        "config.toml",
        format!("[defaults]\nregion = \"eu-west-1\"\nprofile = \"a\"\n[session.b]\n{GOOD}"),
    );
    home.write(
        "config.d/20-late.toml",
        "[defaults]\nprofile = \"late\"\ntimings.ping_interval = \"20s\"\n",
    );
    home.write(
        "config.d/10-early.toml",
        format!("[log]\nlevel = \"debug\"\n[defaults]\nprofile = \"early\"\ntimings.ping_interval = \"21s\"\n[session.a]\n{GOOD}"),
    );
    for ignored in [
        "config.d/.30-hidden.toml",
        "config.d/40-backup.toml~",
        "config.d/README",
    ] {
        home.write(ignored, "no TOML at all");
    }
    let settings = home.load();
    assert_eq!(names(&settings), ["a", "b"]);
    assert_eq!(settings.log.level, LogLevel::Debug);
    for session in &settings.sessions {
        assert_eq!(session.region.as_deref(), Some("eu-west-1"));
        assert_eq!(session.profile.as_deref(), Some("late"));
        assert_eq!(session.protocol.ping_interval.as_secs(), 20);
    }
    let files = find(None, &home.environment).unwrap();
    let expected = ["config.toml", "config.d/10-early.toml", "config.d/20-late.toml"];
    assert_eq!(files, expected.map(|name| home.path(name)));
}

#[test]
fn drop_ins_alone_are_a_configuration_too() {
    let home = Home::new();
    home.write("config.d/a.toml", format!("[session.a]\n{GOOD}"));
    assert_eq!(names(&home.load()), ["a"]);
}

#[test]
fn a_named_file_stands_alone_and_a_named_directory_is_like_the_usual_ones() {
    let home = Home::new();
    let file = home.write("config.toml", format!("[session.a]\n{GOOD}"));
    home.write("config.d/b.toml", format!("[session.b]\n{GOOD}"));
    let nowhere = Environment::default();
    let alone = load(Some(&file), &nowhere).unwrap();
    assert_eq!(names(&alone), ["a"]);
    let both = load(file.parent(), &nowhere).unwrap();
    assert_eq!(names(&both), ["a", "b"]);
}

#[test]
fn what_is_nowhere_was_searched_in_every_usual_place() {
    let home = Home::new();
    let LoadError::Missing { searched } = find(None, &home.environment).unwrap_err() else {
        panic!("something is there");
    };
    assert_eq!(searched, [home.path("config.toml"), "/etc/autossm/config.toml".into()]);
    let named = home.path("other.toml");
    let error = load(Some(&named), &home.environment).unwrap_err();
    assert!(error.to_string().contains("other.toml; write one"), "{error}");
}

#[test]
fn problems_of_all_files_come_together() {
    let home = Home::new();
    home.write("config.toml", "[defaults]\nregoin = \"x\"\n");
    home.write("config.d/a.toml", format!("[session.db]\n{GOOD}"));
    home.write("config.d/b.toml", format!("# copied\n[session.db]\n{GOOD}port = 1\n"));
    assert_eq!(
        home.refused(),
        "3 problems in the configuration

autossm/config.toml:2:1: defaults.regoin: unknown key
  2 | regoin = \"x\"
    | ^^^^^^
  hint: did you mean `region`?

autossm/config.d/b.toml:2:10: session.db: another file has a session of this name
  2 | [session.db]
    |          ^^
  see autossm/config.d/a.toml:1:10
  1 | [session.db]
    |          ^^
  hint: rename one of them, or put all its keys into one file

autossm/config.d/b.toml:5:1: session.db.port: unknown key
  5 | port = 1
    | ^^^^
  hint: `port` belongs in forward = { .. } of a session"
    );
}

#[test]
fn sessions_of_two_files_cannot_share_an_address() {
    let home = Home::new();
    let session = |listen| format!("target = \"i-0\"\nforward = {{ listen = \"{listen}\", port = 1 }}\n");
    home.write("config.toml", format!("[session.a]\n{}", session(":5432")));
    home.write("config.d/b.toml", format!("[session.b]\n{}", session("127.0.0.1:5432")));
    let said = home.refused();
    assert!(
        said.contains("config.d/b.toml:3:22: session.b.forward.listen: 127.0.0.1:5432 is taken"),
        "{said}"
    );
    assert!(said.contains("see autossm/config.toml:3:22"), "{said}");
}

#[test]
fn files_that_others_may_write_are_refused() {
    let home = Home::new();
    home.write("config.toml", format!("[session.a]\n{GOOD}"));
    home.write("config.d/b.toml", format!("[session.b]\n{GOOD}"));
    home.load();
    home.chmod("config.d/b.toml", 0o666);
    home.chmod("", 0o777);
    let said = home.refused();
    assert!(said.starts_with("2 problems"), "{said}");
    assert!(
        said.contains("autossm/config.d/b.toml: every user of this machine can write to this file"),
        "{said}"
    );
    assert!(
        said.contains("autossm: every user of this machine can write to this directory"),
        "{said}"
    );
    assert!(said.contains("chmod go-w"), "{said}");
}

#[test]
fn a_directory_far_above_that_others_may_write_is_refused() {
    let home = Home::new();
    home.write("config.toml", format!("[session.a]\n{GOOD}"));
    std::fs::set_permissions(home.directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let said = home.refused();
    assert!(
        said.contains(": every user of this machine can write to this directory"),
        "{said}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named_with_the_other_problems() {
    let home = Home::new();
    home.write("config.toml", "colour = 1\n");
    home.write("config.d/1-long.toml", vec![b'#'; (1 << 20) + 1]);
    home.write("config.d/2-latin.toml", b"# a\n# b\xff\n");
    std::fs::create_dir(home.path("config.d/3-directory.toml")).unwrap();
    symlink("nowhere", home.path("config.d/4-link.toml")).unwrap();
    let said = home.refused();
    for part in [
        "5 problems",
        "config.toml:1:1: colour: unknown key",
        "1-long.toml: cannot be read: it is longer than 1048576 bytes",
        "2-latin.toml: cannot be read: line 2 is not UTF-8 text\n  hint: save it as UTF-8",
        "3-directory.toml: cannot be read: it is a directory, not a file\n  hint: ",
        "4-link.toml: cannot be read: ",
        "a link leads nowhere",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_drop_in_directory_that_is_a_file_is_no_configuration() {
    let home = Home::new();
    home.write("config.d", "");
    assert!(find(Some(Path::new(&home.path(""))), &home.environment).is_err());
}

#[test]
fn a_fifo_is_refused_at_once() {
    let home = Home::new();
    home.write("config.toml", format!("[session.a]\n{GOOD}"));
    std::fs::create_dir(home.path("config.d")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        home.path("config.d/a.toml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let environment = home.environment;
    let (told, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let said = load(None, &environment).unwrap_err().to_string();
        told.send(said).unwrap();
    });
    let said = hears.recv_timeout(std::time::Duration::from_secs(20));
    let said = said.expect("reading goes on for ever");
    assert!(
        said.contains("config.d/a.toml: cannot be read: it is a pipe, not a file\n  hint: "),
        "{said}"
    );
    let device = load(Some(Path::new("/dev/null")), &Environment::default()).unwrap_err();
    assert!(device.to_string().contains("it is a device, not a file"), "{device}");
}
