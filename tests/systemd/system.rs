//! The system's template under a system manager, and the journal.

use std::collections::BTreeMap;

use crate::bench::Bench;
use crate::machine::Kind;

const SOCKET: &str = "--socket /run/autossm-ada/control.sock";

/// The lines of the journal that match, each as its fields.
async fn journal(bench: &Bench, matches: &str) -> Vec<BTreeMap<String, serde_json::Value>> {
    let line = format!("journalctl --no-pager --output=json {matches}");
    let lines = bench.machine.succeed_as_root(&line).await;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_service_of_the_systems_for_ada_and_its_journal() {
    let Some(bench) = Bench::start(Kind::System).await else {
        return;
    };
    let machine = &bench.machine;
    machine
        .succeed_as_root("systemctl start systemd-journald.service")
        .await;
    machine.succeed("mkdir -p .aws/sso/cache").await;
    let said = machine
        .succeed_as_root("autossm service install --system --user ada --now")
        .await;
    assert!(
        said.contains("wrote /etc/systemd/system/autossm@.service\n")
            && said.contains("enabled and started autossm@ada.service"),
        "{said}"
    );
    machine
        .succeed(&format!("autossm wait demo --for up --timeout 100s {SOCKET}"))
        .await;
    let said = machine.succeed_as_root("autossm service status --system").await;
    assert!(
        said.contains("autossm@ada.service\n") && said.contains("state      active (running)\n"),
        "{said}"
    );
    let doctor = machine.run(&format!("autossm doctor {SOCKET}")).await;
    let doctor = crate::machine::text(&doctor.stdout);
    for what in [
        "systemd restarts it when it hangs for 30 s",
        "its system calls are filtered",
        "it has a user namespace of its own",
        "it has a /tmp of its own",
        "it cannot write to /usr, /etc, /home/ada, /home/ada/.aws\n",
        "it can write to /home/ada/.aws/sso/cache",
    ] {
        assert!(doctor.contains(what), "`{what}` is not in\n{doctor}");
    }

    // Each phase has its fields, and the catalog explains it.
    let attached = journal(&bench, "AUTOSSM_SESSION=demo AUTOSSM_PHASE=attached").await;
    let [attached] = &attached[..] else {
        panic!("{attached:?}");
    };
    for (field, value) in [
        ("MESSAGE_ID", "27a988c53ad74d188d6b2db14539b101"),
        ("AUTOSSM_FROM", "handshaking"),
        ("SYSLOG_IDENTIFIER", "autossm"),
        ("PRIORITY", "6"),
        ("_SYSTEMD_UNIT", "autossm@ada.service"),
        ("_UID", "4242"),
    ] {
        assert_eq!(attached[field], value, "{field}: {attached:?}");
    }
    machine.succeed_as_root("journalctl --update-catalog").await;
    let explained = machine
        .succeed_as_root("journalctl --no-pager --catalog AUTOSSM_SESSION=demo AUTOSSM_PHASE=attached")
        .await;
    assert!(explained.contains("Subject: Session demo is attached"), "{explained}");
    let every = journal(&bench, "-u autossm@ada.service -o json").await;
    assert!(
        every.iter().all(|line| !format!("{line:?}").contains("not-a-")),
        "{every:?}"
    );
    let started = every.iter().filter(|line| line.get("AUTOSSM_VERSION").is_some());
    assert_eq!(started.count(), 1);

    machine.succeed_as_root("systemctl reload autossm@ada").await;
    let said = machine.succeed_as_root("autossm service uninstall --system").await;
    assert!(
        said.contains("autossm@ada.service: terminated its sessions and stopped it"),
        "{said}"
    );
    assert_eq!(bench.simulator.calls().terminate, 1);
    assert_eq!(machine.daemons().await, [""; 0]);
    let left = machine
        .succeed_as_root("find /etc/systemd/system -type f -o -type l")
        .await;
    assert_eq!(left, "");
    let reloaded = journal(&bench, "MESSAGE_ID=79907835d06d46ebafa86ce5cfe69572").await;
    assert_eq!(reloaded.len(), 1, "{reloaded:?}");
}
