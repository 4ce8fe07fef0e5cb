//! The data channel of a session that another client has left: there is no handshake, only numbers to be found.

use std::time::Duration;

use bytes::Bytes;

use super::scan::{Found, Scan};
use super::settle::Settle;
use super::{ChannelEvent, DataChannel, Hearing};
use crate::Timestamp;
use crate::handshake::{AgentVersion, Agreement, Carriage, Handshake};
use crate::journal::Record;
use crate::session::Transmit;
use crate::stream::{Identity, ReceiveBuffer, ReliableStream, SendBuffer};
use crate::wire::{ClientMessage, PayloadType, Uuid};

/// What no agent can read as a HandshakeResponse: acknowledged under every number but the expected one, and never counted.
const PROBE: &[u8] = b"x";
/// The agent sends its oldest unacknowledged message again within a second and a tick of 100 ms. What has the lowest
/// number by then is the next one.
const OLDEST_WITHIN: Duration = Duration::from_millis(1200);
/// Messages of the agent that are kept while the numbers are sought; it sends the others again.
const KEPT: usize = 4096;
/// Their payloads together, bytes.
const KEPT_BYTES: usize = 16 << 20;

/// What is not known yet of a session that another client has left.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    scan: Option<Box<Scan>>,
    /// What the session carries, as AWS's word for its document has it: the agent is not asked again.
    carriage: Option<Carriage>,
    /// What the agent has sent meanwhile, not acknowledged.
    kept: Vec<ClientMessage>,
    kept_bytes: usize,
    /// When the agent has first answered on this websocket, and the date of its answer, by its own clock.
    answered: Option<(Timestamp, u64)>,
    /// When the lowest output number is the next one, and before which number something was missing then.
    begins_at: Option<(Timestamp, u64)>,
    /// It has been adopted: when, by the agent's clock.
    adopted: Option<u64>,
    /// The lowest output number of this client's own time. What is missing below it may be what the other client has
    /// acknowledged: then it never comes again.
    first_own: Option<u64>,
}

impl DataChannel {
    /// The data channel of a session that another client has left, as far as a new client can know it.
    pub fn adopting(
        identity: Identity,
        client_id: Uuid,
        client_version: String,
        (carriage, sweep): (Carriage, u64),
    ) -> Self {
        let mut channel = Self::new(ReliableStream::new(identity), client_id, client_version);
        channel.adoption.scan = Some(Box::new(Scan::new(sweep)));
        channel.adoption.carriage = Some(carriage);
        channel
    }

    /// The client's id in this session.
    pub const fn client_id(&self) -> Uuid {
        self.client_id
    }

    /// Whether the numbers are still sought.
    pub const fn is_adopting(&self) -> bool {
        self.adoption.scan.is_some()
    }

    pub(super) fn restart_adoption(&mut self, now: Timestamp) {
        self.adoption.kept.clear();
        self.adoption.kept_bytes = 0;
        self.adoption.answered = None;
        if let Some(scan) = &mut self.adoption.scan {
            scan.handle_attached(now);
        }
        self.adoption.begins_at = None;
        self.await_oldest(now);
    }

    /// Keeps a message of the agent while its place is not known, says whether it has done so; and notes where this
    /// client's own time begins: a resend keeps its date.
    pub(super) fn keep_for_later(&mut self, message: &ClientMessage) -> bool {
        if self.adoption.scan.is_none() {
            if self.adoption.adopted.is_some_and(|date| message.created_date > date)
                && let Ok(number) = u64::try_from(message.sequence_number)
            {
                let first = self.adoption.first_own.unwrap_or(u64::MAX);
                self.adoption.first_own = Some(first.min(number));
            }
            return false;
        }
        let bytes = self.adoption.kept_bytes.saturating_add(message.payload.len());
        if self.adoption.kept.len() < KEPT && bytes <= KEPT_BYTES {
            self.adoption.kept_bytes = bytes;
            self.adoption.kept.push(message.clone());
        }
        true
    }

    /// An acknowledge of a probe; says whether it was taken.
    pub(super) fn probe_acknowledged(&mut self, number: i64, date: u64, now: Timestamp) -> bool {
        let Some(scan) = &mut self.adoption.scan else {
            return false;
        };
        if let Ok(number) = u64::try_from(number) {
            scan.handle_acknowledge(number, now);
        }
        self.adoption.answered.get_or_insert((now, date));
        self.look_at_scan(now);
        true
    }

    /// The next probe.
    pub(super) fn poll_probe(&mut self, now: Timestamp) -> Option<Transmit> {
        let number = self.adoption.scan.as_mut()?.poll()?;
        let payload = Bytes::from_static(PROBE);
        let message = self
            .stream
            .unlisted(number, PayloadType::HANDSHAKE_RESPONSE, payload, now);
        message.encode().ok().map(Transmit::Binary)
    }

    /// When something about the adoption is due.
    pub(super) fn adoption_at(&self, hearing: Hearing) -> Option<Timestamp> {
        let scan = self.adoption.scan.as_ref().map(|scan| scan.timeout());
        let begins = self.adoption.begins_at.filter(|_| hearing != Hearing::Deaf);
        scan.or_else(|| begins.map(|(at, _)| at))
    }

    /// What could not be heard is no hole: the oldest is waited for once more.
    pub(super) fn excuse_hole(&mut self, now: Timestamp) {
        if let Some((at, _)) = &mut self.adoption.begins_at {
            *at = now.after(OLDEST_WITHIN);
        }
    }

    pub(super) fn handle_adoption_timeout(&mut self, hearing: Hearing, now: Timestamp) {
        if let Some(scan) = &mut self.adoption.scan {
            scan.handle_timeout(now);
        }
        if hearing != Hearing::Deaf && self.adoption.begins_at.is_some_and(|(at, _)| at <= now) {
            self.adoption.begins_at = None;
            if let Some(number) = self.stream.begin_output() {
                self.records.push_back(Record::OutputBegins { number });
                self.deliver_all(now);
                self.await_oldest(now);
            }
        }
    }

    /// Output is there that cannot be delivered yet, since nobody knows where it begins, or what is missing before it may
    /// never come: the oldest is waited for.
    pub(super) fn await_oldest(&mut self, now: Timestamp) {
        let received = self.stream.received();
        let missing = received.expected();
        let others = self.adoption.first_own.is_none_or(|own| missing <= own);
        let doubtful = received.is_beginning() || (self.adoption.adopted.is_some() && others);
        if !doubtful || received.held_memory() == 0 {
            self.adoption.begins_at = None;
        } else if self.adoption.begins_at.is_none_or(|(_, before)| before != missing) {
            self.adoption.begins_at = Some((now.after(OLDEST_WITHIN), missing));
        }
    }

    fn look_at_scan(&mut self, now: Timestamp) {
        let found = self.adoption.scan.as_ref().and_then(|scan| scan.found());
        let refused = |why: &str| ChannelEvent::NotAdopted { reason: why.to_owned() };
        match found {
            None => {}
            Some(Found::Expected(number)) => self.adopt(number, now),
            Some(Found::TooOld) => self.events.push_back(refused(
                "its SSM agent is too old to be asked for its place in the session: it needs 3.2.1041.0 or later",
            )),
            Some(Found::Untouched) => self
                .events
                .push_back(refused("nothing was ever sent in it; start a new session instead")),
        }
    }

    /// The numbers of the input are known: from here on it is a session like any other.
    fn adopt(&mut self, number: u64, now: Timestamp) {
        self.adoption.scan = None;
        let identity = self.stream.fork_identity();
        let send = SendBuffer::restored(number, Some(true));
        self.stream = ReliableStream::restored(identity, send, ReceiveBuffer::beginning());
        let carriage = self.adoption.carriage.unwrap_or(Carriage::Raw);
        self.records.push_back(Record::Adopted { number, carriage });
        self.handshake = Some(adopted_handshake(carriage));
        self.settle = Settle::Done;
        self.events.push_back(ChannelEvent::Agreed(carriage));
        self.events.push_back(ChannelEvent::Ready);
        let (since, date) = self.adoption.answered.unwrap_or((now, 0));
        self.adoption.adopted = Some(date);
        if !self.adoption.kept.is_empty() {
            self.adoption.begins_at = Some((since.after(OLDEST_WITHIN), 0));
        }
        for message in std::mem::take(&mut self.adoption.kept) {
            self.handle_data(message, now);
        }
    }
}

/// What an adopted session's handshake must have come to. The agent's version is not told again, but it is one that
/// acknowledges what it has had.
pub(crate) const fn adopted_handshake(carriage: Carriage) -> Handshake {
    Handshake::Complete(Agreement {
        agent: AgentVersion::ACKNOWLEDGES_DUPLICATES,
        agent_version: String::new(),
        carriage,
        encryption: None,
    })
}
