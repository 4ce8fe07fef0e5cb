//! A session whose client was killed at a random moment, and another client that takes it over: its commands run exactly
//! once. The agent here is one of a line-wise program; what matters is who has which number.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{
    Command, Epoch, Event, Failure, FailureClass, Grant, Inbound, LocalId, Outcome, Phase, Purpose, ResumeGrant,
    Secret, Session, SessionConfig, Transmit,
};
use bytes::Bytes;

use crate::host::fresh_session;
use crate::lines::{Agent, LINE, line};
use crate::rng::Rng;

const TICK: Duration = Duration::from_millis(100);

/// One client with one local connection.
#[derive(Debug)]
struct Client {
    session: Session,
    local: LocalId,
    commands: VecDeque<Vec<u8>>,
    got: Vec<u8>,
    epoch: Option<Epoch>,
}

impl Client {
    fn new(config: &SessionConfig, seed: u64, commands: VecDeque<Vec<u8>>, now: Timestamp) -> Self {
        let mut session = fresh_session(config, seed);
        session.start(now);
        let local = session.open_local(now);
        Self {
            session,
            local,
            commands,
            got: Vec::new(),
            epoch: None,
        }
    }

    /// Does what the session wants; gives its commands and its frames.
    fn turn(&mut self, now: Timestamp) -> (Vec<Command>, Vec<Transmit>) {
        let (mut wanted, mut frames) = (Vec::new(), Vec::new());
        loop {
            while self.session.poll_record().is_some() {}
            while let Some(command) = self.session.poll_command() {
                wanted.push(command);
            }
            while let Some(event) = self.session.poll_event() {
                if let Event::Data { bytes, .. } = event {
                    self.got.extend_from_slice(&bytes);
                    self.session.handle_local_written(self.local, bytes.len(), now);
                }
            }
            if self.session.local_room(self.local) > LINE
                && let Some(command) = self.commands.pop_front()
            {
                self.session.handle_local_data(self.local, Bytes::from(command), now);
                continue;
            }
            let Some(frame) = self.session.poll_transmit(now) else {
                break;
            };
            frames.push(frame);
        }
        if let Some(epoch) = self.epoch {
            self.session.handle_flushed(epoch, now);
        }
        (wanted, frames)
    }
}

#[derive(Debug)]
enum What {
    Outcome(Outcome),
    /// To the service, over this websocket.
    Up(u64, Bytes),
    ToAgent(Bytes),
    Down(u64, Inbound),
    Reset(u64),
}

/// The service, and what is on its way.
#[derive(Debug)]
struct World {
    now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), What>,
    next: u64,
    rng: Rng,
    delay: Duration,
    agent: Agent,
    next_tick: Timestamp,
    /// The websockets, by number; each client's epochs begin anew.
    websockets: u64,
    attached: Option<u64>,
    /// Percent of the client's messages that vanish.
    loses: u64,
    ended: bool,
    /// Until then no call arrives.
    offline: Timestamp,
    /// What ResumeSession answers in place of a token.
    refusal: Option<Failure>,
}

impl World {
    fn new(seed: u64, old: bool) -> Self {
        let mut rng = Rng::new(seed ^ 0x6164_6f70);
        Self {
            now: Timestamp::ZERO,
            queue: BTreeMap::new(),
            next: 0,
            delay: rng.millis(1, 60),
            rng,
            agent: Agent {
                old,
                clock: 1,
                ..Agent::default()
            },
            next_tick: Timestamp::ZERO,
            websockets: 0,
            attached: None,
            loses: 0,
            ended: false,
            offline: Timestamp::ZERO,
            refusal: None,
        }
    }

    fn after(&mut self, wait: Duration, what: What) {
        self.next += 1;
        self.queue.insert((self.now.after(wait), self.next), what);
    }

    /// Runs until then, or until `done`.
    fn run(&mut self, client: &mut Client, until: Timestamp, done: impl Fn(&Client) -> bool) {
        while self.now < until && !done(client) {
            self.settle(client);
            let due = client.session.poll_timeout().map(|wakeup| wakeup.at);
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let next = due.into_iter().chain(event).chain([self.next_tick, until]).min();
            self.now = self.now.max(next.unwrap_or(until));
            if self.next_tick <= self.now {
                self.next_tick = self.now.after(TICK);
                self.agent.tick();
            }
            client.session.handle_timeout(self.now);
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let what = entry.remove();
                self.happen(client, what);
                self.settle(client);
            }
        }
    }

    fn happen(&mut self, client: &mut Client, what: What) {
        self.agent.clock = 1_700_000_000_000 + self.now.as_nanos() / 1_000_000;
        let (now, delay) = (self.now, self.delay);
        match what {
            What::Outcome(outcome) => {
                if let Outcome::Dialed { epoch, .. } = outcome {
                    self.websockets += 1;
                    client.epoch = Some(epoch);
                }
                client.session.handle_outcome(outcome, now);
            }
            What::Up(websocket, frame) if self.attached == Some(websocket) => {
                if !self.rng.chance(self.loses) {
                    self.after(delay, What::ToAgent(frame));
                }
            }
            What::Up(..) => {}
            What::ToAgent(frame) => self.agent.handle(&frame),
            What::Down(websocket, frame) => {
                if let Some(epoch) = client.epoch.filter(|_| self.websockets == websocket) {
                    client.session.handle_inbound(epoch, frame, now);
                }
            }
            What::Reset(websocket) => {
                if let Some(epoch) = client.epoch.filter(|_| self.websockets == websocket) {
                    self.attached = None;
                    client
                        .session
                        .handle_dropped(epoch, autossm_proto::session::DropCause::Reset, now);
                }
            }
        }
    }

    fn settle(&mut self, client: &mut Client) {
        let (wanted, frames) = client.turn(self.now);
        for command in wanted {
            self.command(client, command);
        }
        for frame in frames {
            match frame {
                // The newest websocket takes the session over.
                Transmit::Text(_) => {
                    self.attached = Some(self.websockets);
                    self.agent.begin();
                }
                Transmit::Binary(bytes) => self.after(self.delay, What::Up(self.websockets, bytes)),
                Transmit::Ping(payload) => {
                    self.after(self.delay * 2, What::Down(self.websockets, Inbound::Pong(payload)));
                }
            }
        }
        for frame in std::mem::take(&mut self.agent.out) {
            if let Some(websocket) = self.attached {
                self.after(self.delay * 2, What::Down(websocket, Inbound::Binary(frame)));
            }
        }
    }

    fn command(&mut self, client: &mut Client, command: Command) {
        let token = || Secret::new("token".to_owned());
        let outcome = match command {
            Command::Start { attempt, .. } => Outcome::Started {
                attempt,
                grant: Grant {
                    session_id: "s-1".to_owned(),
                    token: token(),
                    stream_url: "wss://service".to_owned(),
                },
            },
            Command::Resume {
                attempt, session_id, ..
            } => {
                assert_eq!(session_id, "s-1");
                let away = Failure {
                    class: FailureClass::Network,
                    text: "no route".to_owned(),
                };
                let away = (self.now < self.offline).then_some(away);
                if let Some(failure) = away.or_else(|| self.refusal.clone()) {
                    return self.after(self.delay, What::Outcome(Outcome::Failed { attempt, failure }));
                }
                let grant = ResumeGrant {
                    token: Some(token()),
                    stream_url: Some("wss://service".to_owned()),
                };
                Outcome::Resumed { attempt, grant }
            }
            Command::Dial { attempt, epoch, .. } => Outcome::Dialed { attempt, epoch },
            Command::Terminate { .. } => {
                self.ended = true;
                return;
            }
            Command::Close { .. } => {
                client.epoch = None;
                return;
            }
            Command::FetchKey { .. } | Command::Abandon { .. } | Command::ReadPreferences => return,
        };
        self.after(self.delay, What::Outcome(outcome));
    }

    /// Nobody is there: what is on its way arrives.
    fn wait(&mut self, time: Duration) {
        let until = self.now.after(time);
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            self.now = entry.key().0;
            if let What::ToAgent(frame) = entry.remove() {
                self.agent.handle(&frame);
                self.agent.out.clear();
            }
        }
        (self.now, self.next_tick) = (until, until);
    }

    /// The client's process is gone; of what it has under way some still arrives.
    fn kill(&mut self) {
        self.attached = None;
        let lost_from = self.now.after(self.rng.millis(0, 100));
        self.queue.retain(|(at, _), what| match what {
            What::ToAgent(_) => *at < lost_from,
            What::Up(..) | What::Outcome(_) | What::Down(..) | What::Reset(_) => false,
        });
    }
}

/// What the session carries makes no difference to its numbers.
fn adopting(seed: u64) -> SessionConfig {
    let purpose = if seed.is_multiple_of(2) {
        Purpose::Connections
    } else {
        Purpose::Shell
    };
    SessionConfig {
        purpose,
        adopt: Some("s-1".to_owned()),
        adopt_sweep: 500,
        once: true,
        ..SessionConfig::default()
    }
}

/// A session whose client has sent commands until it was killed.
fn left_behind(seed: u64, old: bool) -> World {
    let mut world = World::new(seed, old);
    let count = world.rng.range(1, 300);
    let commands = (0..count).map(|number| line(&format!("first {number}"))).collect();
    let mut client = Client::new(&SessionConfig::default(), seed, commands, world.now);
    world.run(&mut client, world.now.after(Duration::from_secs(5)), |client| {
        client.session.snapshot().phase == Phase::Attached
    });
    let killed = world.now.after(world.rng.millis(0, 2000));
    world.loses = world.rng.range(0, 8);
    world.run(&mut client, killed, |_| false);
    world.loses = 0;
    world.kill();
    world
}

#[test]
fn the_next_command_of_200_sessions_taken_over_runs_exactly_once() {
    let (mut left_over, mut resets) = (0, 0);
    for seed in 0..200 {
        let mut world = left_behind(seed, false);
        left_over += usize::from(!world.agent.kept.is_empty());
        let commands: Vec<String> = (0..5).map(|number| format!("second {number}")).collect();
        let lines = commands.iter().map(|command| line(command)).collect();
        let wait = world.rng.millis(300, 5000);
        world.wait(wait);
        // What the first client has not acknowledged is the second one's, and all that follows.
        let first = world
            .agent
            .unacknowledged
            .front()
            .map_or(world.agent.next_out, |(number, _)| *number);
        let acknowledged = world.agent.acknowledged_from(first);
        let mut client = Client::new(&adopting(seed), seed ^ 0xff, lines, world.now);
        for _ in 0..world.rng.range(0, 3) {
            let wait = world.rng.millis(0, 4000);
            let websocket = world.websockets + world.rng.range(1, 3);
            world.after(wait, What::Reset(websocket));
            resets += 1;
        }
        let expected: Vec<u8> = commands
            .iter()
            .flat_map(|command| line(&format!("ran {command}")))
            .collect();
        world.run(&mut client, world.now.after(Duration::from_secs(900)), |client| {
            client.got.ends_with(&expected)
        });
        let second: Vec<&String> = world.agent.ran.iter().filter(|ran| ran.starts_with("second")).collect();
        assert_eq!(
            second,
            commands.iter().collect::<Vec<_>>(),
            "seed {seed}: {:?}",
            client.session.snapshot()
        );
        let said = world
            .agent
            .said
            .range(first..)
            .filter(|(number, _)| !acknowledged.contains(*number));
        let said: Vec<u8> = said.flat_map(|(_, said)| said.iter().copied()).collect();
        let (got, said) = (String::from_utf8_lossy(&client.got), String::from_utf8_lossy(&said));
        assert_eq!(got, said, "seed {seed}: {:?}", client.session.snapshot());
        assert!(
            client.got.ends_with(&expected),
            "seed {seed}: {:?}",
            client.session.snapshot()
        );
    }
    assert!(
        left_over > 20 && resets > 50,
        "{left_over} with what was left over, {resets} resets"
    );
}

#[test]
fn what_cannot_be_taken_over_is_left_alone_with_a_reason() {
    let refused = |mut world: World| {
        let mut client = Client::new(&adopting(1), 1, VecDeque::new(), world.now);
        world.run(&mut client, world.now.after(Duration::from_secs(120)), |client| {
            client.session.snapshot().phase == Phase::Stopped
        });
        assert!(!world.ended, "it belongs to somebody else");
        client.session.snapshot().cause
    };
    let cause = refused(left_behind(7, true));
    assert!(
        cause.contains("cannot be taken over") && cause.contains("3.2.1041.0"),
        "{cause}"
    );
    let mut untouched = World::new(7, false);
    untouched.agent.requested = true;
    let cause = refused(untouched);
    assert!(cause.contains("nothing was ever sent in it"), "{cause}");
}

/// The time in which the place must be found is that of a websocket: without network nothing is sought.
#[test]
fn a_drop_in_mid_search_and_a_long_outage_only_delay_it() {
    let mut world = left_behind(11, false);
    world.wait(Duration::from_secs(3));
    let command = line("second");
    let mut client = Client::new(&adopting(0), 3, VecDeque::from([command]), world.now);
    world.run(&mut client, world.now.after(Duration::from_secs(60)), |client| {
        client.session.snapshot().phase == Phase::Handshaking
    });
    world.offline = world.now.after(Duration::from_secs(300));
    world.after(Duration::from_millis(1), What::Reset(world.websockets));
    world.run(&mut client, world.now.after(Duration::from_secs(600)), |client| {
        client.got.ends_with(&line("ran second"))
    });
    assert!(
        client.got.ends_with(&line("ran second")),
        "{:?}",
        client.session.snapshot()
    );
}

/// What no waiting mends is said at once, and the session stays whose it is.
#[test]
fn a_refusal_ends_an_adoption() {
    for (class, phase) in [
        (FailureClass::AccessDenied, Phase::Stopped),
        (FailureClass::Rejected, Phase::Stopped),
        (FailureClass::Credentials, Phase::AwaitingLogin),
    ] {
        let mut world = left_behind(11, false);
        world.refusal = Some(Failure {
            class,
            text: "refused".to_owned(),
        });
        let mut client = Client::new(&adopting(1), 3, VecDeque::new(), world.now);
        world.run(&mut client, world.now.after(Duration::from_secs(5)), |client| {
            client.session.snapshot().phase == phase
        });
        let snapshot = client.session.snapshot();
        assert_eq!((snapshot.phase, snapshot.cause.as_str()), (phase, "refused"));
        assert!(!world.ended);
    }
}
