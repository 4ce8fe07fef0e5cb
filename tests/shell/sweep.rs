//! Each fault at each moment of a command's life.

use std::collections::BTreeMap;

use autossm::status::SessionStatus;
use autossm_proto::session::Phase;
use autossm_sim::{Fault, LinkFault, Side};
use tokio::task::JoinSet;

use crate::Bench;
use crate::exec::outcome;
use crate::support::comes_true;

/// How far each command has ever been.
#[derive(Debug, Default)]
struct Moments(BTreeMap<String, u8>);

impl Moments {
    const LAST: u8 = 6;

    fn look(&mut self, commands: &[SessionStatus]) {
        for moment in self.0.values_mut() {
            // Those that are not there any more, until they are found below.
            *moment = (*moment).max(Self::LAST);
        }
        for session in commands {
            let moment = match (session.phase, session.figures.bytes_down) {
                (Phase::Stopped, _) => 0,
                (Phase::Starting, _) => 1,
                (Phase::Handshaking, _) => 2,
                (_, 0..300) => 3,
                (_, 300..1300) => 4,
                (_, _) => 5,
            };
            self.0.insert(session.name.clone(), moment);
        }
    }

    /// Whether so many have been so far.
    fn reached(&self, moment: u8, count: usize) -> bool {
        self.0.values().filter(|seen| **seen >= moment).count() >= count
    }
}

/// Each fault at each of some moments, plain and durable: the true code or 255, and no output that is not the command's.
#[tokio::test]
async fn faults_at_any_moment_never_give_a_wrong_code() {
    let bench = Bench::start().await;
    let link = |side, fault| Fault::Link {
        session: None,
        side,
        fault,
    };
    let faults = [
        link(Side::Client, LinkFault::Reset),
        link(
            Side::Client,
            LinkFault::Close {
                code: 1000,
                reason: "Bye".to_owned(),
            },
        ),
        link(Side::Agent, LinkFault::Reset),
        link(Side::Agent, LinkFault::Away { for_ms: 300 }),
        Fault::ExpireTokens { session: None },
    ];
    let command = "seq 1 300; sleep 0.3; seq 301 600; exit 6";
    let whole: String = (1..=600).map(|number| format!("{number}\n")).collect();
    let mut known = 0;
    for durable in [false, true] {
        let options: &[&str] = if durable { &["--durable"] } else { &[] };
        for fault in &faults {
            let mut runs = JoinSet::new();
            let started: Vec<_> = (0..6)
                .map(|_| runs.spawn(outcome(bench.exec(options, &[command]))))
                .collect();
            // Starts, handshakes, outputs and ends are all hit by one of these: as soon as the first is there, and the last.
            let mut seen = Moments::default();
            for moment in 1..=Moments::LAST {
                for all in [false, true] {
                    let there = async || {
                        seen.look(&bench.commands().await);
                        seen.reached(moment, if all { started.len() } else { 1 })
                            || started.iter().all(tokio::task::AbortHandle::is_finished)
                    };
                    assert!(comes_true(there).await, "{seen:?}");
                    bench.inject(fault.clone()).await;
                }
            }
            while let Some(run) = runs.join_next().await {
                let run = run.unwrap();
                match run.code {
                    Some(6) if durable => assert_eq!(run.stdout(), whole),
                    Some(6) => {}
                    Some(255) => assert!(run.stderr.contains("autossm"), "{run:?}"),
                    _ => panic!("{fault:?}: {run:?}"),
                }
                assert!(durable || whole.starts_with(&run.stdout()), "{run:?}");
                known += usize::from(run.code == Some(6));
            }
        }
    }
    assert!(known > 20, "{known}");
}
