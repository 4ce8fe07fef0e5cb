//! Commands without a daemon, wrong usage, and daemons that cannot be.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::support::daemon::{Daemon, config};
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
