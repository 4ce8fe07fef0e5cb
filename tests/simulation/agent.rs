//! The agent: what AWS's agent does, its bad habits included.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use autossm_proto::Timestamp;
use bytes::Bytes;

use crate::kms::AgentCipher;
use crate::plan::Far;
use crate::raw::RawPort;
use crate::wire::{
    CHALLENGE_RESPONSE, FLAG, HANDSHAKE_COMPLETE, HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE, Kind, Msg, OUTPUT, Parser,
};

const TICK: u64 = 100_000_000;
const PACE: Duration = Duration::from_millis(1);
/// What the destinations may write ahead of the agent's reading.
pub(crate) const SMUX_BUFFER: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(crate) struct AgentConfig {
    /// Before 3.2.1041.0: silent on duplicates, keeps 10 000.
    pub(crate) old: bool,
    /// Carries the bytes of one connection, without a multiplexer.
    pub(crate) raw: bool,
    /// The account encrypts its sessions. AWS's agent does so for shells and commands only; the cipher does not know.
    pub(crate) encrypted: bool,
    /// Between saying that the handshake is complete and believing it.
    pub(crate) gap: Duration,
    /// From then until the port behind it takes bytes.
    pub(crate) ready_delay: Duration,
    /// How long it waits for the response.
    pub(crate) limit: Duration,
    pub(crate) smallest_message: usize,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            old: false,
            raw: false,
            encrypted: false,
            gap: Duration::from_millis(5),
            ready_delay: Duration::ZERO,
            limit: Duration::from_secs(15),
            smallest_message: 1024,
        }
    }
}

/// What the agent does to the world.
#[derive(Debug)]
pub(crate) enum AgentOut {
    Frame(Bytes),
    /// Its websocket is reset at this very moment.
    CutLink,
    /// It fails the session.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    Waiting,
    Challenging,
    Completing(Timestamp),
}

#[derive(Debug)]
pub(crate) struct Sent {
    msg: Msg,
    last_sent: Timestamp,
}

/// The far applications and which stream belongs to which.
#[derive(Debug, Default)]
pub(crate) struct FarSide {
    pub(crate) fars: Vec<Far>,
    /// Stream to connection, for the present AWS session.
    pub(crate) streams: BTreeMap<u32, usize>,
    /// Connections that have ever had a stream.
    pub(crate) taken: BTreeSet<usize>,
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) config: AgentConfig,
    born: Timestamp,
    handshake: Handshake,
    response: Option<i64>,
    pub(crate) cipher: Option<AgentCipher>,
    expected: i64,
    kept: BTreeMap<i64, Msg>,
    next_out: i64,
    pub(crate) outgoing: VecDeque<Sent>,
    parser: Parser,
    pub(crate) raw: RawPort,
    pub(crate) open: BTreeMap<u32, usize>,
    pub(crate) smux_out: VecDeque<u8>,
    last_pump: Timestamp,
    srtt: Duration,
    variance: Duration,
    pub(crate) paused: bool,
    pub(crate) link_up: bool,
    /// The path to the client takes nothing.
    pub(crate) blocked: bool,
    /// The next hand-over of data is cut off before its acknowledge.
    pub(crate) cut_at_handover: bool,
    pub(crate) doubled: u64,
    pub(crate) resent: u64,
    pub(crate) out: Vec<AgentOut>,
}

impl Agent {
    pub(crate) fn new(config: AgentConfig, now: Timestamp) -> Self {
        let mut agent = Self {
            born: now,
            handshake: Handshake::Waiting,
            response: None,
            cipher: None,
            expected: 0,
            kept: BTreeMap::new(),
            next_out: 0,
            outgoing: VecDeque::new(),
            parser: Parser::default(),
            raw: RawPort::default(),
            open: BTreeMap::new(),
            smux_out: VecDeque::new(),
            last_pump: now,
            srtt: Duration::from_millis(100),
            variance: Duration::ZERO,
            paused: false,
            link_up: true,
            blocked: false,
            cut_at_handover: false,
            doubled: 0,
            resent: 0,
            out: Vec::new(),
            config,
        };
        let AgentConfig { old, raw, .. } = agent.config;
        let version = match (old, raw) {
            (true, true) => "3.0.196.0",
            (true, false) => "3.1.1732.0",
            (false, _) => "3.3.1142.0",
        };
        let properties = if raw {
            Self::raw_properties(old)
        } else {
            r#"{"portNumber":"80","type":"LocalPortForwarding"}"#
        };
        let request = format!(
            r#"{{"AgentVersion":"{version}","RequestedClientActions":[{{"ActionType":"SessionType","ActionParameters":{{"SessionType":"Port","Properties":{properties}}}}}{}]}}"#,
            if agent.config.encrypted {
                AgentCipher::WANTED
            } else {
                ""
            }
        );
        agent.send(HANDSHAKE_REQUEST, Bytes::from(request), now);
        agent
    }

    /// Takes a message of the client; any of them ends a pause.
    pub(crate) fn handle(&mut self, frame: &Bytes, side: &mut FarSide, now: Timestamp) {
        self.paused = false;
        let msg = Msg::decode(frame);
        if msg.kind == Kind::Ack {
            self.acknowledged(msg.acknowledged(), now);
            return;
        }
        assert_eq!(msg.kind, Kind::Input);
        let sealing = if self.config.encrypted { 28 } else { 0 };
        assert!(msg.payload.len() <= 1024 + sealing, "payload beyond the limit");
        assert!(
            msg.payload_type != CHALLENGE_RESPONSE || self.config.encrypted,
            "the agent panics"
        );
        let capacity = if self.config.old { 10_000 } else { 100_000 };
        match msg.number.cmp(&self.expected) {
            std::cmp::Ordering::Less => {
                if !self.config.old {
                    self.acknowledge(&msg, now);
                }
            }
            std::cmp::Ordering::Greater => {
                if self.kept.len() < capacity {
                    self.acknowledge(&msg, now);
                    self.kept.insert(msg.number, msg);
                }
            }
            std::cmp::Ordering::Equal => self.expected(&msg, side, now),
        }
    }

    fn expected(&mut self, msg: &Msg, side: &mut FarSide, now: Timestamp) {
        if !self.process(msg, side, now) {
            return;
        }
        if self.cut_at_handover && msg.payload_type == OUTPUT && self.link_up {
            self.cut_at_handover = false;
            self.doubled += 1;
            self.link_up = false;
            self.out.push(AgentOut::CutLink);
            return;
        }
        self.acknowledge(msg, now);
        self.expected += 1;
        while let Some(next) = self.kept.remove(&self.expected) {
            if !self.process(&next, side, now) {
                assert!(self.config.raw, "a mux handler that was ready stays so");
                return;
            }
            self.expected += 1;
        }
    }

    /// Hands a message over; false when its handler is not ready.
    fn process(&mut self, msg: &Msg, side: &mut FarSide, now: Timestamp) -> bool {
        if msg.payload_type == HANDSHAKE_RESPONSE {
            assert!(
                self.response.is_none_or(|n| n == msg.number),
                "the agent's reader blocks for ever"
            );
            let text = std::str::from_utf8(&msg.payload).unwrap();
            assert!(text.contains(r#""ActionStatus":1"#), "{text}");
            if self.response.is_none() {
                self.response = Some(msg.number);
                if self.config.encrypted {
                    self.handshake = Handshake::Challenging;
                    self.challenge(text, now);
                } else {
                    self.complete(now);
                }
            }
            return true;
        }
        if msg.payload_type == CHALLENGE_RESPONSE {
            assert_eq!(
                self.handshake,
                Handshake::Challenging,
                "the agent's reader blocks for ever"
            );
            self.check_challenge(&msg.payload);
            self.complete(now);
            return true;
        }
        let opened = self.opened(msg);
        let msg = &opened;
        match self.handshake {
            Handshake::Completing(at) if now >= at.after(self.config.ready_delay) => {}
            Handshake::Completing(at) if now >= at => return false,
            // Acknowledged and thrown away.
            Handshake::Waiting | Handshake::Challenging | Handshake::Completing(_) => return true,
        }
        if self.config.raw {
            if self.raw_is_ending() {
                return false;
            }
            if msg.payload_type == OUTPUT {
                return self.raw_input(&msg.payload, side, now);
            }
            if msg.payload_type == FLAG && msg.payload[..] == 1u32.to_be_bytes() {
                self.raw_disconnect(side, now);
            }
        } else if msg.payload_type == OUTPUT {
            for frame in self.parser.parse(&msg.payload) {
                self.frame(frame, side, now);
            }
        }
        if msg.payload_type == FLAG {
            assert_ne!(msg.payload[..], 2u32.to_be_bytes(), "the client ends the session");
        }
        true
    }

    fn complete(&mut self, now: Timestamp) {
        self.handshake = Handshake::Completing(now.after(self.config.gap));
        let body = r#"{"HandshakeTimeToComplete":1,"CustomerMessage":""}"#;
        self.send(HANDSHAKE_COMPLETE, Bytes::from_static(body.as_bytes()), now);
    }

    fn acknowledged(&mut self, number: i64, now: Timestamp) {
        let Some(place) = self.outgoing.iter().position(|sent| sent.msg.number == number) else {
            return;
        };
        if let Some(sent) = self.outgoing.remove(place) {
            let rtt = now.since(sent.last_sent);
            self.variance = (self.variance * 3 + self.srtt.abs_diff(rtt)) / 4;
            self.srtt = (self.srtt * 7 + rtt) / 8;
        }
    }

    fn rto(&self) -> Duration {
        let margin = (self.variance * 4).max(Duration::from_millis(10));
        (self.srtt + margin).min(Duration::from_secs(1))
    }

    fn acknowledge(&mut self, msg: &Msg, now: Timestamp) {
        self.emit(msg.acknowledge(date(now)).encode());
    }

    fn emit(&mut self, frame: Bytes) {
        if self.link_up {
            self.out.push(AgentOut::Frame(frame));
        }
    }

    /// Lists a message for resending and writes it, whether that succeeds or not.
    pub(crate) fn send(&mut self, payload_type: u32, payload: Bytes, now: Timestamp) {
        let number = self.next_out;
        self.next_out += 1;
        let mut id = [3; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let msg = Msg {
            kind: Kind::Output,
            number,
            payload_type,
            created: date(now),
            id,
            payload: self.sealed(payload_type, payload),
        };
        self.emit(msg.encode());
        self.outgoing.push_back(Sent { msg, last_sent: now });
        assert!(
            self.outgoing.len() < 100_000,
            "the agent's list overflows: it would lose data"
        );
    }

    /// Does what is due by itself.
    pub(crate) fn wake(&mut self, side: &mut FarSide, now: Timestamp) {
        if self.response.is_none() && now >= self.born.after(self.config.limit) {
            self.out.push(AgentOut::Failed);
            return;
        }
        if self.config.raw {
            self.wake_raw(side, now);
        }
        if self.paused || self.blocked {
            return;
        }
        if self.resend_at().is_some_and(|at| at <= now) {
            self.resent += 1;
            if let Some(head) = self.outgoing.front_mut() {
                head.last_sent = now;
                let frame = head.msg.encode();
                self.emit(frame);
            }
        }
        self.step_fars(side, now);
        if !self.smux_out.is_empty() && now >= self.last_pump.after(PACE) {
            self.last_pump = now;
            let take = self.smux_out.len().min(self.config.smallest_message);
            let payload: Vec<u8> = self.smux_out.drain(..take).collect();
            self.send(OUTPUT, Bytes::from(payload), now);
        }
    }

    /// When `wake` has something to do.
    pub(crate) fn next_wake(&self, side: &FarSide) -> Option<Timestamp> {
        let limit = self.response.is_none().then(|| self.born.after(self.config.limit));
        let raw = self.next_raw_wake(side).filter(|_| self.config.raw);
        let limit = [limit, raw].into_iter().flatten().min();
        if self.paused || self.blocked {
            return limit;
        }
        let pump = (!self.smux_out.is_empty()).then(|| self.last_pump.after(PACE));
        let room = self.smux_out.len() < SMUX_BUFFER;
        let fars = self.open.values().filter_map(|key| side.fars[*key].wake());
        let far = fars.min().filter(|_| room);
        [limit, self.resend_at(), pump, far].into_iter().flatten().min()
    }

    /// When its port handler takes bytes.
    pub(crate) fn ready_at(&self) -> Option<Timestamp> {
        match self.handshake {
            Handshake::Waiting | Handshake::Challenging => None,
            Handshake::Completing(at) => Some(at.after(self.config.ready_delay)),
        }
    }

    /// Only the head is ever resent, on a tick of 100 ms.
    fn resend_at(&self) -> Option<Timestamp> {
        let head = self.outgoing.front().filter(|_| self.link_up)?;
        let due = head.last_sent.after(self.rto()).as_nanos();
        Some(Timestamp::from_nanos(due.div_ceil(TICK) * TICK))
    }
}

/// The agent's clock, in milliseconds.
fn date(now: Timestamp) -> u64 {
    1_600_000_000_000 + now.as_nanos() / 1_000_000
}
