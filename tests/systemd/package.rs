//! The .deb: built of the program under test, installed into a root of its own, used and removed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use autossm_sim::Simulator;

use crate::machine::text;
use crate::support::daemon::{Daemon, config};
use crate::support::skipped;

/// A directory with the package in it, and the root it is installed into.
struct Root {
    directory: tempfile::TempDir,
}

impl Root {
    /// None, said loudly, where that cannot be.
    fn new() -> Option<Self> {
        let is_there = |program: &str| {
            let tried = Command::new(program).arg("--version").output();
            tried.is_ok_and(|output| output.status.success())
        };
        if !rustix::process::geteuid().is_root() {
            skipped("needs root, for dpkg");
            return None;
        }
        if let Some(program) = ["dpkg", "cargo-deb"].into_iter().find(|program| !is_there(program)) {
            skipped(&format!("needs {program}; cargo install --locked cargo-deb"));
            return None;
        }
        let directory = tempfile::Builder::new().prefix("autossm-package-").tempdir().unwrap();
        let root = Self { directory };
        for place in ["updates", "info"] {
            fs::create_dir_all(root.path("var/lib/dpkg").join(place)).unwrap();
        }
        fs::write(root.path("var/lib/dpkg/status"), "").unwrap();
        // The program under test in the place of the one that is shipped.
        let release = root.directory.path().join("target/release");
        fs::create_dir_all(&release).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_autossm"), release.join("autossm")).unwrap();
        Some(root)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.directory.path().join("root").join(inside)
    }

    /// Makes the package, and gives its path.
    fn build(&self, name: &str) -> PathBuf {
        let package = self.directory.path().join(name);
        let output = Command::new("cargo-deb")
            .args([
                "--no-build",
                "--no-strip",
                "--fast",
                "--locked",
                "--offline",
                "--quiet",
                "--output",
            ])
            .arg(&package)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", self.directory.path().join("target"))
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap();
        succeeded("cargo-deb", &output);
        package
    }

    fn dpkg(&self, arguments: &[&str]) {
        let output = Command::new("dpkg")
            .arg(format!("--root={}", self.directory.path().join("root").display()))
            // There is no libc in it.
            .args(["--force-depends", "--log=/dev/null"])
            .args(arguments)
            .output()
            .unwrap();
        succeeded("dpkg", &output);
    }

    /// Every file in it but those of dpkg, with its mode.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        collect(&self.path(""), &self.path(""), &mut files);
        files.retain(|file| !file.contains(" var/lib/dpkg/"));
        files.sort();
        files
    }
}

fn collect(directory: &Path, root: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            collect(&path, root, files);
        } else {
            let mode = metadata.permissions().mode() & 0o7777;
            files.push(format!("{mode:o} {}", path.strip_prefix(root).unwrap().display()));
        }
    }
}

fn succeeded(what: &str, output: &Output) -> String {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{what} ended with {}:\n{stdout}{stderr}",
        output.status
    );
    stdout
}

/// Runs a line of a shell; none, said loudly, where there is no such program.
fn shell(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).env("MANPAGER", "cat").output() {
        Ok(output) => Some(succeeded(&format!("{program} {arguments:?}"), &output) + &text(&output.stderr)),
        Err(_) => {
            skipped(&format!("needs {program}"));
            None
        }
    }
}

#[tokio::test]
async fn a_package_is_installed_used_and_removed() {
    let Some(root) = Root::new() else { return };
    let package = root.build("one.deb");
    let again = root.build("two.deb");
    assert!(
        fs::read(&package).unwrap() == fs::read(again).unwrap(),
        "the same files, not the same package"
    );
    // What an administrator has written.
    fs::create_dir_all(root.path("etc/autossm")).unwrap();
    fs::write(root.path("etc/autossm/config.toml"), "").unwrap();
    root.dpkg(&["--install", package.to_str().unwrap()]);

    let files = root.files();
    for file in [
        "755 usr/bin/autossm",
        "644 usr/lib/systemd/user/autossm.service",
        "644 usr/lib/systemd/user/autossm-listen@.socket",
        "644 usr/lib/systemd/system/autossm@.service",
        "644 usr/lib/systemd/catalog/autossm.catalog",
        "644 usr/share/man/man1/autossm.1.gz",
        "644 usr/share/man/man1/autossm-service-install.1.gz",
        "644 usr/share/man/man5/autossm.toml.5.gz",
        "644 usr/share/man/man8/autossm-run.8.gz",
        "644 usr/share/bash-completion/completions/autossm",
        "644 usr/share/zsh/vendor-completions/_autossm",
        "644 usr/share/fish/vendor_completions.d/autossm.fish",
        "644 usr/share/doc/autossm/examples/autossm.toml",
        "644 usr/share/doc/autossm/copyright",
    ] {
        assert!(files.iter().any(|found| found == file), "{file} is not in {files:#?}");
    }
    let enabled = |file: &&String| file.contains("etc/systemd") || file.contains(".wants/");
    assert_eq!(files.iter().find(enabled), None);
    manual_pages(&root);
    completions(&root);
    runs(&root).await;

    root.dpkg(&["--purge", "autossm"]);
    assert_eq!(root.files(), ["644 etc/autossm/config.toml"]);
}

fn manual_pages(root: &Root) {
    for section in ["1", "5", "8"] {
        for page in fs::read_dir(root.path("usr/share/man").join(format!("man{section}"))).unwrap() {
            let page = page.unwrap().path();
            let page = page.to_str().unwrap();
            let Some(warnings) = shell("man", &["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page]) else {
                return;
            };
            assert!(!warnings.contains("warning"), "{page}: {warnings}");
            let shown = shell("man", &["-l", page]).unwrap();
            assert!(shown.contains("NAME") && shown.contains("autossm"), "{page}: {shown}");
        }
    }
}

fn completions(root: &Root) {
    let path = |inside: &str| root.path("usr/share").join(inside).display().to_string();
    let bash = format!(
        ". {} && COMP_WORDS=(autossm st) COMP_CWORD=1 && _autossm autossm st autossm && echo \"${{COMPREPLY[@]}}\"",
        path("bash-completion/completions/autossm")
    );
    if let Some(said) = shell("bash", &["--norc", "-c", &bash]) {
        assert_eq!(said.trim(), "status start stop");
    }
    let zsh = format!(
        "fpath=({} $fpath) && autoload -U compinit && compinit -u -D && echo $_comps[autossm] && autoload +X _autossm",
        path("zsh/vendor-completions")
    );
    if let Some(said) = shell("zsh", &["-f", "-c", &zsh]) {
        assert_eq!(said.lines().next(), Some("_autossm"), "{said}");
    }
    let fish = format!(
        "source {} && complete -C 'autossm st'",
        path("fish/vendor_completions.d/autossm.fish")
    );
    if let Some(said) = shell("fish", &["--no-config", "-c", &fish]) {
        assert!(
            said.contains("status") && said.contains("stop") && !said.contains("reload"),
            "{said}"
        );
    }
}

/// The installed program, with the installed sample and with a session of the simulator.
async fn runs(root: &Root) {
    let program = root.path("usr/bin/autossm");
    let sample = root.path("usr/share/doc/autossm/examples/autossm.toml");
    let checked = shell(
        program.to_str().unwrap(),
        &["check", "--config", sample.to_str().unwrap()],
    )
    .unwrap();
    assert!(
        checked.contains("is right") && checked.contains("orders-db"),
        "{checked}"
    );
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let daemon = Daemon::start(&program, &[], &config(&simulator.endpoint_url(), 80, ""))
        .await
        .unwrap();
    daemon.attached().await.unwrap();
    assert_eq!(daemon.terminate().await.unwrap(), Some(0));
}
