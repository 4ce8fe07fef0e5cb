//! Two hosts with real kernels between them: cables pulled, packets dropped, addresses and routes that change. TLS, the
//! account's real names and real paths; only the service is the simulator.

mod front;
mod lab;

use std::time::Duration;

use autossm_proto::session::DropCause;

use self::lab::{ALL, Lab, SERVICE, now, took, two_hosts};

/// Noticing a silence under traffic takes 5 s by design; the rest is for a busy machine.
const SILENCE: Duration = Duration::from_secs(15);
/// What the kernel tells is acted on in milliseconds; the rest is for a busy machine.
const TOLD: Duration = Duration::from_secs(8);

/// Each test is a process of its own inside; the name says what happens there.
macro_rules! two_hosts {
    ($($name:ident;)+) => {
        $(
            #[test]
            fn $name() {
                two_hosts(concat!("hosts::", stringify!($name)), inside::$name);
            }
        )+
    };
}

two_hosts! {
    link_down_and_up;
    black_hole_out;
    black_hole_in;
    black_hole_both_ways;
    twenty_percent_of_packets_lost;
    connections_killed_by_ss;
    address_removed_and_changed;
    default_route_flips_to_a_second_network;
    packets_doubled;
    names_unknown_for_a_while;
    the_first_address_of_a_name_answers_nothing;
    upload_at_1_mbit_with_two_seconds_of_queue;
}

/// Packets of these chains vanish in the middle of the transfer; once the drop is noticed, they go through again.
async fn black_hole(lab: Lab, what: &str, chains: &[&str]) {
    lab.transfer(async {
        let began = now();
        for chain in chains {
            let side = if *chain == "out" { "daddr" } else { "saddr" };
            lab.client(&format!("nft add rule inet lab {chain} ip {side} {SERVICE} drop"));
        }
        let session = lab.dropped(1).await;
        let noticed = took(&format!("{what}: noticed"), began);
        assert!(noticed < SILENCE, "{noticed:?}");
        assert!(
            matches!(
                session.history[0].cause,
                DropCause::BacklogStalled | DropCause::WriteStalled
            ),
            "{:?}",
            session.history[0]
        );
        lab.client("nft flush ruleset");
        let healed = now();
        lab.attached().await;
        // Nobody announces this; the next attempt finds out.
        took(&format!("{what}: usable to attached, not announced"), healed);
    })
    .await;
}

mod inside {
    use super::*;

    pub(super) async fn link_down_and_up(lab: Lab) {
        lab.transfer(async {
            let began = now();
            lab.client("ip link set c0 down");
            lab.dropped(1).await;
            let noticed = took("link down: noticed", began);
            assert!(noticed < TOLD, "{noticed:?}");
            lab.client("ip link set c0 up");
            lab.client("ip route add default via 10.77.0.2");
            let usable = now();
            lab.attached().await;
            let back = took("link up, route there: usable to attached", usable);
            assert!(back < TOLD, "{back:?}");
        })
        .await;
    }

    pub(super) async fn black_hole_out(lab: Lab) {
        black_hole(lab, "black hole out", &["out"]).await;
    }

    pub(super) async fn black_hole_in(lab: Lab) {
        black_hole(lab, "black hole in", &["in"]).await;
    }

    pub(super) async fn black_hole_both_ways(lab: Lab) {
        black_hole(lab, "black hole both ways", &["out", "in"]).await;
    }

    pub(super) async fn twenty_percent_of_packets_lost(lab: Lab) {
        lab.transfer(async {
            lab.client("nft add rule inet lab out numgen random mod 100 < 20 drop");
            lab.client("nft add rule inet lab in numgen random mod 100 < 20 drop");
            lab.moved(ALL / 2).await;
            lab.client("nft flush ruleset");
        })
        .await;
    }

    pub(super) async fn connections_killed_by_ss(lab: Lab) {
        lab.transfer(async {
            let began = now();
            lab.client(&format!("ss -K dst {SERVICE}"));
            lab.dropped(1).await;
            let noticed = took("ss -K: noticed", began);
            assert!(noticed < TOLD, "{noticed:?}");
            lab.attached().await;
            let back = took("ss -K: noticed and attached", began);
            assert!(back < TOLD, "{back:?}");
        })
        .await;
    }

    pub(super) async fn address_removed_and_changed(lab: Lab) {
        lab.transfer(async {
            let began = now();
            lab.client("ip address del 10.77.0.1/24 dev c0");
            let session = lab.dropped(1).await;
            let noticed = took("address removed: noticed", began);
            assert!(noticed < TOLD, "{noticed:?}");
            assert_eq!(session.history[0].cause, DropCause::AddressGone);
            lab.client("ip address add 10.77.0.9/24 dev c0");
            lab.client("ip route replace default via 10.77.0.2");
            let usable = now();
            lab.attached().await;
            let back = took("new address and route: usable to attached", usable);
            assert!(back < TOLD, "{back:?}");
        })
        .await;
    }

    /// As from Wi-Fi to a cable: the old address stays for a while, but nothing from it comes through any more.
    pub(super) async fn default_route_flips_to_a_second_network(lab: Lab) {
        lab.transfer(async {
            lab.aws("nft add rule inet lab in ip saddr 10.77.0.0/24 drop");
            let began = now();
            lab.client("ip route replace default via 10.78.0.2");
            let session = lab.dropped(1).await;
            let noticed = took("route flips: noticed", began);
            assert!(noticed < TOLD, "{noticed:?}");
            // Or it could not even leave the socket, which upload had filled.
            let cause = &session.history[0].cause;
            let probed = [DropCause::BacklogStalled, DropCause::WriteStalled].contains(cause);
            assert!(probed, "a probe, at once, not {cause:?}");
            lab.attached().await;
            let back = took("route flips: attached over the other network", began);
            assert!(back < TOLD, "{back:?}");
        })
        .await;
    }

    pub(super) async fn packets_doubled(lab: Lab) {
        lab.client("nft add table netdev lab");
        lab.client("nft add chain netdev lab out { type filter hook egress device c0 priority 0; }");
        lab.client("nft add rule netdev lab out numgen random mod 100 < 30 dup to c0");
        lab.transfer(async {}).await;
        let session = lab.attached().await;
        assert_eq!(session.figures.drops, 0, "TCP's business");
    }

    /// No name server answers and the hosts file knows nothing: weather, not an end.
    pub(super) async fn names_unknown_for_a_while(lab: Lab) {
        lab.transfer(async {
            lab.write_hosts("127.0.0.1 localhost\n");
            lab.client(&format!("ss -K dst {SERVICE}"));
            let failing = |session: &autossm::status::SessionStatus| session.figures.drops == 1 && session.attempts > 2;
            let session = lab.daemon.wait_until("attempts fail", failing).await.unwrap();
            assert_eq!(session.phase, autossm_proto::session::Phase::Reattaching, "{session:?}");
            lab.write_hosts(&lab::names(&[SERVICE]));
            let usable = now();
            lab.attached().await;
            took("names known again, not announced: usable to attached", usable);
        })
        .await;
    }

    /// IPv6 is in the name but leads nowhere: the other family is tried a quarter of a second later.
    pub(super) async fn the_first_address_of_a_name_answers_nothing(lab: Lab) {
        lab.client("ip address add fd00:77::1/64 dev c0 nodad");
        lab.client("nft add rule inet lab out ip6 daddr fd00:77::2 drop");
        lab.write_hosts(&lab::names(&["fd00:77::2", SERVICE]));
        lab.transfer(async {
            let drops = lab.attached().await.figures.drops;
            let began = now();
            lab.client(&format!("ss -K dst {SERVICE}"));
            lab.dropped(drops + 1).await;
            lab.attached().await;
            let back = took("IPv6 leads nowhere: attached over IPv4", began);
            assert!(back < TOLD, "{back:?}");
        })
        .await;
    }

    /// A slow link with a long queue is slow, not dead. `AUTOSSM_TEST_LONG=1` makes ten minutes of the half.
    pub(super) async fn upload_at_1_mbit_with_two_seconds_of_queue(lab: Lab) {
        lab.client("tc qdisc add dev c0 root tbf rate 1mbit burst 5kb limit 250kb");
        let seconds = if std::env::var_os("AUTOSSM_TEST_LONG").is_some() {
            600
        } else {
            30
        };
        lab.upload(125_000 * seconds).await;
        let session = lab.attached().await;
        assert_eq!(session.figures.drops, 0, "{session:?}");
    }
}
