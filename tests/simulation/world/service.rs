//! Session Manager and the way to the agent, with their faults.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::{Command, Epoch, Failure, FailureClass, Grant, Outcome, ResumeGrant, Secret};
use bytes::Bytes;

use super::{Aws, World};
use crate::agent::{Agent, AgentOut};
use crate::net::{Frame, Happening, Link, ToAgent};
use crate::plan::FarState;
use crate::trace;
use crate::wire::{FLAG, Kind, Msg, brief, control};

impl World {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Start { .. } | Command::Resume { .. } => {
                self.net.queue.after(self.turn_delay, Happening::Turn(command));
            }
            Command::FetchKey {
                attempt,
                session_id,
                wanted,
            } => {
                let refused = self.calls.or(self.kms.refuses);
                self.calls_failed |= refused.is_some();
                let outcome = match refused {
                    Some(class) => Outcome::Failed {
                        attempt,
                        failure: failure(class),
                    },
                    None => Outcome::Key {
                        attempt,
                        grant: self.kms.answer(session_id, &wanted),
                    },
                };
                self.net.queue.after(self.net.delay * 3, Happening::Outcome(outcome));
            }
            // The simulation's accounts allow everybody to read them, and have none.
            Command::ReadPreferences => {}
            Command::Dial { attempt, epoch, .. } => {
                let outcome = if self.refuses {
                    Outcome::Failed {
                        attempt,
                        failure: failure(FailureClass::Network),
                    }
                } else {
                    self.net.links.insert(epoch, Link::new(self.net.delay));
                    Outcome::Dialed { attempt, epoch }
                };
                self.net.queue.after(self.net.delay * 3, Happening::Outcome(outcome));
            }
            Command::Close { epoch } => {
                if let Some(link) = self.net.links.get_mut(&epoch) {
                    link.client_open = false;
                    self.net.queue.after(self.net.delay, Happening::ServiceNotices(epoch));
                }
            }
            Command::Terminate { session_id } => {
                if let Some(aws) = self.aws.as_mut().filter(|aws| name(aws.id) == session_id) {
                    aws.ended = true;
                    self.ended += 1;
                }
            }
            // A call that waits for its turn is not made; the outcome of another is stale and the session must ignore it.
            Command::Abandon { attempt } => {
                self.abandoned.insert(attempt);
            }
        }
    }

    /// The turn of this call has come.
    pub(super) fn call(&mut self, command: Command) {
        let (wait, now) = (self.net.delay * 3, self.net.queue.now);
        match command {
            Command::Start { attempt, .. } | Command::Resume { attempt, .. } if self.abandoned.contains(&attempt) => {}
            Command::Start { attempt, .. } => {
                self.host.turn_of(attempt, now);
                let outcome = match self.calls {
                    Some(class) => Outcome::Failed {
                        attempt,
                        failure: failure(class),
                    },
                    None => Outcome::Started {
                        attempt,
                        grant: self.start(),
                    },
                };
                self.net.queue.after(wait, Happening::Outcome(outcome));
            }
            Command::Resume {
                attempt, session_id, ..
            } => {
                self.host.turn_of(attempt, now);
                let known = self
                    .aws
                    .as_ref()
                    .is_some_and(|aws| !aws.ended && session_id == name(aws.id));
                let outcome = match self.calls {
                    Some(class) => Outcome::Failed {
                        attempt,
                        failure: failure(class),
                    },
                    None if known => {
                        if let Some(aws) = &mut self.aws {
                            aws.active = now;
                        }
                        let token = self.new_token();
                        let grant = ResumeGrant {
                            token: Some(Secret::new(token)),
                            stream_url: Some("wss://new".to_owned()),
                        };
                        Outcome::Resumed { attempt, grant }
                    }
                    None if self.tokens.is_multiple_of(2) => Outcome::Resumed {
                        attempt,
                        grant: ResumeGrant {
                            token: None,
                            stream_url: None,
                        },
                    },
                    None => Outcome::Failed {
                        attempt,
                        failure: failure(FailureClass::SessionGone),
                    },
                };
                self.net.queue.after(wait, Happening::Outcome(outcome));
            }
            Command::Dial { .. }
            | Command::FetchKey { .. }
            | Command::Close { .. }
            | Command::Terminate { .. }
            | Command::Abandon { .. }
            | Command::ReadPreferences => {}
        }
    }

    pub(super) fn start(&mut self) -> Grant {
        self.sessions += 1;
        let agent = Agent::new(self.agent.clone(), self.net.queue.now);
        let agent_link = self.sessions << 32;
        self.aws = Some(Aws {
            id: self.sessions,
            agent,
            agent_link,
            token: None,
            client: None,
            active: self.net.queue.now,
            ended: false,
        });
        // Connections of an earlier session are closed by its agent.
        for far in self.side.fars.iter_mut().filter(|far| far.state == FarState::Open) {
            far.state = FarState::Closed;
        }
        let token = self.new_token();
        Grant {
            session_id: name(self.sessions),
            token: Secret::new(token),
            stream_url: "wss://first".to_owned(),
        }
    }

    pub(super) fn new_token(&mut self) -> String {
        self.tokens += 1;
        let token = format!("token-{}-", self.tokens);
        if let Some(aws) = &mut self.aws {
            aws.token = Some(token.clone());
        }
        token
    }

    pub(super) fn up(&mut self, epoch: Epoch, frame: Frame) {
        let Some(link) = self.net.links.get(&epoch).filter(|link| link.service_open) else {
            return;
        };
        let accepted = link.accepted;
        match frame {
            Frame::Text(text) => self.open_data_channel(epoch, &text),
            Frame::Ping(payload) => self.net.send_down(epoch, Frame::Pong(payload)),
            Frame::Binary(bytes) if accepted => {
                if self.is_lost() {
                    return;
                }
                let msg = Msg::decode(&bytes);
                self.harmless += u64::from(msg.payload_type == FLAG);
                if let Some(aws) = self.aws.as_mut().filter(|aws| aws.client == Some(epoch)) {
                    if msg.kind == Kind::Input {
                        aws.active = self.net.queue.now;
                    }
                    let happening = Happening::ToAgent(aws.agent_link, ToAgent::Message(bytes));
                    self.net.queue.after(self.agent_delay, happening);
                }
            }
            // Its token was refused, and it does not know yet.
            Frame::Binary(_) => {}
            Frame::Pong(_) | Frame::Close(_) => {}
        }
    }

    pub(super) fn open_data_channel(&mut self, epoch: Epoch, text: &str) {
        let Some(aws) = self.aws.as_mut().filter(|aws| !aws.ended) else {
            self.net.reset(epoch, true);
            return;
        };
        if aws.token.as_ref().is_none_or(|token| !text.contains(token.as_str())) {
            self.net.send_down(epoch, Frame::Close(1008));
            return;
        }
        aws.token = None;
        if let Some(old) = aws.client.replace(epoch) {
            self.net.reset(old, false);
        }
        let link = aws.agent_link;
        if let Some(opened) = self.net.links.get_mut(&epoch) {
            opened.accepted = true;
        }
        self.net
            .queue
            .after(self.agent_delay, Happening::ToAgent(link, ToAgent::Start));
    }

    pub(super) fn client_gone(&mut self, epoch: Epoch) {
        if let Some(link) = self.net.links.get_mut(&epoch) {
            link.service_open = false;
        }
        if let Some(aws) = self.aws.as_mut().filter(|aws| aws.client == Some(epoch)) {
            aws.client = None;
            let happening = Happening::ToAgent(aws.agent_link, ToAgent::Pause);
            self.net.queue.after(self.agent_delay, happening);
        }
    }

    pub(super) fn reach_agent(&mut self, link: u64, message: ToAgent) {
        let now = self.net.queue.now;
        self.look_at_streams();
        let Some(aws) = self
            .aws
            .as_mut()
            .filter(|aws| aws.agent_link == link && aws.agent.link_up && !aws.ended)
        else {
            return;
        };
        match &message {
            ToAgent::Message(bytes) => trace!(now, "agent gets {}", brief(bytes)),
            ToAgent::Pause | ToAgent::Start => trace!(now, "agent gets {message:?}"),
        }
        match message {
            ToAgent::Message(bytes) => {
                aws.agent.handle(&bytes, &mut self.side, now);
            }
            ToAgent::Pause => aws.agent.paused = true,
            ToAgent::Start => aws.agent.paused = false,
        }
        self.agent_speaks();
    }

    /// The far side knows which stream belongs to which connection.
    fn look_at_streams(&mut self) {
        self.side.streams.clone_from(&self.host.streams);
        self.side.taken.extend(self.host.streams.values());
    }

    pub(super) fn step_agent(&mut self) {
        let now = self.net.queue.now;
        let blocked = self.host.inbox.len() > 1000;
        self.look_at_streams();
        if let Some(aws) = self.aws.as_mut().filter(|aws| !aws.ended) {
            aws.agent.blocked = blocked;
            if aws.agent.next_wake(&self.side).is_some_and(|at| at <= now) {
                aws.agent.wake(&mut self.side, now);
            }
        }
        self.agent_speaks();
    }

    pub(super) fn agent_speaks(&mut self) {
        let Some(aws) = &mut self.aws else { return };
        let out = std::mem::take(&mut aws.agent.out);
        for said in out {
            let Some(aws) = &mut self.aws else { return };
            match said {
                AgentOut::Frame(bytes) => {
                    self.net
                        .queue
                        .after(self.agent_delay, Happening::FromAgent(aws.agent_link, bytes));
                }
                AgentOut::CutLink => {
                    self.doubled += 1;
                    self.cut_agent(Duration::from_millis(20));
                }
                AgentOut::Failed => {
                    self.corrupted |= aws.agent.raw.corrupted;
                    self.cut_short |= aws.agent.raw.tail_lost;
                    self.end_session(true);
                }
            }
        }
    }

    pub(super) fn carry_from_agent(&mut self, link: u64, bytes: Bytes) {
        let Some(epoch) = self
            .aws
            .as_ref()
            .filter(|aws| aws.agent_link == link)
            .and_then(|aws| aws.client)
        else {
            return;
        };
        trace!(self.net.queue.now, "agent says {}", brief(&bytes));
        if self.loses_acks && Msg::decode_any(&bytes) == Kind::Ack {
            self.lost += 1;
            return;
        }
        if self.hole > 0 && Msg::decode_any(&bytes) == Kind::Output {
            self.hole -= 1;
            self.lost += 1;
            return;
        }
        if !self.is_lost() {
            self.net.send_down(epoch, Frame::Binary(bytes));
        }
    }

    /// Whether the service loses the message it carries now.
    pub(super) const fn is_lost(&mut self) -> bool {
        self.carried += 1;
        let lost = matches!(self.loses, Some(every) if self.carried.is_multiple_of(every));
        self.lost += lost as u64;
        lost
    }

    pub(super) fn cut_agent(&mut self, time: Duration) {
        if let Some(aws) = &mut self.aws {
            aws.agent.link_up = false;
            aws.agent_link += 1;
            self.net.queue.after(time, Happening::AgentLinkUp(aws.agent_link));
        }
    }

    /// When the account ends the session for its silence.
    pub(super) fn idle_end(&self) -> Option<Timestamp> {
        let aws = self.aws.as_ref().filter(|aws| !aws.ended)?;
        self.idle_out.map(|idle| aws.active.after(idle))
    }

    pub(super) fn end_session(&mut self, told: bool) {
        let Some(aws) = self.aws.as_mut().filter(|aws| !aws.ended) else {
            return;
        };
        aws.ended = true;
        self.ended += 1;
        if let Some(epoch) = aws.client {
            if told {
                let id = name(aws.id);
                let text = format!(r#"{{"MessageType":"channel_closed","SessionId":"{id}","Output":"over"}}"#);
                self.net.send_down(epoch, Frame::Binary(control(Kind::Closed, &text)));
            }
            if told && self.agent.raw {
                self.net.bye(epoch);
            } else {
                self.net.reset(epoch, true);
            }
        }
    }

    /// The host's process is dead: its websocket goes with it; another takes over a second later.
    pub(super) fn die(&mut self) {
        self.buried = true;
        self.host.epoch = None;
        self.net.queue.forget_process();
        self.net.links.clear();
        if let Some(aws) = &mut self.aws {
            aws.client = None;
            aws.agent.paused = true;
        }
        self.net.queue.after(Duration::from_secs(1), Happening::Restart);
    }
}

fn name(id: u64) -> String {
    format!("session-{id}")
}

fn failure(class: FailureClass) -> Failure {
    Failure {
        class,
        text: format!("{class:?}"),
    }
}
