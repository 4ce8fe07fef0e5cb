//! The machine sleeps, its clock is set, its processes stand still: the real daemon under a clock that jumps.

mod shim;

use std::cell::Cell;
use std::time::Duration;

use autossm::status::SessionStatus;
use autossm_proto::session::{DropCause, Phase};
use autossm_sim::{Config, Disturbance, Fault, LinkFault, Side, Traffic};
use rustix::process::Signal;

use self::shim::{Jump, Shim};
use crate::Bench;
use crate::support::comes_true;
use crate::support::traffic::Load;

const LOADS: [Load; 2] = [
    Load {
        key: 1,
        up: 3_000_000,
        down: 20_000,
        pace: 1_500_000,
    },
    Load {
        key: 2,
        up: 20_000,
        down: 1_000_000,
        pace: 1_500_000,
    },
];
const THIRD: u64 = 1_340_000;
const HALF_AN_HOUR: i64 = 1800;
const DAY: i64 = 24 * 60 * 60;
const SLEPT: &str = "the machine has slept";

/// Far above what an attempt on loopback takes, far below the waits and time-outs it must not be.
const AT_ONCE: Duration = Duration::from_secs(3);

const fn client(fault: LinkFault) -> Fault {
    Fault::Link {
        session: None,
        side: Side::Client,
        fault,
    }
}

fn close_1000() -> Fault {
    client(LinkFault::Close {
        code: 1000,
        reason: "Bye".to_owned(),
    })
}

/// A daemon whose clocks can be made to jump; the simulator's stay as they are.
struct Sleeper {
    bench: Bench,
    shim: Shim,
    /// Seconds so far.
    slept: Cell<i64>,
}

impl Sleeper {
    async fn start(simulator: Config, more: &str) -> Option<Self> {
        let shim = Shim::build()?;
        let bench = Bench::under(simulator, more, &shim.environment()).await;
        let slept = Cell::new(0);
        Some(Self { bench, shim, slept })
    }

    /// The lid is closed and opened again: the process stands still, its clocks go on, `meanwhile` happens.
    async fn sleep(&self, seconds: i64, meanwhile: impl IntoIterator<Item = Fault>) {
        let naps = self.bench.daemon.log().matches(SLEPT).count();
        self.freeze().await;
        self.bench.inject(meanwhile).await;
        self.slept.set(self.slept.get() + seconds);
        self.shim.jump(Jump {
            boot_time: self.slept.get(),
            ..Jump::default()
        });
        self.thaw();
        self.bench
            .daemon
            .said(|log| log.matches(SLEPT).count() > naps)
            .await
            .unwrap();
    }

    /// Returns when it does stand still: what happens next must not reach it before.
    async fn freeze(&self) {
        self.bench.daemon.signal(Signal::STOP).unwrap();
        let tasks = format!("/proc/{}/task", self.bench.daemon.pid().unwrap());
        let stands = || {
            std::fs::read_dir(&tasks).unwrap().flatten().all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The state comes after the name, which is in brackets (proc(5)).
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
            })
        };
        assert!(comes_true(async || stands()).await, "it does not stand still");
    }

    fn thaw(&self) {
        self.bench.daemon.signal(Signal::CONT).unwrap();
    }

    fn resumes(&self) -> u64 {
        self.bench.simulator.calls().resume
    }

    async fn session(&self) -> SessionStatus {
        self.bench.daemon.session().await.unwrap()
    }

    async fn recovered(&self, drops: u64) -> SessionStatus {
        self.bench
            .daemon
            .wait_until("recovered", |session| {
                session.figures.drops >= drops && session.phase == Phase::Attached
            })
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn suspend_for_30_minutes_in_mid_transfer() {
    let Some(sleeper) = Sleeper::start(Config::default(), "").await else {
        return;
    };
    let bench = &sleeper.bench;
    bench.attached().await;
    let transfer = bench.transfer(LOADS.to_vec()).await;
    bench.moved(THIRD).await;
    // The service has given the connection up meanwhile.
    sleeper.sleep(HALF_AN_HOUR, [client(LinkFault::Reset)]).await;
    let session = sleeper.recovered(1).await;
    let drop = &session.history[0];
    assert!(
        drop.recovered_after_ms
            .is_some_and(|ms| u128::from(ms) < AT_ONCE.as_millis()),
        "{drop:?}"
    );
    bench.finish(transfer).await;
    let session = sleeper.session().await;
    assert_eq!((session.figures.drops, session.figures.starts), (1, 1), "{session:?}");
    assert_eq!(
        (session.history[0].attempts, sleeper.resumes()),
        (1, 1),
        "one attempt, no burst"
    );
}

/// The connection lives, for the service's side of it slept as well, or nobody has noticed: nothing is torn down.
#[tokio::test]
async fn suspend_that_the_connection_survives_drops_nothing() {
    let Some(sleeper) = Sleeper::start(Config::default(), "").await else {
        return;
    };
    let bench = &sleeper.bench;
    bench.attached().await;
    let transfer = bench.transfer(LOADS.to_vec()).await;
    bench.moved(THIRD).await;
    sleeper.sleep(HALF_AN_HOUR, []).await;
    bench.finish(transfer).await;
    let session = sleeper.session().await;
    assert_eq!((session.figures.drops, sleeper.resumes()), (0, 0), "{session:?}");
}

/// A NAT has forgotten the connection meanwhile: nothing is refused, nothing comes. The probe finds out.
#[tokio::test]
async fn suspend_that_leaves_a_black_hole_is_noticed_by_the_probe() {
    let Some(sleeper) = Sleeper::start(Config::default(), "").await else {
        return;
    };
    let bench = &sleeper.bench;
    bench.attached().await;
    let stall = client(LinkFault::Traffic(Disturbance::new(Traffic::Stall)));
    sleeper.sleep(HALF_AN_HOUR, [stall]).await;
    let session = sleeper.recovered(1).await;
    let drop = &session.history[0];
    assert_eq!(drop.cause, DropCause::BacklogStalled, "no answer to a probe");
    assert_eq!((drop.attempts, sleeper.resumes()), (1, 1));
    let transfer = bench.transfer(LOADS.to_vec()).await;
    bench.finish(transfer).await;
}

#[tokio::test]
async fn suspend_during_the_handshake() {
    let stall = client(LinkFault::Traffic(Disturbance::new(Traffic::Stall)));
    let settings = Config {
        faults: vec![stall],
        ..Config::default()
    };
    let Some(sleeper) = Sleeper::start(settings, "").await else {
        return;
    };
    let bench = &sleeper.bench;
    bench
        .daemon
        .wait_until("handshaking", |session| session.phase == Phase::Handshaking)
        .await
        .unwrap();
    sleeper.sleep(HALF_AN_HOUR, []).await;
    bench.inject([Fault::Heal]).await;
    bench.attached().await;
    let transfer = bench.transfer(LOADS.to_vec()).await;
    bench.finish(transfer).await;
    let session = sleeper.session().await;
    // The half hour does not count against the 30 s that a handshake may take.
    assert_eq!((session.figures.starts, session.figures.drops), (1, 0), "{session:?}");
}

#[tokio::test]
async fn flapping_lid_ten_times_five_seconds() {
    let Some(sleeper) = Sleeper::start(Config::default(), "").await else {
        return;
    };
    let bench = &sleeper.bench;
    bench.attached().await;
    let transfer = bench.transfer(LOADS.to_vec()).await;
    for flap in 1..=10_u64 {
        bench.moved(THIRD / 10 * flap).await;
        sleeper.sleep(5, [client(LinkFault::Reset)]).await;
        sleeper.recovered(flap).await;
    }
    bench.finish(transfer).await;
    let session = sleeper.session().await;
    assert_eq!((session.figures.drops, sleeper.resumes()), (10, 10), "{session:?}");
    for drop in &session.history {
        assert_eq!(drop.attempts, 1, "{drop:?}");
        assert!(
            drop.recovered_after_ms
                .is_some_and(|ms| u128::from(ms) < AT_ONCE.as_millis()),
            "each at once, however often before: {drop:?}"
        );
    }
}

/// Somebody sets the clock: no timer runs by it. Calls are refused while it is wrong, and the session waits for that to
/// be mended as it would for a login.
async fn wall_clock_jump(seconds: i64) {
    let Some(sleeper) = Sleeper::start(Config::default(), "").await else {
        return;
    };
    let bench = &sleeper.bench;
    bench.attached().await;
    let transfer = bench.transfer(LOADS.to_vec()).await;
    bench.moved(THIRD / 2).await;
    sleeper.shim.jump(Jump {
        wall_clock: seconds,
        ..Jump::default()
    });
    bench.moved(THIRD).await;
    let session = sleeper.session().await;
    assert_eq!((session.figures.drops, session.attempts), (0, 0), "{session:?}");
    bench.inject([close_1000()]).await;
    let session = bench
        .daemon
        .wait_until("refused, or back already", |session| {
            session.figures.drops == 1 && (session.phase == Phase::AwaitingLogin || session.phase == Phase::Attached)
        })
        .await
        .unwrap();
    if session.phase == Phase::AwaitingLogin {
        assert!(session.cause.contains("the machine's clock"), "{}", session.cause);
        assert!(
            session.may_end_in_ms.is_some_and(|ms| ms > 15 * 60 * 1000),
            "its deadlines are as before"
        );
        // NTP puts it right; or the user does.
        sleeper.shim.jump(Jump::default());
    }
    bench.finish(transfer).await;
    let session = sleeper.session().await;
    assert_eq!((session.figures.drops, session.figures.starts), (1, 1), "{session:?}");
    assert!(!bench.daemon.log().contains(SLEPT), "{}", bench.daemon.log());
}

#[tokio::test]
async fn wall_clock_set_a_day_ahead() {
    wall_clock_jump(DAY).await;
}

#[tokio::test]
async fn wall_clock_set_a_day_back() {
    wall_clock_jump(-DAY).await;
}

/// The process stands still and the clocks go on together, as in a machine that swaps or a debugger.
#[tokio::test]
async fn standing_still_for_8_seconds_in_mid_transfer() {
    let Some(sleeper) = Sleeper::start(Config::default(), crate::QUICK).await else {
        return;
    };
    let bench = &sleeper.bench;
    bench.attached().await;
    let transfer = bench.transfer(LOADS.to_vec()).await;
    bench.moved(THIRD).await;
    sleeper.freeze().await;
    // Longer than every ping and probe: what the clock shows afterwards looks like a dead link.
    sleeper.shim.jump(Jump {
        boot_time: 8,
        wall_clock: 8,
        monotonic: 8,
    });
    sleeper.thaw();
    bench.finish(transfer).await;
    let session = bench.daemon.session().await.unwrap();
    assert!(session.figures.drops <= 1, "{session:?}");
    assert!(bench.simulator.calls().resume <= 1, "no burst");
    assert!(!bench.daemon.log().contains(SLEPT), "{}", bench.daemon.log());
}
