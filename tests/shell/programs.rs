//! Full-screen programs in a real terminal: tmux shows the same with `autossm attach` as with the program itself.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

use crate::support::{comes_true, skipped};
use crate::{Bench, program};

/// A tmux server of its own; killed with its value.
struct Tmux {
    socket: PathBuf,
    directory: tempfile::TempDir,
}

impl Tmux {
    /// None without tmux or one of these programs, which is said.
    fn start(programs: &[&str]) -> Option<Self> {
        for program in [&["tmux"], programs].concat() {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .any(|directory| directory.join(program).is_file());
            if !found {
                skipped(&format!("{program} is not installed"));
                return None;
            }
        }
        let directory = tempfile::Builder::new().prefix("autossm-tmux-").tempdir().unwrap();
        Some(Self {
            socket: directory.path().join("socket"),
            directory,
        })
    }

    async fn ask(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-f", "/dev/null", "-S"])
            .arg(&self.socket)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A window of this size with this command.
    async fn window(&self, name: &str, (rows, cols): (u16, u16), command: &str) {
        let (rows, cols) = (rows.to_string(), cols.to_string());
        self.ask(&["new-session", "-d", "-s", name, "-x", &cols, "-y", &rows, command])
            .await;
        self.ask(&["set-option", "-g", "status", "off"]).await;
        self.ask(&["resize-window", "-t", name, "-x", &cols, "-y", &rows]).await;
    }

    async fn keys(&self, name: &str, keys: &[&str]) {
        self.ask(&[&["send-keys", "-t", name], keys].concat()).await;
    }

    /// What a window shows, with its colours.
    async fn shows(&self, name: &str) -> String {
        self.ask(&["capture-pane", "-p", "-e", "-t", name]).await
    }

    async fn reads(&self, name: &str, text: &str) {
        let read = comes_true(async || self.shows(name).await.contains(text)).await;
        assert!(read, "{text:?} is not shown by {name}, but\n{}", self.shows(name).await);
    }

    /// Waits until two windows show the same, line by line.
    async fn same(&self, one: &str, other: &str, what: &str) {
        let same = comes_true(async || plain(&self.shows(one).await) == plain(&self.shows(other).await)).await;
        assert!(
            same,
            "{what}: one shows\n{}\nthe other\n{}",
            self.shows(one).await,
            self.shows(other).await
        );
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let killed = std::process::Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
        drop(killed);
    }
}

/// Without the ways in which the same colours can be written: the text and which of it is highlighted.
fn plain(captured: &str) -> Vec<String> {
    let colours = regex_lite::Regex::new("\u{1b}\\[[0-9;:]*m|\u{f}|\u{e}").unwrap();
    captured
        .lines()
        .map(|line| colours.replace_all(line, "").trim_end().to_owned())
        .collect()
}

/// `autossm attach` as a command line.
fn attach(bench: &Bench) -> String {
    let variables = bench.daemon.environment();
    let variables: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}={}", value.display()))
        .collect();
    format!("env {} {} attach build", variables.join(" "), program().display())
}

/// The same keys to the program itself and to the one behind the session, with a cut in the middle, a detach and another
/// size at the end; a `steady` program shows the same before the first of them and in another size, too.
async fn shows_the_same((tool, steady): (&str, bool), command: &str, begins: &str, keys: &[&[&str]]) {
    let Some(tmux) = Tmux::start(&[tool]) else {
        return;
    };
    let bench = Bench::start().await;
    tmux.window("far", (24, 80), &attach(&bench)).await;
    tmux.reads("far", "$").await;
    tmux.window("near", (24, 80), &format!("env TERM=xterm-256color {command}"))
        .await;
    tmux.keys("far", &[command, "Enter"]).await;
    for window in ["near", "far"] {
        tmux.reads(window, begins).await;
    }
    if steady {
        tmux.same("near", "far", "at the beginning").await;
    }
    for (number, keys) in keys.iter().enumerate() {
        bench.cut(1500).await;
        tmux.reads("far", "[autossm] build").await;
        for window in ["near", "far"] {
            tmux.keys(window, keys).await;
        }
        tmux.same("near", "far", &format!("after keys {number}")).await;
    }
    tmux.ask(&["kill-session", "-t", "far"]).await;
    tmux.window("far", (30, 100), &attach(&bench)).await;
    tmux.ask(&["resize-window", "-t", "near", "-x", "100", "-y", "30"])
        .await;
    if steady {
        tmux.same("near", "far", "at another size").await;
    } else {
        tmux.reads("far", begins).await;
    }
}

fn text(directory: &Path) -> PathBuf {
    let path = directory.join("text");
    let lines: String = (1..=200)
        .map(|number| format!("Zeile {number}: äöü 漢字 {}\n", "x".repeat(number % 90)))
        .collect();
    std::fs::write(&path, lines).unwrap();
    path
}

#[tokio::test]
async fn vim() {
    let directory = tempfile::tempdir().unwrap();
    let command = format!("vim -u NONE -N -n {}", text(directory.path()).display());
    let keys: [&[&str]; 3] = [
        &["50G", "yy", "p"],
        &["o", "typed during a drop äöü", "Escape"],
        &[":vsplit", "Enter", "G", "zz"],
    ];
    shows_the_same(("vim", true), &command, "Zeile 20", &keys).await;
}

#[tokio::test]
async fn less() {
    let directory = tempfile::tempdir().unwrap();
    let command = format!("less {}", text(directory.path()).display());
    let keys: [&[&str]; 3] = [&["Space", "Space"], &["/Zeile 15", "Enter"], &["G"]];
    shows_the_same(("less", true), &command, "Zeile 20", &keys).await;
}

/// Its figures are never the same, but its help is, which another size ends.
#[tokio::test]
async fn htop() {
    shows_the_same(("htop", false), "htop -d 100", "Mem", &[&["F1"]]).await;
}
