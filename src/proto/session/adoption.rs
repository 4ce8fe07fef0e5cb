//! Taking over a session that another client has left.

use super::encryption::KeyCall;
use super::schedule::Activity;
use super::{Live, PongHabit, Purpose, Session, SessionConfig, Workload};
use crate::Timestamp;
use crate::channel::DataChannel;
use crate::handshake::Carriage;

impl Session {
    /// There is a session to take over: from now on it is this one's, though nothing is known of it but its id.
    pub(super) fn begin_adoption(&mut self, now: Timestamp) {
        let Some(session_id) = self.config.adopt.take_if(|_| self.live.is_none()) else {
            return;
        };
        let carriage = match self.config.purpose {
            Purpose::Connections => Carriage::Raw,
            Purpose::Shell => Carriage::Shell,
        };
        let client_id = self.identity.next_id();
        let identity = self.identity.fork();
        self.live = Some(Live {
            session_id,
            stream_url: String::new(),
            token: None,
            channel: DataChannel::adopting(
                identity,
                client_id,
                self.config.client_version.clone(),
                (carriage, self.config.adopt_sweep),
            ),
            workload: Workload::new(self.workload_limits()),
            repeated: None,
            handshake_deadline: None,
            key_call: KeyCall::default(),
            pongs: PongHabit::default(),
            activity: Activity::new(now),
        });
    }

    /// There is no session yet, or one that was not taken over yet.
    pub(super) fn is_not_begun(&self) -> bool {
        self.live.as_ref().is_none_or(|live| live.channel.is_adopting())
    }

    /// It cannot be taken over; whoever it belongs to keeps it.
    pub(super) fn refuse_adoption(&mut self, reason: &str, now: Timestamp) {
        self.end(&format!("the session cannot be taken over: {reason}"), false, now);
    }

    /// The handshake, or the search for the place in an adopted session, has taken too long.
    pub(super) fn end_handshake(&mut self, now: Timestamp) {
        if self.live.as_ref().is_some_and(|live| live.channel.is_adopting()) {
            let reason = "its agent does not answer, or has a version below 3.2.1041.0";
            return self.refuse_adoption(reason, now);
        }
        let cause = "the handshake with the agent did not finish in time: a new session is started";
        self.end(cause, true, now);
    }
}

impl Live {
    /// Its websocket is gone.
    pub(super) fn handle_down(&mut self, now: Timestamp) {
        self.channel.handle_detached();
        self.activity.handle_down(now);
        if self.channel.is_adopting() {
            // The next websocket has a time of its own.
            self.handshake_deadline = None;
        }
    }

    /// The search for the place in an adopted session has a time for each websocket, since the network may be away
    /// before.
    pub(super) fn wait_for_adoption(&mut self, config: &SessionConfig, now: Timestamp) {
        if self.channel.is_adopting() {
            self.handshake_deadline = Some(now.after(config.handshake_timeout));
        }
    }
}
