//! The data key of an encrypted session: a new one during the handshake, the one agreed on in a restored session.

use std::time::Duration;

use super::{Attempt, Command, Failure, FailureClass, KeyGrant, Session, Work};
use crate::Timestamp;
use crate::handshake::WantedKey;

/// Between two questions for a new key that the network has swallowed: the agent waits 15 s for the answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The question for a new data key. It belongs to the session and not to a websocket: a drop does not disturb it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum KeyCall {
    /// None is running.
    #[default]
    Idle,
    /// KMS is asked.
    Running(Attempt),
    /// It is asked again then.
    Waiting(Timestamp),
}

impl KeyCall {
    pub(super) const fn running(self) -> Option<Attempt> {
        match self {
            Self::Running(attempt) => Some(attempt),
            Self::Idle | Self::Waiting(_) => None,
        }
    }

    /// Whether KMS is being asked, or will be by itself.
    fn is_busy(self, now: Timestamp) -> bool {
        match self {
            Self::Idle => false,
            Self::Running(_) => true,
            Self::Waiting(at) => at > now,
        }
    }
}

impl Session {
    pub(super) const fn new_attempt(&mut self) -> Attempt {
        let attempt = Attempt(self.next_attempt);
        self.next_attempt = self.next_attempt.saturating_add(1);
        attempt
    }

    /// The agent wants the session encrypted: asks for a new key, once however often the agent says so.
    pub(super) fn fetch_new_key(&mut self, now: Timestamp) {
        let call = self.live.as_ref().map(|live| live.key_call);
        if call.is_none_or(|call| call.is_busy(now)) {
            return;
        }
        let attempt = self.new_attempt();
        let Some(live) = &mut self.live else { return };
        let Some(wanted @ WantedKey::New(_)) = live.channel.wanted_key() else {
            return;
        };
        live.key_call = KeyCall::Running(attempt);
        self.commands.push_back(Command::FetchKey {
            attempt,
            session_id: live.session_id.clone(),
            wanted,
        });
    }

    /// A restored session needs the key agreed on before anything else; false when it has it or needs none.
    pub(super) fn fetch_agreed_key(&mut self, attempt: Attempt, now: Timestamp) -> bool {
        let Some(live) = &self.live else { return false };
        let Some(wanted @ WantedKey::Agreed(_)) = live.channel.wanted_key() else {
            return false;
        };
        self.commands.push_back(Command::FetchKey {
            attempt,
            session_id: live.session_id.clone(),
            wanted,
        });
        self.work = Work::Calling {
            attempt,
            deadline: Some(now.after(self.config.call_timeout)),
        };
        true
    }

    /// When KMS is asked once more for a new key.
    pub(super) fn key_retry_at(&self) -> Option<Timestamp> {
        match self.live.as_ref()?.key_call {
            KeyCall::Waiting(at) => Some(at),
            KeyCall::Idle | KeyCall::Running(_) => None,
        }
    }

    pub(super) fn is_fetching_key(&self, attempt: Attempt) -> bool {
        let call = self.live.as_ref().map(|live| live.key_call);
        call == Some(KeyCall::Running(attempt))
    }

    /// KMS has given a key.
    pub(super) fn handle_key(&mut self, attempt: Attempt, grant: &KeyGrant, now: Timestamp) {
        let agreed = self.is_calling(attempt);
        if !agreed && !self.is_fetching_key(attempt) {
            return;
        }
        let Some(live) = &mut self.live else { return };
        live.key_call = KeyCall::Idle;
        live.channel.handle_key(&grant.key, &grant.cipher_text_key, grant.nonce);
        if agreed {
            self.begin_attempt("the data key is there", now);
        }
    }

    /// KMS has given no new key. What waiting mends is tried again until the handshake's time is over; else the session
    /// is of no use, and the next one comes when the failure's kind says so.
    pub(super) fn handle_key_failure(&mut self, failure: &Failure, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        match failure.class {
            FailureClass::Network | FailureClass::Protocol | FailureClass::Throttled { .. } => {
                live.key_call = KeyCall::Waiting(now.after(PAUSE));
            }
            FailureClass::Credentials
            | FailureClass::AccessDenied
            | FailureClass::TargetNotConnected
            | FailureClass::SessionGone
            | FailureClass::Rejected => {
                live.key_call = KeyCall::Idle;
                self.abandon_work();
                self.end_live(true);
                let text = format!(
                    "the session must be encrypted, and there is no data key: {}",
                    failure.text
                );
                let class = failure.class;
                self.handle_failure(Failure { class, text }, now);
            }
        }
    }
}
