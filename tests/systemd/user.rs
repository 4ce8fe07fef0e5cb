//! The user service: installed, started, reloaded, hung, stopped and removed, with a session of the simulator.

use tokio::net::TcpStream;

use crate::bench::Bench;
use crate::machine::{Kind, Machine, PROGRAM, text};
use crate::support::traffic::{Load, exchange};

#[tokio::test]
async fn install_start_reload_stop_uninstall() {
    let Some(bench) = Bench::start(Kind::User).await else {
        return;
    };
    let machine = &bench.machine;
    let said = machine.succeed("autossm service install").await;
    assert!(
        said.contains("wrote /home/ada/.config/systemd/user/autossm.service\n")
            && said.contains("systemctl --user enable --now autossm.service"),
        "{said}"
    );
    assert_eq!(machine.property("UnitFileState").await, "disabled");
    assert_eq!(machine.property("ActiveState").await, "inactive");
    assert!(
        machine
            .property("ExecStart")
            .await
            .contains(&format!("path={PROGRAM} ;"))
    );

    // Returns when it can be used: the control socket answers at once, and the listener is there.
    machine.succeed("systemctl --user start autossm").await;
    assert_eq!(machine.property("ActiveState").await, "active");
    TcpStream::connect(bench.listener().await).await.unwrap();
    bench.attached().await;
    machine.wait_for("StatusText", |text| text == "1/1 attached").await;

    // Reloads in mid-transfer, with a good and a bad file and one more session.
    let transfer = bench.transfer(2_000_000, 500_000).await;
    let other = bench.config.replace("[session.demo]", "[session.other]");
    let (_, session) = other.split_once("\n\n").unwrap();
    machine.write(".config/autossm/config.d/other.toml", session);
    machine.succeed("systemctl --user reload autossm").await;
    machine.wait_for("StatusText", |text| text == "2/2 attached").await;
    machine.write(".config/autossm/config.d/other.toml", "colour = 3\n");
    machine.succeed("systemctl --user reload autossm").await;
    machine.said("the configuration is wrong, so nothing has changed").await;
    machine.wait_for("ActiveState", |state| state == "active").await;
    machine.wait_for("StatusText", |text| text == "2/2 attached").await;
    assert_eq!(machine.property("NRestarts").await, "0");
    let tally = transfer.await.unwrap().unwrap();
    assert!(tally.is_exact(), "{tally:?}");
    assert_eq!(bench.simulator.calls().start, 2, "none was started again");

    // A stop leaves no process, and the session to time out, as its settings say.
    machine.succeed("systemctl --user stop autossm").await;
    assert_eq!(machine.daemons().await, [""; 0]);
    assert_eq!(bench.simulator.calls().terminate, 0);

    // An uninstall leaves no session, no process and no file of the service.
    machine.write(".config/autossm/config.d/other.toml", session);
    machine.succeed("systemctl --user enable --now autossm").await;
    bench.attached().await;
    let ended = bench.simulator.calls().terminate;
    let said = machine.succeed("autossm service uninstall").await;
    assert!(said.contains("terminated its sessions and stopped it"), "{said}");
    assert_eq!(machine.daemons().await, [""; 0]);
    assert!(bench.simulator.calls().terminate > ended);
    let left = machine.succeed("find .config/systemd -type f -o -type l").await;
    assert_eq!(
        left, ".config/systemd/user/autossm.service.d/50-log.conf\n",
        "the test's own"
    );
    let again = machine.run("autossm service uninstall").await;
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("nothing to remove"));
}

#[tokio::test]
async fn a_daemon_that_hangs_is_started_again_by_the_watchdog() {
    let Some(bench) = Bench::start(Kind::User).await else {
        return;
    };
    let machine = &bench.machine;
    machine.drop_in("60-soon", "[Service]\nWatchdogSec=8s\nTimeoutAbortSec=1s\n");
    machine.succeed("autossm service install --now").await;
    bench.attached().await;
    let pid = machine.property("MainPID").await;
    machine.succeed(&format!("kill -STOP {pid}")).await;
    machine.wait_for("NRestarts", |count| count == "1").await;
    machine.wait_for("ActiveState", |state| state == "active").await;
    let new = machine.property("MainPID").await;
    assert!(new != pid && new != "0", "{pid} {new}");
    bench.attached().await;
    // One that is well is fed again and again, and left alone.
    let mut fed = machine.property("WatchdogTimestampMonotonic").await;
    for _feeding in 0..4 {
        fed = machine.wait_for("WatchdogTimestampMonotonic", |when| when != fed).await;
    }
    assert_eq!(machine.property("NRestarts").await, "1");
}

#[tokio::test]
async fn a_wrong_configuration_is_not_tried_again() {
    let Some(bench) = Bench::start(Kind::User).await else {
        return;
    };
    let machine = &bench.machine;
    machine.write(".config/autossm/config.toml", "colour = 3\n");
    let said = machine.succeed("autossm service install").await;
    assert!(said.contains("it cannot work yet"), "{said}");
    // Who starts it at once is told the same, and what came of it.
    let now = machine.run("autossm service install --now").await;
    let (told, why) = (text(&now.stdout), text(&now.stderr));
    assert!(told.contains("wrote ") && told.contains("autossm check"), "{told}");
    assert!(!now.status.success() && why.contains("journalctl"), "{why}");
    let started = machine.run("systemctl --user start autossm").await;
    assert!(!started.status.success());
    assert_eq!(machine.property("ExecMainStatus").await, "78");
    assert_eq!(machine.property("ActiveState").await, "failed");
    assert_eq!(machine.property("NRestarts").await, "0");
    let status = machine.run("autossm service status").await;
    assert_eq!(status.status.code(), Some(3));
    assert!(
        text(&status.stdout).contains("state      failed (failed, exit-code)"),
        "{}",
        text(&status.stdout)
    );
}

#[tokio::test]
async fn it_starts_without_user_namespaces_and_with_the_strict_sandbox() {
    let Some(bench) = Bench::start(Kind::User).await else {
        return;
    };
    let machine = &bench.machine;
    machine.succeed("autossm service install").await;
    for (name, drop_in, private) in [
        ("default", "", true),
        ("without user namespaces", "[Service]\nPrivateUsers=no\n", false),
    ] {
        machine.drop_in("60-users", drop_in);
        machine.succeed("systemctl --user daemon-reload").await;
        machine.succeed("systemctl --user start autossm").await;
        bench.attached().await;
        let pid = machine.property("MainPID").await;
        let map = text(&machine.run_as_root(&format!("cat /proc/{pid}/uid_map")).await.stdout);
        let whole = map.split_whitespace().nth(2) == Some("4294967295");
        assert_eq!(whole, !private, "{name}: {map}");
        machine.succeed("systemctl --user stop autossm").await;
    }
    machine.drop_in("60-users", "");
    let said = machine.succeed("autossm service install --strict --now").await;
    assert!(said.contains("10-strict.conf"), "{said}");
    bench.attached().await;
    let said = machine.succeed("autossm service status").await;
    assert!(
        said.contains("state      active (running)") && said.contains("status     1/1 attached"),
        "{said}"
    );
    machine.succeed("autossm service uninstall").await;
}

#[tokio::test]
async fn systemd_listens_for_a_session_and_starts_the_service_with_its_first_connection() {
    let Some(bench) = Bench::start(Kind::User).await else {
        return;
    };
    let machine = &bench.machine;
    machine.succeed("autossm service install").await;
    let socket = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/autossm-listen@.socket"));
    machine.write(".config/systemd/user/autossm-listen@.socket", &socket.unwrap());
    // A port that is free now.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    machine.write(
        ".config/systemd/user/autossm-listen@demo.socket.d/port.conf",
        &format!("[Socket]\nListenStream=\nListenStream={free}\n"),
    );
    machine.succeed("systemctl --user daemon-reload").await;
    machine
        .succeed("systemctl --user start autossm-listen@demo.socket")
        .await;
    assert_eq!(machine.property("ActiveState").await, "inactive");
    let progress = std::sync::Arc::clone(&bench.destination.progress);
    let load = Load {
        key: 7,
        up: 100_000,
        down: 100_000,
        pace: 0,
    };
    let stream = TcpStream::connect(free).await.unwrap();
    let tally = exchange(stream, load, &progress).await.unwrap();
    assert!(tally.is_exact(), "{tally:?}");
    assert_eq!(bench.listener().await, free);
    machine
        .succeed("systemctl --user stop autossm-listen@demo.socket autossm")
        .await;
}

/// What the doctor says of the daemon's sandbox, from inside.
async fn doctor(machine: &Machine) -> String {
    // Its own exit code is about AWS too.
    text(&machine.run("autossm doctor").await.stdout)
}

#[tokio::test]
async fn the_doctor_says_which_protections_are_in_force() {
    let Some(bench) = Bench::start(Kind::User).await else {
        return;
    };
    let machine = &bench.machine;
    let always = [
        "systemd restarts it when it hangs for 30 s",
        "no program it starts can gain privileges",
        "its system calls are filtered",
        "it can only make sockets of the families it needs",
        "the runtime directory /run/user/4242 is this user's alone",
        "lingering is off",
        "session bus answers",
    ];
    let usual = [
        "it has a user namespace of its own",
        "it has a /tmp of its own",
        "it cannot write to /usr, /etc\n",
        "it can write to /home/ada, /home/ada/.aws, /run/user/4242",
    ];
    let without = [
        "ignores all protection of files silently",
        "it shares /tmp with everybody",
        "it cannot write to /usr, /etc\n",
    ];
    let strict = [
        "it has a /tmp of its own",
        "it cannot write to /usr, /etc, /home/ada, /home/ada/.aws, /run/user/4242",
        "it can write to /home/ada/.aws/sso/cache\n",
    ];
    for (install, users, expected) in [
        ("autossm service install", "yes", &usual[..]),
        ("autossm service install", "no", &without),
        (
            "mkdir -p .aws/sso/cache && autossm service install --strict",
            "yes",
            &strict,
        ),
    ] {
        machine.drop_in("60-users", &format!("[Service]\nPrivateUsers={users}\n"));
        machine.succeed(install).await;
        machine.succeed("systemctl --user restart autossm").await;
        let said = doctor(machine).await;
        for what in always.iter().chain(expected) {
            assert!(
                said.contains(what),
                "{install}, PrivateUsers={users}: `{what}` is not in\n{said}"
            );
        }
    }
}

#[tokio::test]
async fn a_configuration_of_roots_is_trusted_although_the_sandbox_does_not_know_root() {
    let Some(bench) = Bench::start(Kind::User).await else {
        return;
    };
    let machine = &bench.machine;
    machine
        .run_as_root("mkdir /etc/autossm && mv .config/autossm/config.toml /etc/autossm && chown -R root /etc/autossm")
        .await;
    machine.succeed("autossm service install --now").await;
    bench.attached().await;
    machine.succeed("systemctl --user stop autossm").await;
    machine.run_as_root("chmod 666 /etc/autossm/config.toml").await;
    let started = machine.run("systemctl --user start autossm").await;
    assert!(!started.status.success());
    machine.said("every user of this machine can write to this file").await;
}
