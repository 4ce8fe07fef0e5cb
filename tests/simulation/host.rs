//! The driver: carries inputs to the session and its outputs to the model, in the order its grammar demands.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::journal::{LocalFate, Record, State};
use autossm_proto::session::{
    Attempt, Command, DropCause, Epoch, Event, Inbound, LocalId, Outcome, Phase, Reading, Session, SessionConfig,
    Transmit,
};

use crate::backoff::Jitter;
use crate::local::{End, Local};
use crate::net::{Frame, Happening, Net};
use crate::plan::Plan;
use crate::rng::Pattern;
use crate::trace;

const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// What a run has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) most_reorder: u64,
    pub(crate) most_backlog: u64,
    pub(crate) timeouts: u64,
    pub(crate) restores: u64,
    pub(crate) drops: u64,
    pub(crate) pings: u64,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) session: Session,
    pub(crate) config: SessionConfig,
    seed: u64,
    pub(crate) locals: BTreeMap<usize, Local>,
    ids: BTreeMap<LocalId, usize>,
    /// Local connections that the session would read.
    roomy: BTreeMap<LocalId, bool>,
    pub(crate) journal: Vec<Record>,
    /// The process dies right after this many records are stored.
    pub(crate) kill_at: Option<usize>,
    pub(crate) dead: bool,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) inbox: VecDeque<(Epoch, Frame)>,
    /// Stream to connection in the present AWS session.
    pub(crate) streams: BTreeMap<u32, usize>,
    pub(crate) phases: Vec<Phase>,
    /// The end of a raw session hands over everything at once.
    pub(crate) raw: bool,
    pub(crate) seen: Seen,
    spins: (Timestamp, u32),
}

pub(crate) fn fresh_session(config: &SessionConfig, seed: u64) -> Session {
    Session::new(config.clone(), Box::new(Jitter::new(seed)), seed, UNIX)
}

impl Host {
    pub(crate) fn new(config: SessionConfig, seed: u64) -> Self {
        Self {
            session: fresh_session(&config, seed),
            config,
            seed,
            locals: BTreeMap::new(),
            ids: BTreeMap::new(),
            roomy: BTreeMap::new(),
            journal: Vec::new(),
            kill_at: None,
            dead: false,
            epoch: None,
            inbox: VecDeque::new(),
            streams: BTreeMap::new(),
            phases: Vec::new(),
            raw: false,
            seen: Seen::default(),
            spins: (Timestamp::ZERO, 0),
        }
    }

    pub(crate) fn open(&mut self, key: usize, plan: Plan, now: Timestamp) {
        let id = self.session.open_local(now);
        self.ids.insert(id, key);
        self.locals.insert(key, Local::new(key, plan, id, now));
    }

    pub(crate) fn outcome(&mut self, outcome: Outcome, now: Timestamp) {
        if let Outcome::Dialed { epoch, .. } = outcome {
            self.epoch = Some(epoch);
        }
        self.session.handle_outcome(outcome, now);
    }

    pub(crate) fn turn_of(&mut self, attempt: Attempt, now: Timestamp) {
        if !self.dead {
            self.session.handle_turn(attempt, now);
        }
    }

    pub(crate) fn dropped(&mut self, epoch: Epoch, cause: DropCause, now: Timestamp) {
        self.session.handle_dropped(epoch, cause, now);
    }

    /// What is due by itself.
    pub(crate) fn due(&mut self, now: Timestamp) {
        if let Some(wakeup) = self.session.poll_timeout().filter(|wakeup| wakeup.at <= now) {
            trace!(now, "timeout {:?}", wakeup.reason);
            self.seen.timeouts += 1;
            self.spins = if self.spins.0 == now {
                (now, self.spins.1 + 1)
            } else {
                (now, 0)
            };
            assert!(self.spins.1 < 10, "busy loop: {wakeup:?} again and again");
            self.session.handle_timeout(now);
        }
        for local in self.locals.values_mut().filter(|local| local.end.is_none()) {
            local.step_write(now);
            let taken = local.step_read(now);
            if taken > 0 {
                self.session.handle_local_written(local.id, taken, now);
            }
            local.finish();
            if local.end.is_none() && local.wants_reset() {
                local.end = Some(End::Own);
                self.session.handle_local_reset(local.id, now);
            }
        }
    }

    /// When `due` has something to do.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        if self.dead {
            return None;
        }
        let session = self.session.poll_timeout().map(|wakeup| wakeup.at);
        let read = match self.session.reading() {
            Reading::At(at) if !self.inbox.is_empty() => Some(at),
            Reading::At(_) | Reading::Open | Reading::Stopped => None,
        };
        let local = self.locals.values().filter_map(Local::wake).min();
        [session, read, local].into_iter().flatten().min()
    }

    /// Everything that follows from the inputs so far.
    pub(crate) fn turn(&mut self, net: &mut Net) {
        while !self.dead {
            let read = self.read(net.queue.now);
            if !self.store() {
                return;
            }
            self.commands(net);
            self.events();
            if !self.feed(net.queue.now) || !self.transmit(net) {
                return;
            }
            self.measure();
            if !read {
                return;
            }
        }
    }

    fn read(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while !self.inbox.is_empty() {
            match self.session.reading() {
                Reading::Open => {}
                Reading::At(at) if at <= now => {}
                Reading::At(_) | Reading::Stopped => break,
            }
            let Some((epoch, frame)) = self.inbox.pop_front() else {
                break;
            };
            any = true;
            match frame {
                Frame::Binary(bytes) => {
                    self.session.handle_inbound(epoch, Inbound::Binary(bytes), now);
                }
                Frame::Pong(bytes) => {
                    self.session.handle_inbound(epoch, Inbound::Pong(bytes), now);
                }
                Frame::Text(_) | Frame::Ping(_) => {
                    self.session.handle_inbound(epoch, Inbound::Other, now);
                }
                Frame::Close(code) => {
                    let cause = DropCause::Closed {
                        code: Some(code),
                        reason: "Bye".to_owned(),
                    };
                    self.session.handle_dropped(epoch, cause, now);
                }
            }
        }
        any
    }

    /// Stores records; false when the process has died.
    fn store(&mut self) -> bool {
        while let Some(record) = self.session.poll_record() {
            match &record {
                Record::Started { .. } | Record::Ended => self.streams.clear(),
                Record::Opened { stream, local } => {
                    self.streams.insert(*stream, self.ids[local]);
                }
                Record::Input { stream, bytes } => {
                    let key = self.streams[stream];
                    self.locals.get_mut(&key).unwrap().consumed += bytes.len() as u64;
                }
                Record::LocalEof { .. }
                | Record::LocalReset { .. }
                | Record::Written { .. }
                | Record::Sent { .. }
                | Record::Acknowledged { .. }
                | Record::Received { .. }
                | Record::Adopted { .. }
                | Record::OutputBegins { .. }
                | Record::Finished { .. } => {}
            }
            self.journal.push(record);
            if self.kill_at == Some(self.journal.len()) {
                self.kill_at = None;
                self.dead = true;
                return false;
            }
        }
        true
    }

    fn commands(&mut self, net: &mut Net) {
        while let Some(command) = self.session.poll_command() {
            trace!(net.queue.now, "{command:?}");
            if let Command::Close { epoch } = command
                && self.epoch == Some(epoch)
            {
                self.epoch = None;
                self.inbox.clear();
                self.seen.drops += 1;
            }
            net.queue.after(Duration::ZERO, Happening::Command(command));
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Phase { to, .. } => {
                    if self.phases.last() != Some(&to) {
                        self.phases.push(to);
                    }
                }
                Event::Data { local, bytes } => {
                    let local = self.locals.get_mut(&self.ids[&local]).unwrap();
                    assert!(!local.finishing, "data after the end");
                    assert_eq!(local.end, None, "data after the end");
                    local.queued += bytes.len();
                    let most = if self.raw { 16 << 20 } else { 256 << 10 };
                    assert!(local.queued <= most + (64 << 10), "unbounded output");
                    local.queue.push_back(bytes);
                }
                Event::Finished { local } => {
                    let local = self.locals.get_mut(&self.ids[&local]).unwrap();
                    assert!(!local.finishing && local.end.is_none(), "ended twice");
                    local.finishing = true;
                    local.finish();
                }
                Event::Reset { local, cause } => {
                    let local = self.locals.get_mut(&self.ids[&local]).unwrap();
                    assert!(!local.finishing && local.end.is_none(), "ended twice");
                    local.end = Some(End::Reset(cause));
                }
                Event::StdErr { .. } | Event::Exit { .. } => panic!("of a shell only"),
                Event::Room { local } => {
                    self.roomy.insert(local, true);
                }
            }
        }
    }

    /// Reads local sockets, but only those that the session has said it would read.
    fn feed(&mut self, now: Timestamp) -> bool {
        let ids: Vec<LocalId> = self.roomy.iter().filter(|(_, on)| **on).map(|(id, _)| *id).collect();
        for id in ids {
            let key = self.ids[&id];
            loop {
                let local = &self.locals[&key];
                if local.end.is_some() {
                    break;
                }
                let room = self.session.local_room(id);
                if room == 0 {
                    self.roomy.insert(id, false);
                    break;
                }
                if local.shows_eof() {
                    self.locals.get_mut(&key).unwrap().eof_told = true;
                    self.session.handle_local_eof(id, now);
                    if !self.store() {
                        return false;
                    }
                    break;
                }
                let ready = usize::try_from(local.available - local.consumed).unwrap();
                let take = ready.min(room).min(16 << 10);
                if take == 0 {
                    break;
                }
                let bytes = Pattern::up(key).bytes(local.consumed, take);
                self.session.handle_local_data(id, bytes.into(), now);
                if !self.store() {
                    return false;
                }
            }
        }
        true
    }

    fn transmit(&mut self, net: &mut Net) -> bool {
        let now = net.queue.now;
        let Some(epoch) = self.epoch else {
            assert_eq!(self.session.poll_transmit(now), None, "nothing is up");
            return self.store();
        };
        loop {
            if net.links.get(&epoch).is_some_and(|link| link.up.is_full()) {
                return true;
            }
            let Some(transmit) = self.session.poll_transmit(now) else {
                break;
            };
            if !self.store() {
                return false;
            }
            let frame = match transmit {
                Transmit::Text(text) => Frame::Text(text.expose().to_owned()),
                Transmit::Binary(bytes) => Frame::Binary(bytes),
                Transmit::Ping(bytes) => {
                    self.seen.pings += 1;
                    Frame::Ping(bytes)
                }
            };
            net.send_up(epoch, frame);
        }
        self.session.handle_flushed(epoch, now);
        self.events();
        self.store()
    }

    fn measure(&mut self) {
        let figures = self.session.figures();
        self.seen.most_reorder = self.seen.most_reorder.max(figures.reorder_bytes);
        self.seen.most_backlog = self.seen.most_backlog.max(figures.backlog_bytes);
        assert!(figures.backlog_bytes <= (4 << 20) + (256 << 10), "unbounded backlog");
    }

    /// A new process takes over: the journal and the local sockets are all that is left.
    pub(crate) fn restore(&mut self, now: Timestamp) {
        self.dead = false;
        self.epoch = None;
        self.inbox.clear();
        self.roomy.clear();
        self.seen.restores += 1;
        let mut state = State::new(self.config.client_version.clone());
        for record in &self.journal {
            state.apply(record.clone());
        }
        for local in self.locals.values_mut() {
            local.queue.clear();
            local.queued = 0;
            local.finishing = false;
            local.eof_told = false;
        }
        state.correct_written(|id| self.ids.get(&id).map_or(0, |key| self.locals[key].written));
        let open = self.locals.values().filter(|local| local.end.is_none());
        let ids: Vec<LocalId> = open.map(|local| local.id).collect();
        trace!(now, "restored with {} records, locals {ids:?}", self.journal.len());
        // A session that is started only once was for connections that are over.
        let waits = ids.iter().any(|id| state.fate(*id) == LocalFate::Waits);
        let goes_on = !self.config.once || state.session().is_some() || waits;
        let fresh = fresh_session(&self.config, self.seed ^ self.journal.len() as u64);
        self.session = fresh.restore(&state, ids, now);
        if goes_on {
            self.session.start(now);
        }
    }
}
