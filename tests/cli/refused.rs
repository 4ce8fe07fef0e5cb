//! Commands without a daemon, wrong usage, and daemons that cannot be.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::daemon::{Daemon, PATIENCE, config};
use crate::support::skipped;
use crate::transcript::Transcript;
use crate::{attached, program};

const NOBODY: u32 = 65_534;

#[tokio::test]
async fn no_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let mut transcript = Transcript::without_daemon(directory.path());
    for command in [
        "status",
        "status demo --json",
        "status --watch",
        "history",
        "reconnect",
        "reconnect demo",
        "restart demo",
        "start demo",
        "stop demo",
        "reload",
        "wait demo --for up",
        "events",
        "log-level",
        "log-level debug",
    ] {
        let ended = transcript.run(command).await;
        assert_eq!(ended.code, Some(3), "{command}");
    }
    transcript.check("no-daemon");
}

#[tokio::test]
async fn check() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut transcript = Transcript::without_daemon(directory.path());
    let text = config(
        "http://127.0.0.1:9",
        80,
        "on_exit = \"terminate\"\n[session.build]\ntarget = \"i-0\"\nshell = {}\n",
    );
    std::fs::create_dir_all(path(".config/autossm/config.d")).unwrap();
    std::fs::write(path(".config/autossm/config.toml"), text).unwrap();
    std::fs::write(
        path(".config/autossm/config.d/a.toml"),
        "[defaults]\nregion = \"eu-west-1\"\n",
    )
    .unwrap();
    let ended = transcript.run("check").await;
    assert_eq!(ended.code, Some(0));
    transcript.say("Problems in two files, one of them open to everybody.");
    let wrong = "[defaults]\nregion = \"Ireland\"\ntimings = { ping_timeout = 5 }\n[sesion.b]\nshell = { lines = 3 }\n";
    std::fs::write(path(".config/autossm/config.d/a.toml"), wrong).unwrap();
    std::fs::write(
        path(".config/autossm/config.d/b.toml"),
        "[session.demo]\ntarget = \"i-0\"\nshell = {}\n",
    )
    .unwrap();
    std::fs::set_permissions(
        path(".config/autossm/config.d/b.toml"),
        PermissionsExt::from_mode(0o666),
    )
    .unwrap();
    let ended = transcript.run("check").await;
    assert_eq!(ended.code, Some(78));
    transcript.say("A file that is not there, and no file at all.");
    let ended = transcript
        .run(&format!("check --config {}/other.toml", directory.path().display()))
        .await;
    assert_eq!(ended.code, Some(78));
    std::fs::remove_dir_all(path(".config")).unwrap();
    let ended = transcript.run("check").await;
    assert_eq!(ended.code, Some(78));
    transcript.check("check");
}

#[test]
fn the_schema_is_the_committed_one() {
    let output = Command::new(program()).args(["check", "--schema"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/autossm.schema.json");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        std::fs::read_to_string(committed).unwrap()
    );
}

#[tokio::test]
async fn no_place_for_the_control_socket() {
    let directory = tempfile::tempdir().unwrap();
    let mut transcript = Transcript::without_daemon(directory.path());
    std::fs::write(
        directory.path().join("config.toml"),
        config("http://127.0.0.1:9", 80, ""),
    )
    .unwrap();
    let run = format!("run --config {}/config.toml", directory.path().display());
    transcript.unset("XDG_RUNTIME_DIR");
    for command in ["status", "wait demo --for up", &run] {
        let ended = transcript.run(command).await;
        assert_eq!(ended.code, Some(69), "{command}");
    }
    transcript.say("XDG_RUNTIME_DIR=run");
    transcript.set("XDG_RUNTIME_DIR", Path::new("run"));
    for command in ["status", &run] {
        let ended = transcript.run(command).await;
        assert_eq!(ended.code, Some(69), "{command}");
    }
    transcript.check("no-place");
}

#[tokio::test]
async fn usage() {
    let directory = tempfile::tempdir().unwrap();
    let mut transcript = Transcript::without_daemon(directory.path());
    transcript.run("--help").await;
    for command in [
        "",
        "statsu",
        "restart",
        "wait demo",
        "reload now",
        "run --log autossm=loud",
        "proxy no-such-target --no-daemon",
        "run --log-format xml",
        "events --json",
    ] {
        let ended = transcript.run(command).await;
        assert_eq!(ended.code, Some(2), "{command}");
    }
    transcript.check("usage");
}

/// `autossm` with one of its outputs on a full disk; its exit code and what the other one got.
fn on_a_full_disk(arguments: &[&str], is_stdout: bool) -> (Option<i32>, String) {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(program());
    command.args(arguments).env_clear();
    if is_stdout {
        command.stdout(full());
    } else {
        command.stderr(full());
    }
    let output = command.output().unwrap();
    let text = if is_stdout { output.stderr } else { output.stdout };
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_full_disk_is_said_and_changes_no_other_exit_code() {
    let (code, text) = on_a_full_disk(&["ssh-config"], true);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("autossm: cannot write to standard output: "), "{text}");
    let (code, text) = on_a_full_disk(&["--help"], true);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("autossm: cannot write to standard output: "), "{text}");
    assert_eq!(on_a_full_disk(&["bogus"], false).0, Some(2));
    assert_eq!(on_a_full_disk(&["status", "--socket", "/nowhere"], false).0, Some(3));
}

#[tokio::test]
async fn a_daemon_that_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("autossm")).unwrap();
    let _silent = std::os::unix::net::UnixListener::bind(directory.path().join("autossm/control.sock")).unwrap();
    let mut transcript = Transcript::without_daemon(directory.path());
    let ended = transcript.run("status").await;
    assert_eq!(ended.code, Some(75));
    transcript.check("no-answer");
}

#[tokio::test]
async fn daemons_that_cannot_be() {
    let (simulator, daemon) = attached("").await;
    let mut transcript = Transcript::of(&daemon);
    transcript.say("Two daemons on one socket: the first goes on.");
    let ended = transcript
        .run(&format!("run --config {}/config.toml", daemon.directory().display()))
        .await;
    assert_eq!(ended.code, Some(69));
    transcript.run("wait demo --for up --timeout 0s").await;

    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    transcript.name(&directory.path().display().to_string(), "ELSEWHERE");
    std::fs::write(path("config.toml"), config(&simulator.endpoint_url(), 80, "")).unwrap();
    let run = |socket: &str| {
        let config = path("config.toml").display().to_string();
        format!("run --config {config} --socket {}", path(socket).display())
    };
    transcript.say("A directory others can write to, a symbolic link, a file in the way.");
    std::fs::create_dir(path("open")).unwrap();
    std::fs::set_permissions(path("open"), PermissionsExt::from_mode(0o777)).unwrap();
    symlink(path("open"), path("link")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    for socket in ["open/control.sock", "link/control.sock", "file"] {
        let ended = transcript.run(&run(socket)).await;
        assert_eq!(ended.code, Some(69), "{socket}");
    }
    transcript.say("A directory of one's own that others can replace.");
    for socket in ["open/own/control.sock", "link/own/control.sock"] {
        let ended = transcript.run(&run(socket)).await;
        assert_eq!(ended.code, Some(69), "{socket}");
    }
    transcript.say("A wrong configuration, and none.");
    std::fs::write(path("config.toml"), "[sesion.demo]\n").unwrap();
    transcript.run(&run("control.sock")).await;
    std::fs::remove_file(path("config.toml")).unwrap();
    let ended = transcript.run(&run("control.sock")).await;
    assert_eq!(ended.code, Some(78));
    transcript.check("daemons-that-cannot-be");
}

/// `program` as another user, where we may do that.
fn as_nobody(daemon: &Daemon) -> Option<Command> {
    let mut command = Command::new(program());
    command.uid(NOBODY).gid(NOBODY).env_clear().envs(daemon.environment());
    // The program itself must be reachable for others.
    let reaches = command
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let mut command = Command::new(program());
    command.uid(NOBODY).gid(NOBODY).env_clear().envs(daemon.environment());
    reaches.then_some(command)
}

#[tokio::test]
async fn another_user() {
    let (_simulator, daemon) = attached("").await;
    let Some(mut command) = as_nobody(&daemon) else {
        skipped("this needs to run a program as another user");
        return;
    };
    let output = command.args(["reconnect", "demo"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("is not yours to use"), "{text}");

    // Somebody has opened directory and socket: the daemon still asks who it is.
    for (path, mode) in [("", 0o755), ("autossm", 0o755), ("autossm/control.sock", 0o666)] {
        let path = daemon.directory().join(path);
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let output = as_nobody(&daemon)
        .unwrap()
        .args(["reconnect", "demo"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(
        daemon.log().contains("refused a control connection of another user"),
        "{}",
        daemon.log()
    );
    assert_eq!(daemon.session().await.unwrap().figures.drops, 0);
}

/// Who has put his own socket where ours would be is told nothing.
#[tokio::test]
async fn a_daemon_of_another_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("config.toml"), config("http://127.0.0.1:9", 80, "")).unwrap();
    let theirs = ["", "config.toml"].map(|name| chown(path(name), Some(NOBODY), Some(NOBODY)));
    let mut command = Command::new(program());
    command.uid(NOBODY).gid(NOBODY).env_clear().current_dir("/");
    let reaches =
        theirs.iter().all(Result::is_ok) && command.arg("--version").output().is_ok_and(|it| it.status.success());
    if !reaches {
        skipped("this needs to run a program as another user");
        return;
    }
    let mut daemon = tokio::process::Command::new(program())
        .uid(NOBODY)
        .gid(NOBODY)
        .env_clear()
        .args(["run", "--config"])
        .arg(path("config.toml"))
        .arg("--socket")
        .arg(path("control.sock"))
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let listens = async {
        while UnixStream::connect(path("control.sock")).is_err() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, listens).await.unwrap();
    let mut transcript = Transcript::without_daemon(directory.path());
    for command in ["status", "stop demo"] {
        let ended = transcript
            .run(&format!("{command} --socket {}", path("control.sock").display()))
            .await;
        assert_eq!(ended.code, Some(69), "{command}");
    }
    daemon.kill().await.unwrap();
    transcript.check("a-daemon-of-another-user");
}

/// As under a unit with `PrivateUsers=yes`: other users have no number of their own in there, and ours is what it was.
#[tokio::test]
async fn another_user_of_a_daemon_in_a_user_namespace() {
    let inside = Command::new("unshare").args(["-Ur", "true"]).output();
    if !inside.is_ok_and(|output| output.status.success()) {
        skipped("needs unshare (util-linux) and user namespaces");
        return;
    }
    let program = program().to_string_lossy();
    let before = ["-Ur", &program];
    let daemon = Daemon::start(Path::new("unshare"), &before, &config("http://127.0.0.1:9", 80, ""))
        .await
        .unwrap();
    let Some(mut stranger) = as_nobody(&daemon) else {
        skipped("this needs to run a program as another user");
        return;
    };
    for (path, mode) in [("", 0o755), ("autossm", 0o755), ("autossm/control.sock", 0o666)] {
        let path = daemon.directory().join(path);
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let output = stranger.args(["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(
        daemon.log().contains("refused a control connection of another user"),
        "{}",
        daemon.log()
    );
    let mut own = Command::new(&*program);
    own.env_clear().envs(daemon.environment());
    let output = own.args(["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
