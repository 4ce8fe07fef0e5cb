//! A D-Bus daemon of the test's own.

use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use zbus::Connection;

use crate::support::daemon::PATIENCE;
use crate::support::skipped;

/// A bus on which everybody may be anybody.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@DIRECTORY@/bus</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"#;

/// It serves as a system bus or as a session bus; killed with its value.
pub(crate) struct Bus {
    directory: TempDir,
    process: Option<Child>,
}

impl Bus {
    /// None, said loudly, where there is no dbus-daemon.
    pub(crate) async fn start() -> Option<Self> {
        let mut bus = Self {
            directory: tempfile::Builder::new().prefix("autossm-").tempdir().unwrap(),
            process: None,
        };
        bus.run().await.then_some(bus)
    }

    pub(crate) async fn run(&mut self) -> bool {
        let path = |name: &str| self.directory.path().join(name);
        let config = BUS.replace("@DIRECTORY@", self.directory.path().to_str().unwrap());
        std::fs::write(path("bus.conf"), config).unwrap();
        let log = std::fs::File::create(path("bus.log")).unwrap();
        let child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", path("bus.conf").display()))
            .args(["--nofork", "--nopidfile"])
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = child else {
            skipped("needs dbus-daemon (dbus)");
            return false;
        };
        self.process = Some(child);
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let up = async {
            while self.connect().await.is_err() {
                ticks.tick().await;
            }
        };
        let up = tokio::time::timeout(PATIENCE, up).await;
        assert!(up.is_ok(), "{}", std::fs::read_to_string(path("bus.log")).unwrap());
        true
    }

    /// It goes away, its socket too.
    pub(crate) async fn stop(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
        // It leaves its socket behind when it is killed, and cannot take it again.
        std::fs::remove_file(self.directory.path().join("bus")).unwrap();
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.directory.path().join("bus").display())
    }

    pub(crate) async fn connect(&self) -> zbus::Result<Connection> {
        let address: zbus::Address = self.address().as_str().try_into()?;
        zbus::connection::Builder::address(address).build().await
    }
}
