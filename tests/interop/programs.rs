//! The programs that are not ours.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use autossm_sim::Simulator;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::common::field;

/// An agent.
pub(crate) const AGENT: &str = "AUTOSSM_INTEROP_AGENT";
/// A session-manager-plugin.
pub(crate) const PLUGIN: &str = "AUTOSSM_INTEROP_PLUGIN";
/// The AWS CLI.
pub(crate) const AWS: &str = "AUTOSSM_INTEROP_AWS";

/// The program a variable names; without one the test must end, and this says so where no harness hides it.
pub(crate) fn program(variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|value| !value.is_empty());
    if named.is_none() {
        let thread = std::thread::current();
        let text = format!(
            "SKIPPED {}: {variable} names no program\n",
            thread.name().unwrap_or_default()
        );
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    named.map(PathBuf::from)
}

/// Says what was measured, where no harness hides it.
pub(crate) fn report(text: &str) {
    let thread = std::thread::current();
    let text = format!("MEASURED {}: {text}\n", thread.name().unwrap_or_default());
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// A directory in which `session-manager-plugin` is that program.
pub(crate) fn path_with(plugin: &Path) -> (tempfile::TempDir, OsString) {
    let directory = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
    std::os::unix::fs::symlink(plugin, directory.path().join("session-manager-plugin")).unwrap();
    let mut path = OsString::from(directory.path());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    (directory, path)
}

/// Only what these programs need, so that nothing of the machine's own AWS set-up is used.
pub(crate) fn clean(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The plugin as the CLI starts it, for a session that has just been started.
pub(crate) fn start_plugin(plugin: &Path, home: &Path, simulator: &Simulator, grant: &Value, request: &Value) -> Child {
    assert!(!field(grant, "TokenValue").is_empty());
    clean(plugin, home)
        .arg(grant.to_string())
        .args(["eu-west-1", "StartSession", ""])
        .arg(request.to_string())
        .arg(simulator.endpoint_url())
        .spawn()
        .unwrap()
}
