//! `credential_process`: a program of the user's that prints credentials.
//!
//! The SDK would run it too, but waits for it as long as it takes and leaves its children behind.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A person may have to touch a key or to confirm on a telephone meanwhile; more is a program that hangs.
pub(super) const HELPER_LIMIT: Duration = Duration::from_secs(60);
/// What a helper has written is in its pipes when it has ended: to read that takes no longer.
const REST_LIMIT: Duration = Duration::from_secs(1);
/// Credentials have less than a kilobyte.
const LONGEST_OUTPUT: u64 = 64 << 10;
/// Of what the program complains about, so many characters are shown.
const LONGEST_COMPLAINT: usize = 200;

/// The variables of this process that are themselves credentials. A helper gives credentials and is given none; the
/// rest it needs, above all the way to the network.
const KEYS: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// Runs the program of one profile. Dropping the future kills it with all it has started.
pub(super) struct ProcessCredentials {
    command: String,
    limit: Duration,
}

/// Why there are no credentials from a helper; no text holds its standard output.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelperError {
    #[error("credential_process cannot be started: {0}")]
    NotStarted(#[source] std::io::Error),
    #[error("credential_process did not answer within {}s and was killed", .0.as_secs())]
    Hangs(Duration),
    #[error("credential_process failed ({status}){complaint}")]
    Failed {
        status: ExitStatus,
        /// With a colon before it, or empty.
        complaint: String,
    },
    #[error("credential_process printed what are no credentials: {0}")]
    Garbage(&'static str),
    #[error("the output of credential_process was lost: {0}")]
    Lost(#[source] std::io::Error),
}

/// What a helper prints; it may print more than is known here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

impl ProcessCredentials {
    pub(super) const fn new(command: String) -> Self {
        Self {
            command,
            limit: HELPER_LIMIT,
        }
    }

    async fn run(&self) -> Result<Credentials, HelperError> {
        let mut helper = Helper::start(&self.command)?;
        let answered = timeout(self.limit, helper.answer()).await;
        // Also what it has started and left running: nobody else would end that.
        helper.kill();
        let (status, output, complaint) = answered.or(Err(HelperError::Hangs(self.limit)))??;
        if status.success() {
            parse(&output)
        } else {
            Err(HelperError::Failed {
                status,
                complaint: shown(&complaint),
            })
        }
    }

    async fn provide(&self) -> provider::Result {
        self.run().await.map_err(CredentialsError::provider_error)
    }
}

impl ProvideCredentials for ProcessCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

/// Its arguments may be secret.
impl fmt::Debug for ProcessCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCredentials").finish_non_exhaustive()
    }
}

/// A running helper; killed with its process group when it is dropped.
#[derive(Debug)]
struct Helper {
    child: Child,
    group: Option<Pid>,
}

impl Helper {
    fn start(command: &str) -> Result<Self, HelperError> {
        let mut shell = Command::new("sh");
        for name in KEYS {
            shell.env_remove(name);
        }
        let child = shell
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, which its children are in as well.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(HelperError::NotStarted)?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, group })
    }

    /// Its status, standard output and standard error, once it has ended. Children that hold these open are not waited
    /// for.
    async fn answer(&mut self) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), HelperError> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        let status = {
            let reading = async {
                let read = tokio::join!(read(stdout, &mut output), read(stderr, &mut complaint));
                read.0.and(read.1)
            };
            tokio::pin!(reading);
            let mut whole = None;
            let status = loop {
                tokio::select! {
                    status = self.child.wait() => break status.map_err(HelperError::Lost)?,
                    read = &mut reading, if whole.is_none() => whole = Some(read),
                }
            };
            let whole = match whole {
                Some(read) => read,
                None => {
                    // What it wrote is in the pipe already; a child of its may keep the pipe open for ever, and one in a
                    // session of its own is not killed with the group. No end of the pipe is no failure then.
                    kill_group(&mut self.group);
                    timeout(REST_LIMIT, reading).await.unwrap_or(Ok(()))
                }
            };
            whole.map_err(HelperError::Lost)?;
            status
        };
        Ok((status, output, complaint))
    }

    fn kill(&mut self) {
        kill_group(&mut self.group);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Once: later the number may be somebody else's.
fn kill_group(group: &mut Option<Pid>) {
    if let Some(group) = group.take()
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        // Nothing of it is left, which is how it should be.
        tracing::trace!(%error, "no process group of a helper to kill");
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> std::io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut pipe = pipe.take(LONGEST_OUTPUT);
    // Piece by piece: whoever stops waiting finds what has come until then.
    while pipe.read_buf(into).await? > 0 {}
    // The rest is thrown away, so that a helper which says too much does not stand still.
    tokio::io::copy(&mut pipe.into_inner(), &mut tokio::io::sink()).await?;
    Ok(())
}

fn parse(output: &[u8]) -> Result<Credentials, HelperError> {
    // The parser's own words would quote what may be a key.
    let printed: Printed =
        serde_json::from_slice(output).or(Err(HelperError::Garbage("it is not the JSON of a credential_process")))?;
    if printed.version != 1 {
        return Err(HelperError::Garbage("its Version is not 1"));
    }
    if printed.access_key_id.is_empty() || printed.secret_access_key.is_empty() {
        return Err(HelperError::Garbage("a key is empty"));
    }
    let expiry = printed.expiration.filter(|text| !text.is_empty()).map(|text| {
        let date = DateTime::from_str(&text, Format::DateTimeWithOffset).ok()?;
        date.try_into().ok()
    });
    if expiry == Some(None) {
        return Err(HelperError::Garbage("its Expiration is no date"));
    }
    Ok(Credentials::new(
        printed.access_key_id,
        printed.secret_access_key,
        printed.session_token,
        expiry.flatten(),
        "credential_process",
    ))
}

/// The last line of what it complained about, which is usually the reason.
fn shown(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map_or_else(String::new, |line| {
        let line: String = line
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_COMPLAINT)
            .collect();
        format!(": {line}")
    })
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
