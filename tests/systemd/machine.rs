//! A user's service manager on a machine whose own PID 1 may be anything: in namespaces of its own, with a `/run`, a
//! `/home` and an `/etc` that only it sees. Everything in it dies with its value.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::daemon::PATIENCE;
use crate::support::skipped;

/// Nobody's number.
pub(crate) const UID: u32 = 4242;
/// How long all that runs inside may take to go.
const GONE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// Where the program is, for those inside.
pub(crate) const PROGRAM: &str = "/opt/autossm/autossm";
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// What a manager needs to find, made by the first process of the namespaces. `$1` is the machine's directory.
const PREPARE: &str = r#"
set -eu
directory=$1
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  mkdir -p "$hierarchy/$GROUP"
  chown -R 4242 "$hierarchy/$GROUP"
  echo $$ > "$hierarchy/$GROUP/cgroup.procs"
done
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /home
mount -t tmpfs tmpfs /opt
# systemd asks the first whether it runs here, and sandboxes need the others.
mkdir -p /run/systemd/system /run/systemd/unit-root /run/systemd/inaccessible /run/user/4242 /home/ada /opt/autossm
chown 4242:4242 /run/user/4242
chmod 700 /run/user/4242
mount --bind "$directory/home" /home/ada
# An /etc of its own, so that nothing of the real one is touched.
cp -a /etc /run/etc
echo 'ada:x:4242:4242::/home/ada:/bin/sh' >> /run/etc/passwd
echo 'ada:x:4242:' >> /run/etc/group
mount --bind /run/etc /etc
touch /opt/autossm/autossm
mount --bind "$PROGRAM" /opt/autossm/autossm
"#;

/// The user's manager, as a child of the first process, since it would take itself for the system's if it were the first.
const USER_MANAGER: &str = r#"
setpriv --reuid=4242 --regid=4242 --clear-groups env -i HOME=/home/ada USER=ada LOGNAME=ada \
  PATH=/usr/sbin:/usr/bin:/sbin:/bin XDG_RUNTIME_DIR=/run/user/4242 SYSTEMD_LOG_TARGET=console \
  /usr/lib/systemd/systemd --user &
wait
"#;

/// The system's manager, the first process itself. It sees the units of the administrator's directory and a few targets;
/// nothing of the real machine is started. `/proc/sys` is the real machine's, so it stays as it is.
const SYSTEM_MANAGER: &str = r#"
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
rm -rf /run/etc/systemd/system/*
[ -s /run/etc/machine-id ] || echo 0123456789abcdef0123456789abcdef > /run/etc/machine-id
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n' > /run/etc/systemd/journald.conf
mkdir -p /run/test-units
for target in test sysinit basic shutdown umount multi-user sockets; do
  printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" > "/run/test-units/$target.target"
done
cp /usr/lib/systemd/system/systemd-journald.service /usr/lib/systemd/system/systemd-journald*.socket /run/test-units
mount -t tmpfs tmpfs /var/lib/systemd
mkdir /run/catalog
cp "$CATALOG" /run/catalog
mount --bind /run/catalog /usr/lib/systemd/catalog
exec unshare --cgroup bash --norc -c '
set -eu
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
exec env -i container=autossm-test PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_LOG_TARGET=console \
  SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/test-units /usr/lib/systemd/systemd --system --unit=test.target
'
"#;

/// Whose manager a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ada's.
    User,
    /// The system's.
    System,
}

/// The machine and its manager.
pub(crate) struct Machine {
    directory: TempDir,
    group: String,
    process: Child,
    /// The first process inside, seen from outside.
    init: u32,
    kind: Kind,
}

impl Machine {
    /// None, said loudly, where that cannot be.
    pub(crate) async fn start(kind: Kind) -> Option<Self> {
        if let Some(why) = missing() {
            skipped(&why);
            return None;
        }
        let directory = tempfile::Builder::new().prefix("autossm-systemd-").tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("home")).unwrap();
        chown(path("home"), Some(UID), Some(UID)).unwrap();
        let group = format!("autossm-test-{}", directory.path().file_name()?.to_str()?);
        let log = fs::File::create(path("manager.log")).unwrap();
        let manager = match kind {
            Kind::User => USER_MANAGER,
            Kind::System => SYSTEM_MANAGER,
        };
        let catalog = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/autossm.catalog");
        let process = Command::new("unshare")
            .args([
                "--mount",
                "--uts",
                "--ipc",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["bash", "--norc", "-c", &format!("{PREPARE}{manager}"), "bash"])
            .arg(directory.path())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("GROUP", &group)
            .env("CATALOG", catalog)
            .env("PROGRAM", env!("CARGO_BIN_EXE_autossm"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut machine = Self {
            directory,
            group,
            process,
            init: 0,
            kind,
        };
        machine.until_it_answers().await;
        Some(machine)
    }

    async fn until_it_answers(&mut self) {
        let unshare = self.process.id().unwrap();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let up = async {
            loop {
                ticks.tick().await;
                let child = fs::read_to_string(&children).unwrap_or_default();
                if let Some(init) = child.split_whitespace().next() {
                    self.init = init.parse().unwrap();
                    let version = match self.kind {
                        Kind::User => self.run("systemctl --user show --property=Version").await,
                        Kind::System => self.run_as_root("systemctl show --property=Version").await,
                    };
                    if version.status.success() {
                        return;
                    }
                }
            }
        };
        let up = tokio::time::timeout(PATIENCE, up).await.is_ok();
        assert!(up, "the manager does not answer; its log:\n{}", self.manager_log());
    }

    /// Ada's home, seen from outside.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Writes a file into her home, hers.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.home().join(path);
        self.make_directory(path.parent().unwrap());
        fs::write(&path, text).unwrap();
        chown(&path, Some(UID), Some(UID)).unwrap();
    }

    fn make_directory(&self, directory: &Path) {
        if !directory.exists() {
            self.make_directory(directory.parent().unwrap());
            fs::create_dir(directory).unwrap();
            chown(directory, Some(UID), Some(UID)).unwrap();
        }
    }

    /// A drop-in of the service's unit.
    pub(crate) fn drop_in(&self, name: &str, text: &str) {
        self.write(&format!(".config/systemd/user/autossm.service.d/{name}.conf"), text);
    }

    /// Runs a line of shell as ada.
    pub(crate) async fn run(&self, line: &str) -> Output {
        self.enter(&["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"], line)
            .await
    }

    /// The same as root.
    pub(crate) async fn run_as_root(&self, line: &str) -> Output {
        self.enter(&[], line).await
    }

    async fn enter(&self, before: &[&str], line: &str) -> Output {
        let run = Command::new("nsenter")
            .args(["--mount", "--pid", "--target", &self.init.to_string()])
            .args(before)
            .args([
                "env",
                "-i",
                "HOME=/home/ada",
                "USER=ada",
                "LOGNAME=ada",
                "LC_ALL=C.UTF-8",
            ])
            .args([
                "PATH=/opt/autossm:/usr/sbin:/usr/bin:/sbin:/bin",
                "XDG_RUNTIME_DIR=/run/user/4242",
            ])
            .args(["sh", "-c", &format!("cd /home/ada && {line}")])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap()
    }

    /// Runs it, and gives what it said; it must end well.
    pub(crate) async fn succeed(&self, line: &str) -> String {
        self.check(line, &self.run(line).await)
    }

    /// The same as root.
    pub(crate) async fn succeed_as_root(&self, line: &str) -> String {
        self.check(line, &self.run_as_root(line).await)
    }

    fn check(&self, line: &str, output: &Output) -> String {
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "`{line}` ended with {}:\n{stdout}{stderr}\nthe daemon's log:\n{}\nthe manager's log:\n{}",
            output.status,
            self.log(),
            self.manager_log()
        );
        stdout
    }

    /// A property of the service.
    pub(crate) async fn property(&self, name: &str) -> String {
        let line = format!("systemctl --user show autossm --property={name} --value");
        self.succeed(&line).await.trim().to_owned()
    }

    /// Waits until a property of the service looks as described, and gives it.
    pub(crate) async fn wait_for(&self, name: &str, mut holds: impl FnMut(&str) -> bool) -> String {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let wait = async {
            loop {
                ticks.tick().await;
                let value = self.property(name).await;
                if holds(&value) {
                    return value;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(value) => value,
            Err(_) => panic!(
                "{name} is {:?}; the daemon's log:\n{}\nthe manager's:\n{}",
                self.property(name).await,
                self.log(),
                self.manager_log()
            ),
        }
    }

    /// Waits until the daemon has logged this.
    pub(crate) async fn said(&self, what: &str) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let said = async {
            while !self.log().contains(what) {
                ticks.tick().await;
            }
        };
        let said = tokio::time::timeout(PATIENCE, said).await.is_ok();
        assert!(said, "`{what}` is not said; the daemon's log:\n{}", self.log());
    }

    /// What the daemon has logged; a drop-in of the tests sends it there.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home().join("log")).unwrap_or_default()
    }

    fn manager_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("manager.log")).unwrap_or_default()
    }

    /// The processes of the program that run inside, by their numbers there.
    pub(crate) async fn daemons(&self) -> Vec<String> {
        let all = text(&self.run_as_root("pgrep -x autossm || true").await.stdout);
        all.split_whitespace().map(ToOwned::to_owned).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The first process goes, and the kernel ends all others before it does (pid_namespaces(7)); then the groups are empty.
        let init = i32::try_from(self.init).ok().and_then(Pid::from_raw);
        let init = init.and_then(|init| pidfd_open(init, PidfdFlags::empty()).ok());
        if self.process.start_kill().is_err() {
            return;
        }
        if let Some(init) = &init {
            let _gone = poll(&mut [PollFd::new(init, PollFlags::IN)], Some(&GONE));
        }
        for hierarchy in ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
            remove_group(&Path::new(hierarchy).join(&self.group));
        }
    }
}

/// Groups inside first.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _busy = fs::remove_dir(group);
}

/// Why there can be no such machine here.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root, for namespaces and a user of its own".to_owned());
    }
    let programs = [
        SYSTEMD,
        "/usr/bin/systemctl",
        "/usr/bin/unshare",
        "/usr/bin/nsenter",
        "/usr/bin/setpriv",
    ];
    if let Some(program) = programs.iter().find(|program| !Path::new(program).exists()) {
        return Some(format!("needs {program} (systemd, util-linux)"));
    }
    let writable = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].iter().any(|hierarchy| {
        let probe = Path::new(hierarchy).join(format!("autossm-test-{}", std::process::id()));
        Path::new(hierarchy).join("cgroup.procs").exists()
            && fs::create_dir(&probe).is_ok()
            && fs::remove_dir(&probe).is_ok()
    });
    (!writable).then(|| "needs a cgroup hierarchy that may be written".to_owned())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
