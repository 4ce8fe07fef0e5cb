//! The real program as a child process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use autossm::control::Client;
use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// How long anything a test waits for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// `autossm run` with a configuration of its own; killed with its value.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    directory: tempfile::TempDir,
    client: Client,
}

impl Daemon {
    /// Starts `program run`, with `before` in front of `run`, and waits until it answers.
    pub(crate) async fn start(program: &Path, before: &[&str], config: &str) -> anyhow::Result<Self> {
        Self::with(program, before, &["--log", "info"], &[], config).await
    }

    /// The same, with `after` behind `run` and more in its environment.
    pub(crate) async fn with(
        program: &Path,
        before: &[&str],
        after: &[&str],
        more: &[(&str, &str)],
        config: &str,
    ) -> anyhow::Result<Self> {
        Self::heard_by(
            |log| Ok(std::fs::File::create(log)?.into()),
            program,
            (before, after),
            more,
            config,
        )
        .await
    }

    /// With all its log in a pipe that nobody reads.
    pub(crate) async fn unheard(program: &Path, config: &str) -> anyhow::Result<Self> {
        let after = ["--log", "trace"];
        Self::heard_by(|_| Ok(Stdio::piped()), program, (&[], &after), &[], config).await
    }

    async fn heard_by(
        stderr: impl FnOnce(&Path) -> anyhow::Result<Stdio>,
        program: &Path,
        (before, after): (&[&str], &[&str]),
        more: &[(&str, &str)],
        config: &str,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("autossm-").tempdir()?;
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("config.toml"), config)?;
        std::fs::write(path("aws-config"), "")?;
        let child = Command::new(program)
            .args(before)
            .args(["run", "--config"])
            .arg(path("config.toml"))
            .args(after)
            .env_clear()
            .envs(environment(directory.path()))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr(&path("log"))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let client = Client::new(&path("autossm/control.sock"));
        let mut daemon = Self {
            child,
            directory,
            client,
        };
        daemon.until_it_answers().await?;
        Ok(daemon)
    }

    async fn until_it_answers(&mut self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut deadline => bail!("the daemon does not answer; its log:\n{}", self.log()),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon has ended with {status}; its log:\n{}", self.log());
            }
            if self.client.status().await.is_ok() {
                return Ok(());
            }
        }
    }

    /// The directory that holds its files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until its log looks as described.
    pub(crate) async fn said(&self, holds: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            while !holds(&self.log()) {
                ticks.tick().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("not said within {PATIENCE:?}; the daemon's log:\n{}", self.log()),
        }
    }

    /// The environment in which another `autossm` talks to this one.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        environment(self.directory.path())
    }

    /// Asks it.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Writes another configuration to its place; it is not read before a reload.
    pub(crate) fn write_config(&self, config: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.directory().join("config.toml"), config)?)
    }

    /// Its first session.
    pub(crate) async fn session(&self) -> anyhow::Result<SessionStatus> {
        let status = self.client.status().await?;
        status
            .sessions
            .into_iter()
            .next()
            .context("the daemon holds no session")
    }

    /// Waits until the first session is attached.
    pub(crate) async fn attached(&self) -> anyhow::Result<SessionStatus> {
        self.wait_until("attached", |session| session.phase == Phase::Attached)
            .await
    }

    /// Waits until the first session looks as described.
    pub(crate) async fn wait_until(
        &self,
        what: &str,
        mut holds: impl FnMut(&SessionStatus) -> bool,
    ) -> anyhow::Result<SessionStatus> {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let wait = async {
            loop {
                ticks.tick().await;
                let session = self.session().await;
                let session = session.with_context(|| format!("{what}; the daemon's log:\n{}", self.log()))?;
                if holds(&session) {
                    return Ok(session);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(session) => session,
            Err(_) => bail!("{what}: not within {PATIENCE:?}; the daemon's log:\n{}", self.log()),
        }
    }

    /// Where the first session listens; waits until it does.
    pub(crate) async fn listener(&self) -> anyhow::Result<SocketAddr> {
        let session = self
            .wait_until("a listener", |session| !session.listeners.is_empty())
            .await?;
        session.listeners[0]
            .parse()
            .with_context(|| format!("{:?} is no address", session.listeners))
    }

    /// Where the session with this name listens; waits until it does.
    pub(crate) async fn listener_of(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            loop {
                ticks.tick().await;
                let sessions = self.client.status().await?.sessions;
                let found = sessions.iter().find(|session| session.name == name);
                if let Some(address) = found.and_then(|session| session.listeners.first()) {
                    return address.parse().with_context(|| format!("{address:?} is no address"));
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(address) => address,
            Err(_) => bail!(
                "{name} does not listen; the daemon's log:
{}",
                self.log()
            ),
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self
            .pid()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        Ok(kill_process(pid.context("the daemon has ended")?, signal)?)
    }

    /// Asks it to end, as systemd does, and waits; gives its exit code.
    pub(crate) async fn terminate(self) -> anyhow::Result<Option<i32>> {
        self.signal(Signal::TERM)?;
        Ok(self.ended().await?.0)
    }

    /// Waits for its end; gives its exit code and its log.
    pub(crate) async fn ended(mut self) -> anyhow::Result<(Option<i32>, String)> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("the daemon does not end")??;
        Ok((status.code(), self.log()))
    }
}

/// Only what the daemon needs, so that nothing of the machine's own AWS set-up is used.
fn environment(directory: &Path) -> Vec<(&'static str, PathBuf)> {
    let path = |name: &str| directory.join(name);
    vec![
        ("XDG_RUNTIME_DIR", directory.to_owned()),
        ("HOME", directory.to_owned()),
        ("AWS_CONFIG_FILE", path("aws-config")),
        ("AWS_SHARED_CREDENTIALS_FILE", path("aws-config")),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".into()),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret".into()),
        ("AWS_SESSION_TOKEN", "not-a-token".into()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
    ]
}

/// A configuration with one forward on a free port.
pub(crate) fn config(endpoint_url: &str, port: u16, more: &str) -> String {
    format!(
        "[defaults]\nregion = \"eu-west-1\"\nendpoint_url = \"{endpoint_url}\"\n\n\
         [session.demo]\ntarget = \"i-0123456789abcdef0\"\n\
         forward = {{ listen = \"127.0.0.1:0\", port = {port} }}\n{more}"
    )
}
