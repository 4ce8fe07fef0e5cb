//! Input messages, from their number to the port handler.

use autossm_proto::wire::{ClientMessage, PayloadType};
use tokio::time::Instant;

use super::core::{Agent, InHand, Phase};
use super::handshake;
use super::reliable::Verdict;

enum Processed {
    Done,
    NotReady,
    Failed,
}

impl Agent {
    pub(super) fn handle_input(&mut self, received: ClientMessage, now: Instant) {
        self.paused = false;
        match self.inbound.classify(received.sequence_number) {
            Verdict::Expected => match self.process(&received, now) {
                Processed::Done => {
                    self.in_hand = Some(InHand {
                        message: received,
                        acknowledge: true,
                    });
                    self.advance(now);
                }
                Processed::NotReady => self.counters.ignored_not_ready.up(),
                Processed::Failed => {}
            },
            Verdict::Ahead => {
                if self.acknowledge(&received) {
                    self.counters.kept_out_of_order.up();
                    self.inbound.keep(received);
                }
            }
            Verdict::Full => self.counters.dropped_buffer_full.up(),
            Verdict::Duplicate => {
                self.counters.duplicates_from_client.up();
                if self.config.version.acknowledges_duplicates() {
                    self.acknowledge(&received);
                }
            }
        }
    }

    /// Finishes the message in hand unless its write is still blocked, then goes on with those kept.
    pub(super) fn advance(&mut self, now: Instant) {
        loop {
            if self.in_hand.is_some() {
                let blocked = self.port.as_ref().is_some_and(|port| port.is_blocked());
                if blocked {
                    return;
                }
            }
            if let Some(in_hand) = self.in_hand.take() {
                let number = in_hand.message.sequence_number;
                if in_hand.acknowledge {
                    let resets = self.reset_at_acknowledge && in_hand.message.payload_type == PayloadType::OUTPUT;
                    if resets {
                        self.link_lost();
                    }
                    if !self.acknowledge(&in_hand.message) {
                        self.uncounted = Some(number);
                        return;
                    }
                }
                self.inbound.count();
            }
            let Some(kept) = self.inbound.next_kept().cloned() else {
                return;
            };
            match self.process(&kept, now) {
                Processed::Done => {
                    self.in_hand = Some(InHand {
                        message: kept,
                        acknowledge: false,
                    });
                }
                Processed::NotReady | Processed::Failed => return,
            }
        }
    }

    fn process(&mut self, received: &ClientMessage, now: Instant) -> Processed {
        if received.payload_type == PayloadType::HANDSHAKE_RESPONSE {
            return self.process_response(&received.payload, now);
        }
        if received.payload_type == PayloadType::ENC_CHALLENGE_RESPONSE {
            return self.process_proof(&received.payload, now);
        }
        let opened = self.encryption.as_ref().map(|encryption| encryption.opened(received));
        let opened = match opened {
            Some(None) => {
                self.counters.not_sealed.up();
                tracing::error!("agent: input that is not sealed with the session's key");
                return Processed::Failed;
            }
            Some(Some(opened)) => {
                self.counters.opened.up();
                opened
            }
            None => received.clone(),
        };
        match self.phase {
            Phase::NotStarted
            | Phase::AwaitingResponse { .. }
            | Phase::AwaitingProof { .. }
            | Phase::Completing { .. }
            | Phase::Gap { .. } => {
                self.counters.thrown_away.up();
                Processed::Done
            }
            Phase::Preparing { .. } => Processed::NotReady,
            Phase::Ending { .. } | Phase::Ended => Processed::Failed,
            Phase::Ready if self.port.as_ref().is_some_and(|port| !port.is_available()) => Processed::NotReady,
            Phase::Ready => {
                self.hand_over(&opened, now);
                Processed::Done
            }
        }
    }

    fn process_response(&mut self, payload: &[u8], now: Instant) -> Processed {
        let Some(verdict) = handshake::read_response(payload) else {
            return Processed::Failed;
        };
        let Phase::AwaitingResponse { since } = self.phase else {
            tracing::error!("agent: second handshake response, a real agent's reader hangs now");
            self.wedged = true;
            return Processed::Failed;
        };
        match verdict {
            Ok(()) => self.go_on(payload, since, now),
            Err(failure) => self.end(&failure, now),
        }
        Processed::Done
    }

    /// The response is good: an encrypted session wants the key proven first.
    fn go_on(&mut self, response: &[u8], since: Instant, now: Instant) {
        let Some(encryption) = &mut self.encryption else {
            self.phase = Phase::Completing { since };
            return;
        };
        match encryption.begin(response, &mut self.rng) {
            Ok(challenge) => {
                self.phase = Phase::AwaitingProof { since: now };
                self.send(PayloadType::ENC_CHALLENGE_REQUEST, challenge, now);
            }
            Err(failure) => self.end(&failure, now),
        }
    }

    fn process_proof(&mut self, payload: &[u8], now: Instant) -> Processed {
        let Some(encryption) = &self.encryption else {
            tracing::error!("agent: challenge response in an unencrypted session, a real agent panics");
            self.wedged = true;
            return Processed::Failed;
        };
        let Phase::AwaitingProof { since } = self.phase else {
            tracing::error!("agent: second challenge response, a real agent's reader hangs now");
            self.wedged = true;
            return Processed::Failed;
        };
        if !encryption.is_proven_by(payload) {
            self.end("Encryption challenge does not match!", now);
            return Processed::Failed;
        }
        self.phase = Phase::Completing { since };
        Processed::Done
    }

    fn hand_over(&mut self, received: &ClientMessage, now: Instant) {
        if received.payload_type == PayloadType::OUTPUT {
            if self.uncounted.take() == Some(received.sequence_number) {
                self.counters.handed_over_twice.up();
            }
            if let Some(port) = &mut self.port {
                port.write(received.payload.clone());
            }
        } else if received.payload_type == PayloadType::SIZE {
            if let Some(port) = &self.port {
                port.resize(&received.payload);
            }
        } else if received.payload_type == PayloadType::FLAG {
            let flag = received.payload.first_chunk().copied();
            if flag.map(u32::from_be_bytes) == Some(PayloadType::FLAG_TERMINATE_SESSION) {
                self.end("terminated by the client", now);
            } else if flag.map(u32::from_be_bytes) == Some(PayloadType::FLAG_DISCONNECT_TO_PORT)
                && let Some(port) = &mut self.port
            {
                port.disconnect();
            }
        }
    }
}
