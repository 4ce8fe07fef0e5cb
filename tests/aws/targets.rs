//! Targets by tag, and targets that are off.

use autossm_proto::session::Phase;
use autossm_sim::{Fault, Instance, Simulator};

use crate::home::{Home, config, lines};

fn instance(id: &str, name: &str, online: bool) -> Instance {
    Instance {
        id: id.to_owned(),
        tags: [("Name".to_owned(), name.to_owned())].into(),
        online,
    }
}

async fn fleet(simulator: &Simulator, instances: Vec<Instance>) {
    simulator.inject(Fault::Fleet { instances }).await.unwrap();
}

async fn simulator() -> (Simulator, String) {
    let simulator = Simulator::start(autossm_sim::Config::default()).await.unwrap();
    let defaults = format!(
        "region = \"eu-west-1\"\nendpoint_url = \"{}\"",
        simulator.endpoint_url()
    );
    (simulator, defaults)
}

fn home() -> Home {
    Home::new()
        .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with("AWS_SECRET_ACCESS_KEY", "not-a-secret")
}

#[tokio::test]
async fn a_tag_finds_the_instance_and_its_replacement() {
    let (simulator, defaults) = simulator().await;
    fleet(
        &simulator,
        vec![
            instance("i-0c", "bastion", true),
            instance("i-0b", "bastion", true),
            instance("i-0a", "bastion", false),
            instance("i-00", "other", true),
        ],
    )
    .await;
    let home = home();
    let daemon = home.daemon(&config(&defaults, "tag:Name=bastion", 80)).await;
    daemon.attached().await;
    let session = daemon.session().await;
    assert_eq!(session.instance.as_deref(), Some("i-0b, the first of 2"));
    assert!(
        daemon.log().contains("i-0b is taken, the first by its id, not i-0c"),
        "{}",
        daemon.log()
    );
    let (shown, _, _) = home.run(&["status", "demo"]).await;
    assert!(shown.contains("tag:Name=bastion (i-0b, the first of 2)"), "{shown}");
    // The bastion is replaced, and its sessions end with it.
    fleet(&simulator, vec![instance("i-0d", "bastion", true)]).await;
    let ended = Fault::EndSession {
        session: None,
        announce: None,
        resume: autossm_sim::ResumeOfEnded::DoesNotExist,
    };
    simulator.inject(ended).await.unwrap();
    daemon
        .until("the new instance", async || {
            let session = daemon.session().await;
            session.phase == Phase::Attached && session.instance.as_deref() == Some("i-0d")
        })
        .await;
    let sessions = simulator.sessions().await;
    assert!(
        sessions
            .iter()
            .any(|session| session.target == "i-0d" && !session.ended)
    );
}

#[tokio::test]
async fn a_tag_that_is_on_nothing_online_is_waited_for() {
    let (simulator, defaults) = simulator().await;
    fleet(&simulator, Vec::new()).await;
    let home = home();
    let daemon = home.daemon(&config(&defaults, "tag:Name=bastion", 80)).await;
    let cause = "no instance in eu-west-1 that Session Manager knows has the tag Name=bastion";
    daemon.until_phase(Phase::AwaitingTarget, cause).await;
    fleet(&simulator, vec![instance("i-0a", "bastion", false)]).await;
    daemon.until_phase(Phase::AwaitingTarget, "is not online").await;
    assert_eq!(simulator.calls().start, 0, "nothing to start on");
    fleet(&simulator, vec![instance("i-0a", "bastion", true)]).await;
    daemon.attached().await;
}

#[tokio::test]
async fn a_hundred_and_twenty_instances_are_looked_at_page_by_page() {
    let (simulator, defaults) = simulator().await;
    let mut instances: Vec<Instance> = (0..119)
        .map(|n| instance(&format!("i-f{n:03}"), "bastion", true))
        .collect();
    instances.push(instance("i-0", "bastion", true));
    fleet(&simulator, instances).await;
    let home = home();
    let daemon = home.daemon(&config(&defaults, "tag:Name=bastion", 80)).await;
    daemon.attached().await;
    let session = daemon.session().await;
    assert_eq!(session.instance.as_deref(), Some("i-0, the first of 120"));
    assert_eq!(simulator.calls().instances, 3);
}

#[tokio::test]
async fn a_target_that_is_off_is_asked_for_and_not_started_again_and_again() {
    let (simulator, defaults) = simulator().await;
    fleet(&simulator, vec![instance("i-0a", "x", false)]).await;
    let home = home();
    let daemon = home.daemon(&config(&defaults, "i-0a", 80)).await;
    daemon.until_phase(Phase::AwaitingTarget, "").await;
    daemon
        .until("three looks", async || simulator.calls().status >= 3)
        .await;
    assert_eq!(simulator.calls().start, 1, "{}", daemon.log());
    daemon
        .until_phase(Phase::AwaitingTarget, "is not connected to Session Manager")
        .await;
    fleet(&simulator, vec![instance("i-0a", "x", true)]).await;
    daemon.attached().await;
    assert_eq!(simulator.calls().start, 2);
    assert!(lines(&daemon.log(), "WARN").len() < 8, "{}", daemon.log());
}
