//! A thousand sessions of one account: the network goes for ten minutes and comes back. Services and agents here do only
//! what an idle session needs; what matters is who calls when.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::pace::{Pace, Ticket};
use autossm_proto::session::{
    Attempt, Command, DropCause, Epoch, Failure, FailureClass, Grant, Inbound, NetworkChange, Outcome, Phase,
    ResumeGrant, Secret, Session, SessionConfig, Transmit,
};
use bytes::Bytes;

use crate::host::fresh_session;
use crate::rng::Rng;
use crate::wire::{HANDSHAKE_COMPLETE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, Kind, Msg};

const REQUEST: &str = r#"{"AgentVersion":"3.3.1142.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"80","type":"LocalPortForwarding"}}}]}"#;
/// One way.
const DELAY: Duration = Duration::from_millis(20);

#[derive(Debug)]
enum What {
    Due,
    Outcome(Outcome),
    Frame(Epoch, Inbound),
}

/// One session, its service and its agent.
#[derive(Debug)]
struct Member {
    session: Session,
    idle: Duration,
    epoch: Option<Epoch>,
    armed: Option<Timestamp>,
    /// The service's clock: the last input or resume.
    active: Timestamp,
    greeted: bool,
    waiting: BTreeMap<Attempt, Ticket>,
}

#[derive(Debug)]
pub(crate) struct Fleet {
    now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), (usize, What)>,
    next: u64,
    rng: Rng,
    members: Vec<Member>,
    pace: Pace,
    places: BTreeMap<Ticket, (usize, Command)>,
    up: bool,
    /// When each call was let go, whether or not it got anywhere.
    calls: Vec<Timestamp>,
    /// Resumes that came after AWS had ended the session.
    late: usize,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs(seconds))
}

fn message(number: i64, payload_type: u32, payload: &'static str) -> Bytes {
    Msg {
        kind: Kind::Output,
        number,
        payload_type,
        created: 1_700_000_000_000,
        id: [3; 16],
        payload: Bytes::from_static(payload.as_bytes()),
    }
    .encode()
}

impl Fleet {
    pub(crate) fn new(size: usize, idle: impl Fn(&mut Rng) -> Duration, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let members = (0..size)
            .map(|index| {
                let idle = idle(&mut rng);
                let config = SessionConfig {
                    session_timeout: Some(idle),
                    ..SessionConfig::default()
                };
                Member {
                    session: fresh_session(&config, seed.wrapping_add(index as u64)),
                    idle,
                    epoch: None,
                    armed: None,
                    active: Timestamp::ZERO,
                    greeted: false,
                    waiting: BTreeMap::new(),
                }
            })
            .collect();
        let mut fleet = Self {
            now: Timestamp::ZERO,
            queue: BTreeMap::new(),
            next: 0,
            rng,
            members,
            pace: Pace::default(),
            places: BTreeMap::new(),
            up: true,
            calls: Vec::new(),
            late: 0,
        };
        for index in 0..size {
            fleet.members[index].session.start(Timestamp::ZERO);
            fleet.settle(index);
        }
        fleet
    }

    fn after(&mut self, wait: Duration, index: usize, what: What) {
        self.next += 1;
        self.queue.insert((self.now.after(wait), self.next), (index, what));
    }

    fn run_until(&mut self, end: Timestamp) {
        loop {
            let turn = self.pace.poll_timeout().map(|wakeup| wakeup.at);
            let event = self.queue.keys().next().map(|(at, _)| *at);
            let Some(next) = turn.into_iter().chain(event).min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(ticket) = self.pace.poll_turn(self.now) {
                if let Some((index, command)) = self.places.remove(&ticket) {
                    self.call(index, command);
                    self.settle(index);
                }
            }
            if let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (index, what) = entry.remove();
                self.happen(index, what);
                self.settle(index);
            }
        }
    }

    fn happen(&mut self, index: usize, what: What) {
        let now = self.now;
        let member = &mut self.members[index];
        match what {
            What::Due => {
                member.armed = None;
                member.session.handle_timeout(now);
            }
            What::Outcome(outcome) => {
                if let Outcome::Dialed { epoch, .. } = outcome {
                    member.epoch = Some(epoch);
                }
                member.session.handle_outcome(outcome, now);
            }
            What::Frame(epoch, frame) => {
                if member.epoch == Some(epoch) && self.up {
                    member.session.handle_inbound(epoch, frame, now);
                }
            }
        }
    }

    /// A call goes out; without a network it fails, some at once and some late.
    fn call(&mut self, index: usize, command: Command) {
        let now = self.now;
        self.calls.push(now);
        let member = &mut self.members[index];
        let (attempt, session_id) = match command {
            Command::Start { attempt, .. } => (attempt, None),
            Command::Resume {
                attempt, session_id, ..
            } => (attempt, Some(session_id)),
            Command::Dial { .. }
            | Command::FetchKey { .. }
            | Command::Abandon { .. }
            | Command::Close { .. }
            | Command::Terminate { .. }
            | Command::ReadPreferences => return,
        };
        member.waiting.remove(&attempt);
        member.session.handle_turn(attempt, now);
        if !self.up {
            let wait = self.rng.millis(1, 9000);
            return self.after(wait, index, What::Outcome(failed(attempt)));
        }
        let token = Secret::new("token".to_owned());
        let alive = now.since(member.active) <= member.idle;
        let outcome = if session_id.is_none() {
            member.greeted = false;
            member.active = now;
            Outcome::Started {
                attempt,
                grant: Grant {
                    session_id: format!("s-{index}"),
                    token,
                    stream_url: "wss://service".to_owned(),
                },
            }
        } else {
            self.late += usize::from(!alive);
            member.active = now;
            Outcome::Resumed {
                attempt,
                grant: ResumeGrant {
                    token: alive.then_some(token),
                    stream_url: None,
                },
            }
        };
        self.after(DELAY * 2, index, What::Outcome(outcome));
    }

    fn settle(&mut self, index: usize) {
        let now = self.now;
        let member = &mut self.members[index];
        while member.session.poll_record().is_some() || member.session.poll_event().is_some() {}
        while let Some(command) = self.members[index].session.poll_command() {
            self.command(index, command);
        }
        while let Some(transmit) = self.members[index].session.poll_transmit(now) {
            self.transmit(index, &transmit);
        }
        let member = &mut self.members[index];
        if let Some(epoch) = member.epoch {
            member.session.handle_flushed(epoch, now);
        }
        while member.session.poll_record().is_some() || member.session.poll_event().is_some() {}
        let due = member.session.poll_timeout().map(|wakeup| wakeup.at);
        if let Some(due) = due.filter(|due| member.armed.is_none_or(|armed| armed > *due)) {
            member.armed = Some(due);
            self.after(due.since(now), index, What::Due);
        }
    }

    fn command(&mut self, index: usize, command: Command) {
        match command {
            Command::Start { attempt, due } | Command::Resume { attempt, due, .. } => {
                let ticket = self.pace.ask(due);
                self.members[index].waiting.insert(attempt, ticket);
                self.places.insert(ticket, (index, command));
            }
            Command::Dial { attempt, epoch, .. } => {
                let outcome = if self.up {
                    Outcome::Dialed { attempt, epoch }
                } else {
                    failed(attempt)
                };
                self.after(DELAY * 6, index, What::Outcome(outcome));
            }
            Command::Abandon { attempt } => {
                if let Some(ticket) = self.members[index].waiting.remove(&attempt) {
                    self.pace.withdraw(ticket);
                    self.places.remove(&ticket);
                }
            }
            Command::Close { epoch } => {
                let member = &mut self.members[index];
                member.epoch = member.epoch.filter(|current| *current != epoch);
            }
            Command::Terminate { .. } | Command::ReadPreferences | Command::FetchKey { .. } => {}
        }
    }

    /// The service and the agent answer at once.
    fn transmit(&mut self, index: usize, transmit: &Transmit) {
        let Some(epoch) = self.members[index].epoch.filter(|_| self.up) else {
            return;
        };
        let member = &mut self.members[index];
        let mut answers = Vec::new();
        match transmit {
            Transmit::Text(_) => {
                if !std::mem::replace(&mut member.greeted, true) {
                    answers.push(Inbound::Binary(message(0, HANDSHAKE_REQUEST, REQUEST)));
                }
            }
            Transmit::Ping(payload) => answers.push(Inbound::Pong(payload.clone())),
            Transmit::Binary(bytes) => {
                let msg = Msg::decode(bytes);
                if msg.kind == Kind::Input {
                    member.active = self.now;
                    answers.push(Inbound::Binary(msg.acknowledge(msg.created).encode()));
                    if msg.payload_type == HANDSHAKE_RESPONSE {
                        let complete = r#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#;
                        answers.push(Inbound::Binary(message(1, HANDSHAKE_COMPLETE, complete)));
                    }
                }
            }
        }
        for answer in answers {
            self.after(DELAY * 2, index, What::Frame(epoch, answer));
        }
    }

    fn attached(&self) -> usize {
        let is_attached = |member: &&Member| member.session.snapshot().phase == Phase::Attached;
        self.members.iter().filter(is_attached).count()
    }

    /// Half of the websockets are reset, the others are black holes.
    fn lose_network(&mut self) {
        self.up = false;
        for index in (0..self.members.len()).step_by(2) {
            if let Some(epoch) = self.members[index].epoch.take() {
                self.members[index]
                    .session
                    .handle_dropped(epoch, DropCause::Reset, self.now);
                self.settle(index);
            }
        }
    }

    fn regain_network(&mut self) {
        self.up = true;
        for index in 0..self.members.len() {
            self.members[index]
                .session
                .handle_network(NetworkChange::Route, self.now);
            self.settle(index);
        }
    }

    /// The most calls within any ten seconds.
    fn busiest(&self, from: Timestamp) -> usize {
        let mut within = VecDeque::new();
        let mut most = 0;
        for call in self.calls.iter().copied().filter(|call| *call >= from) {
            within.push_back(call);
            while within
                .front()
                .is_some_and(|first| call.since(*first) >= Duration::from_secs(10))
            {
                within.pop_front();
            }
            most = most.max(within.len());
        }
        most
    }
}

fn failed(attempt: Attempt) -> Outcome {
    let failure = Failure {
        class: FailureClass::Network,
        text: "no route".to_owned(),
    };
    Outcome::Failed { attempt, failure }
}

#[test]
fn a_thousand_sessions_come_back_after_ten_minutes_without_a_network() {
    // AWS ends the first of them a minute and a half after the network's return, the last ten minutes later.
    let idle = |rng: &mut Rng| Duration::from_secs(rng.range(840, 1440));
    let mut fleet = Fleet::new(1000, idle, 1);
    fleet.run_until(at(150));
    assert_eq!(fleet.attached(), 1000);
    // Twenty at once, then ten a second.
    assert!(fleet.busiest(at(0)) <= 121, "{}", fleet.busiest(at(0)));
    fleet.lose_network();
    fleet.run_until(at(750));
    assert_eq!(fleet.attached(), 0);
    let before = fleet.calls.len();
    fleet.regain_network();
    fleet.run_until(at(750 + 110));
    assert_eq!((fleet.attached(), fleet.late), (1000, 0));
    let resumes = fleet.calls.len() - before;
    assert_eq!(resumes, 1000, "one call each was enough");
    assert!(fleet.busiest(at(150)) <= 121, "{}", fleet.busiest(at(150)));
}

#[test]
fn an_ordinary_workstation_does_not_notice_the_pace() {
    let mut fleet = Fleet::new(8, |_| Duration::from_secs(1200), 2);
    fleet.run_until(at(60));
    fleet.lose_network();
    fleet.run_until(at(660));
    fleet.regain_network();
    // A call, a dial and the proof.
    fleet.run_until(at(660).after(DELAY * 10 + Duration::from_millis(100)));
    assert_eq!(fleet.attached(), 8);
}
