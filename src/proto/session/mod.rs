//! One pure session: phases, attempts, deadlines, data channel and streams under one poll grammar.

mod adoption;
mod api;
mod config;
mod demand;
mod encryption;
mod ending;
mod engine;
mod environment;
mod history;
#[cfg(test)]
mod hostile_tests;
mod link;
#[cfg(test)]
mod link_tests;
mod locals;
mod phase;
mod poll;
mod reading;
#[cfg(test)]
mod reading_tests;
mod schedule;
mod shown;
mod snapshot;
mod trouble;
mod workload;

pub use api::{
    Attempt, Backoff, Command, DropCause, Epoch, Event, Failure, FailureClass, Grant, Inbound, KeyGrant, LocalId,
    Outcome, Reading, ResetCause, ResumeGrant, Secret, Transmit,
};
pub use config::{OnEnd, Purpose, SessionConfig, StartWhen};
pub use environment::NetworkChange;
pub use phase::Phase;
pub use schedule::{Deadlines, Lifetime, Preferences};
pub use snapshot::{DropRecord, Figures, Snapshot};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
pub use trouble::Trouble;

use crate::Timestamp;
use crate::channel::DataChannel;
use crate::handshake::Carriage;
use crate::journal::{LocalFate, Record, State};
use crate::local::WorkloadLimits;
use crate::mux::Mux;
use crate::raw::Raw;
use crate::shell::Shell;
use crate::stream::{Identity, ReliableStream};
use crate::wire::SizeBody;
use encryption::KeyCall;
use history::History;
use link::{Link, PongHabit};
use schedule::Activity;
use trouble::Streak;
use workload::Workload;

/// The cause of the end of a raw session whose connection has been closed, by whichever side.
pub const CLOSED: &str = "the connection is over";

/// One session to keep alive, from start to stop, over any number of AWS sessions and websockets.
///
/// **In**: `start`, `stop`, `reconnect`, `handle_turn`, `handle_outcome`, `handle_inbound`, `handle_dropped`, `handle_flushed`,
/// `handle_local_*`, `handle_timeout`. **Out**, in this order after every input: `poll_record`, `poll_command`,
/// `poll_event`, `poll_transmit`, `poll_timeout`. What `poll_transmit` returns may only be written once the
/// records polled after it are stored, if anybody stores them. A timeout that is not due is a no-op.
pub struct Session {
    config: SessionConfig,
    backoff: Box<dyn Backoff>,
    identity: Identity,
    wanted: bool,
    /// Only a local connection starts an AWS session.
    on_demand: bool,
    phase: Phase,
    since: Timestamp,
    cause: String,
    work: Work,
    /// The AWS session, from StartSession until it has ended.
    live: Option<Live>,
    next_attempt: u64,
    next_epoch: u64,
    /// Attempts since the last proven attach.
    attempts: u32,
    /// Websockets in a row that came to nothing.
    streak: Streak,
    /// What the account says about the life of sessions, once it was asked.
    preferences: Preferences,
    next_local: u64,
    /// Local connections without a stream, in the order they came.
    waiting: BTreeSet<LocalId>,
    /// The size of the terminal of a shell, once it is known.
    size: Option<SizeBody>,
    figures: Figures,
    history: History,
    /// When the last frame was read, for the pace of reading.
    last_read: Timestamp,
    /// Reading was stopped at the last look.
    deaf: bool,
    commands: VecDeque<Command>,
    events: VecDeque<Event>,
    records: VecDeque<Record>,
}

/// What is being done about the link.
#[derive(Debug)]
enum Work {
    /// Nothing.
    Idle,
    /// Waiting for the next attempt.
    Waiting {
        until: Timestamp,
        /// Nothing but the user wakes it earlier: the service asked for the wait.
        not_before: Timestamp,
    },
    /// StartSession or ResumeSession is running.
    Calling {
        attempt: Attempt,
        /// None while the call waits for its turn.
        deadline: Option<Timestamp>,
    },
    Dialing {
        attempt: Attempt,
        epoch: Epoch,
        deadline: Timestamp,
    },
    /// A websocket is up.
    Up(Link),
}

/// An AWS session: what survives every drop.
struct Live {
    session_id: String,
    stream_url: String,
    token: Option<Token>,
    channel: DataChannel,
    workload: Workload,
    /// When something was last sent again as it was: the agent may have handed it over before.
    repeated: Option<Timestamp>,
    /// Until when the handshake must be done.
    handshake_deadline: Option<Timestamp>,
    /// The call for a new data key, during the handshake.
    key_call: KeyCall,
    pongs: PongHabit,
    activity: Activity,
}

impl Live {
    /// The token has been handed out for writing: no other websocket may use it.
    fn spend_token(&mut self) {
        self.token = None;
    }
}

/// A token that no websocket has spent.
#[derive(Debug)]
struct Token {
    secret: Secret,
    since: Timestamp,
}

impl Session {
    /// A session that is not wanted yet. `seed` makes its ids, `unix_at_zero` is the Unix time at
    /// [`Timestamp::ZERO`].
    pub fn new(config: SessionConfig, backoff: Box<dyn Backoff>, seed: u64, unix_at_zero: Duration) -> Self {
        Self {
            config,
            backoff,
            identity: Identity::new(seed, unix_at_zero),
            wanted: false,
            on_demand: false,
            phase: Phase::Stopped,
            since: Timestamp::ZERO,
            cause: "not started".to_owned(),
            work: Work::Idle,
            live: None,
            next_attempt: 1,
            next_epoch: 1,
            attempts: 0,
            streak: Streak::default(),
            preferences: Preferences::default(),
            next_local: 1,
            waiting: BTreeSet::new(),
            size: None,
            figures: Figures::default(),
            history: History::default(),
            last_read: Timestamp::ZERO,
            deaf: false,
            commands: VecDeque::new(),
            events: VecDeque::new(),
            records: VecDeque::new(),
        }
    }

    /// Goes on with a session that another process held: its journal, and the local connections that survived it
    /// (correct the journal by what they have written first: [`State::correct_written`]). Call `start` next.
    pub fn restore(mut self, state: &State, locals: impl IntoIterator<Item = LocalId>, now: Timestamp) -> Self {
        let locals: BTreeSet<LocalId> = locals.into_iter().collect();
        let mut state = state.clone();
        // Connections that ended while no process was there to see it: their streams must not stay open.
        for stream in state.streams_without(&locals) {
            let record = Record::LocalReset { stream };
            state.apply(record.clone());
            self.records.push_back(record);
        }
        let last = locals.last().copied().max(state.last_local());
        self.next_local = last.map_or(0, |local| local.0.saturating_add(1));
        for local in locals.iter().copied() {
            match state.fate(local) {
                LocalFate::GoesOn => {}
                LocalFate::Finished(rest) => {
                    let data = rest.into_iter().map(|bytes| Event::Data { local, bytes });
                    self.events.extend(data);
                    self.events.push_back(Event::Finished { local });
                }
                LocalFate::Lost => {
                    self.events.push_back(Event::Reset {
                        local,
                        cause: ResetCause::SessionEnded,
                    });
                }
                LocalFate::Waits => {
                    self.waiting.insert(local);
                }
            }
        }
        if let Some((session_id, client_id)) = state.session() {
            let identity = self.identity.fork();
            let version = self.config.client_version.clone();
            let mut channel = DataChannel::restored(state.channel(identity), client_id, version);
            while let Some(record) = channel.poll_record() {
                self.records.push_back(record);
            }
            self.live = Some(Live {
                session_id: session_id.to_owned(),
                stream_url: String::new(),
                token: None,
                workload: self.restored_workload(&state, channel.stream().send().next_number(), now),
                repeated: None,
                handshake_deadline: self.handshake_deadline(now).filter(|_| !channel.is_ready()),
                channel,
                key_call: KeyCall::default(),
                pongs: PongHabit::default(),
                activity: Activity::new(now),
            });
            self.drain(now);
        }
        self
    }

    /// The session as seen from outside.
    pub fn snapshot(&self) -> Snapshot {
        let next_attempt = match &self.work {
            Work::Waiting { until, .. } => Some(*until),
            Work::Idle | Work::Calling { .. } | Work::Dialing { .. } | Work::Up(_) => None,
        };
        let streams = self.live.as_ref().map_or(0, |live| live.workload.len());
        let agreement = self
            .live
            .as_ref()
            .and_then(|live| live.channel.handshake()?.agreement());
        Snapshot {
            phase: self.phase,
            since: self.since,
            cause: self.cause.clone(),
            session_id: self.live.as_ref().map(|live| live.session_id.clone()),
            agent_version: agreement
                .map(|agreement| agreement.agent_version.clone())
                .filter(|version| !version.is_empty()),
            attempts: self.attempts,
            next_attempt,
            trouble: self.trouble(),
            deadlines: self.deadlines(),
            connections: streams.saturating_add(self.waiting.len()),
            figures: self.figures(),
            history: self.history.records(),
        }
    }

    /// The counters, those of the present AWS session included.
    pub fn figures(&self) -> Figures {
        let Some(live) = &self.live else {
            return self.figures;
        };
        let stream = live.channel.stream();
        let (resent, duplicates, _) = stream.counters();
        let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        Figures {
            resent: self.figures.resent.saturating_add(resent),
            duplicates: self.figures.duplicates.saturating_add(duplicates),
            ignored: self.figures.ignored.saturating_add(live.channel.ignored()),
            backlog_bytes: count(stream.send().backlog()),
            reorder_bytes: count(stream.received().held_bytes()),
            rtt_us: stream
                .rtt()
                .smoothed()
                .map_or(0, |rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            ..self.figures
        }
    }

    fn restored_workload(&self, state: &State, next_number: u64, now: Timestamp) -> Workload {
        let limits = self.workload_limits();
        match state.carriage() {
            Carriage::Raw => return Workload::Raw(Box::new(Raw::restore(limits, state.raw(), next_number, now))),
            Carriage::Shell => {
                return Workload::Shell(Box::new(Shell::restore(limits, state.shell(), next_number, now)));
            }
            Carriage::Multiplexed => {}
        }
        let (mux, streams) = state.mux();
        Workload::Mux(Box::new(Mux::restore(limits, mux, streams, next_number, now)))
    }

    const fn workload_limits(&self) -> WorkloadLimits {
        WorkloadLimits {
            payload: self.config.payload_limit,
            per_stream: self.config.receive_limit_per_stream,
            total: self.config.receive_limit,
            fin_grace: self.config.fin_grace,
        }
    }

    /// Until when the handshake of a session that begins now must be done. A shell without encryption has none, and a command
    /// may be silent for as long as it likes; where there is one, the agent itself gives up after 15 s.
    fn handshake_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        (self.config.purpose == Purpose::Connections).then(|| now.after(self.config.handshake_timeout))
    }

    fn new_live(&mut self, grant: Grant, now: Timestamp) -> Live {
        let client_id = self.identity.next_id();
        self.records.push_back(Record::Started {
            session_id: grant.session_id.clone(),
            client_id,
        });
        let stream = ReliableStream::new(self.identity.fork());
        Live {
            session_id: grant.session_id,
            stream_url: grant.stream_url,
            token: Some(Token {
                secret: grant.token,
                since: now,
            }),
            channel: DataChannel::new(stream, client_id, self.config.client_version.clone()),
            workload: Workload::new(self.workload_limits()),
            repeated: None,
            handshake_deadline: self.handshake_deadline(now),
            key_call: KeyCall::default(),
            pongs: PongHabit::default(),
            activity: Activity::new(now),
        }
    }
}
