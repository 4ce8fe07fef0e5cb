//! What was typed and what came back, compared with a file.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex_lite::Regex;
use tokio::process::Command;

use crate::program;
use crate::support::daemon::{Daemon, PATIENCE};

/// A growing transcript.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
    environment: Vec<(String, PathBuf)>,
    /// Texts that differ from run to run, and what stands for them.
    names: Vec<(String, &'static str)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
}

impl Transcript {
    /// Of commands to this daemon.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let mut transcript = Self::default();
        transcript.name(&daemon.directory().display().to_string(), "DIR");
        for (name, value) in daemon.environment() {
            transcript.set(name, &value);
        }
        transcript
    }

    /// Of commands in an empty directory.
    pub(crate) fn without_daemon(directory: &Path) -> Self {
        let mut transcript = Self::default();
        transcript.name(&directory.display().to_string(), "DIR");
        transcript.set("HOME", directory);
        transcript.set("XDG_RUNTIME_DIR", directory);
        transcript
    }

    /// Gives the commands a variable.
    pub(crate) fn set(&mut self, name: &str, value: &Path) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable away from the commands.
    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Writes `name` for `text`.
    pub(crate) fn name(&mut self, text: &str, name: &'static str) {
        self.names.push((text.to_owned(), name));
    }

    /// A line of explanation.
    pub(crate) fn say(&mut self, words: &str) {
        writeln!(self.text, "# {words}").unwrap();
    }

    /// Runs `autossm` with these arguments and writes down what it said.
    pub(crate) async fn run(&mut self, arguments: &str) -> Ended {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        self.run_words(arguments, &words).await
    }

    /// The same with arguments that are no plain words; `typed` is how a shell is given them.
    pub(crate) async fn run_words(&mut self, typed: &str, arguments: &[&str]) -> Ended {
        let child = Command::new(program())
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, child).await.unwrap().unwrap();
        let (stdout, stderr) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        writeln!(self.text, "$ autossm {typed}").unwrap();
        self.text.push_str(&stdout);
        for line in stderr.lines() {
            writeln!(self.text, "2> {line}").unwrap();
        }
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            writeln!(self.text, "exit code {code}").unwrap();
        }
        self.text.push('\n');
        Ended {
            code: output.status.code(),
        }
    }

    /// Compares it with `snapshots/NAME.txt`, or writes that file.
    pub(crate) fn check(self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/snapshots/{name}.txt"));
        let text = self.normal();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, text).unwrap();
            return;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == expected,
            "not as in {}; UPDATE_SNAPSHOTS=1 writes it anew. Now it is:\n{text}",
            path.display()
        );
    }

    /// Without what differs from run to run.
    fn normal(&self) -> String {
        let mut text = self.text.clone();
        for (from, to) in &self.names {
            text = text.replace(from, to);
        }
        for (pattern, replacement) in [
            (r"127\.0\.0\.1:\d{4,5}\b", "127.0.0.1:PORT"),
            (r"\bsim-[0-9a-f]{17}\b", "SESSION-ID"),
            (r#""(unix_ms|pid|\w+_ms|\w+_us|resent|duplicates)": ?\d+"#, "\"$1\":N"),
            (r#""version": ?"[0-9.]+""#, "\"version\":\"V\""),
            (r"\b\d+\.\d ms\b", "N ms"),
            (r"\b\d+(ms|s)\b ago", "TIME ago"),
            (r"for \d+(ms|s)\b", "for TIME"),
            (r"(?m)^(\w+ago +)?(\S.*  )\d+(ms|s)(  )", "$1${2}TIME$4"),
            (r"\b\d+(ms|s)  ", "TIME  "),
            // Columns are as wide as what was replaced.
            (r"(\S) {2,}", "$1  "),
        ] {
            text = Regex::new(pattern)
                .unwrap()
                .replace_all(&text, replacement)
                .into_owned();
        }
        text
    }
}
