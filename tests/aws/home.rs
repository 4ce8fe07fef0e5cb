//! A home directory with an `.aws`, and the daemon that lives in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use autossm::control::Client;
use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use tokio::process::{Child, Command};

use crate::program;
use crate::support::daemon::PATIENCE;

/// Removed with its value.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    /// What the daemon finds in its environment besides the paths.
    variables: Vec<(String, String)>,
}

/// A daemon in a home; killed with its value.
pub(crate) struct Daemon {
    child: Child,
    client: Client,
    log: PathBuf,
}

impl Home {
    /// Without profiles and without credentials.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("autossm-").tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join(".aws/sso/cache")).unwrap();
        let home = Self {
            directory,
            variables: Vec::new(),
        };
        home.with("AWS_EC2_METADATA_DISABLED", "true")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file as a careful program does: whole, or not at all.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = path.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// `~/.aws/config`.
    pub(crate) fn aws_config(&self, content: &str) {
        self.write(".aws/config", content);
    }

    /// A profile with keys; the last one written counts.
    pub(crate) fn keys(&self, profile: &str, access_key: &str) {
        self.write(
            ".aws/credentials",
            &format!(
                "[{profile}]\naws_access_key_id = {access_key}\naws_secret_access_key = secret\naws_session_token = token\n"
            ),
        );
    }

    /// A shell script; gives its path.
    pub(crate) fn script(&self, name: &str, body: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    /// What `autossm` in this home is to be called with.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        let path = self.directory.path();
        command
            .args(arguments)
            .env_clear()
            .env("HOME", path)
            .env("XDG_RUNTIME_DIR", path)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(path)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Standard output, standard error and exit code of a command.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (String, String, Option<i32>) {
        let output = self.command(arguments).output();
        let output = tokio::time::timeout(PATIENCE, output).await.unwrap().unwrap();
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
            output.status.code(),
        )
    }

    /// autossm's own configuration.
    pub(crate) fn configure(&self, text: &str) {
        let path = self.path(".config/autossm");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("config.toml"), text).unwrap();
    }

    /// A daemon with this configuration.
    pub(crate) async fn daemon(&self, config: &str) -> Daemon {
        self.configure(config);
        let log = self.path("log");
        let file = std::fs::File::create(&log).unwrap();
        let child = self
            .command(&["run", "--log", "debug"])
            .stdout(std::process::Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let client = Client::new(&self.path("autossm/control.sock"));
        let daemon = Daemon { child, client, log };
        daemon
            .until("an answer", async || daemon.client.status().await.is_ok())
            .await;
        daemon
    }
}

impl Daemon {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it at once and waits until it is gone, so that another one may live in its home.
    pub(crate) async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn sessions(&self) -> Vec<SessionStatus> {
        self.client.status().await.unwrap().sessions
    }

    /// The first session.
    pub(crate) async fn session(&self) -> SessionStatus {
        self.sessions().await.remove(0)
    }

    /// Waits until it holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let wait = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !holds().await {
                ticks.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what}: not in time; the daemon's log:\n{}", self.log());
        }
    }

    /// Waits until the first session is in this phase, and its cause has this text.
    pub(crate) async fn until_phase(&self, phase: Phase, cause: &str) -> SessionStatus {
        let what = format!("{phase}: {cause}");
        self.until(&what, async || {
            let session = self.session().await;
            session.phase == phase && session.cause.contains(cause)
        })
        .await;
        self.session().await
    }

    pub(crate) async fn attached(&self) {
        self.until_phase(Phase::Attached, "").await;
    }

    /// A login is needed, and this helps.
    pub(crate) async fn awaits_login(&self, cause: &str) -> SessionStatus {
        self.until_phase(Phase::AwaitingLogin, cause).await
    }
}

/// A configuration with one forward.
pub(crate) fn config(defaults: &str, target: &str, port: u16) -> String {
    format!(
        "[defaults]\n{defaults}\non_end = \"restart\"\ntimings = {{ ping_interval = \"2s\", ping_timeout = \"2s\" }}\n\
         [session.demo]\ntarget = \"{target}\"\nforward = {{ listen = \"127.0.0.1:0\", port = {port} }}\n"
    )
}

/// The lines of a log with this word.
pub(crate) fn lines<'l>(log: &'l str, word: &str) -> Vec<&'l str> {
    log.lines().filter(|line| line.contains(word)).collect()
}

/// Whether a process with this number is there and does anything.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim().chars().next();
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// A figure for whoever runs the test with `--nocapture`.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}
