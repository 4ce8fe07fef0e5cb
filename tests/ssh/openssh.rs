//! An sshd of our own: loopback, its own keys, the user who runs the tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::daemon::PATIENCE;
use crate::support::skipped;

/// A program that must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Rsync,
    Git,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) user: String,
    log: PathBuf,
    _child: Child,
}

/// Where the program is, searched as a shell would, and where Debian has its daemons.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

async fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Server {
    /// Its files, and the client's key, go into `directory`. None where something is missing, which is said.
    pub(crate) async fn start(directory: &Path, tools: &[Tool]) -> Option<Self> {
        let mut needed = vec!["ssh", "sshd", "ssh-keygen", "scp"];
        needed.extend(tools.iter().map(|tool| match tool {
            Tool::Rsync => "rsync",
            Tool::Git => "git",
        }));
        let missing: Vec<&str> = needed.into_iter().filter(|name| find(name).is_none()).collect();
        if !missing.is_empty() {
            skipped(&format!("needs {}", missing.join(", ")));
            return None;
        }
        // As root sshd wants the directory that Debian's service makes for it.
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let path = |name: &str| directory.join(name).display().to_string();
        for key in ["host_key", "client_key"] {
            output("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).await;
        }
        let port = free_port();
        // Nothing of the user's own shell: what its start-up files print would be taken for the command's words.
        let text = format!(
            "SetEnv \"HOME={home}\" \"PATH={path}\"\nListenAddress 127.0.0.1\nPort {port}\nHostKey {host}\nAuthorizedKeysFile {keys}\nPidFile none\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\nPrintMotd no\n\
             MaxStartups 500\nMaxSessions 100\nLogLevel VERBOSE\nSubsystem sftp internal-sftp\n",
            home = directory.display(),
            path = std::env::var("PATH").unwrap_or_default(),
            host = path("host_key"),
            keys = path("client_key.pub"),
        );
        std::fs::write(path("server_config"), text).unwrap();
        let log = directory.join("server_log");
        let child = Command::new(find("sshd").unwrap())
            .args(["-D", "-e", "-f", &path("server_config")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let server = Self {
            port,
            user: output("id", &["-un"]).await,
            log,
            _child: child,
        };
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let wait = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                ticks.tick().await;
            }
        };
        let up = tokio::time::timeout(PATIENCE, wait).await;
        assert!(up.is_ok(), "sshd does not listen:\n{}", server.log());
        Some(server)
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// sshd cannot tell which port it was given.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
