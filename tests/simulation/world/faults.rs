//! How the faults strike.

use std::time::Duration;

use autossm_proto::session::Epoch;

use super::World;
use crate::fault::Fault;
use crate::net::{Frame, Happening, Heal, Mode};
use crate::trace;

impl World {
    pub(super) fn newest(&self) -> Option<Epoch> {
        self.net
            .links
            .iter()
            .filter(|(_, link)| link.client_open)
            .map(|(epoch, _)| *epoch)
            .next_back()
    }

    pub(crate) fn strike(&mut self, fault: &Fault) {
        trace!(self.net.queue.now, "fault {fault:?}");
        let newest = self.newest();
        match *fault {
            Fault::Close(code) => {
                if let Some(epoch) = newest {
                    self.net.send_down(epoch, Frame::Close(code));
                    self.client_gone(epoch);
                }
            }
            Fault::Rst => {
                if let Some(epoch) = newest {
                    self.net.reset(epoch, true);
                }
            }
            Fault::Stall(up, down, time) => self.black_hole(Mode::Stalled, up, down, time),
            Fault::Discard(up, down, time) => self.black_hole(Mode::Discarding, up, down, time),
            Fault::Calls(class, time) => {
                (self.calls, self.calls_failed) = (Some(class), true);
                self.net.queue.after(time, Happening::Heal(Heal::Control));
            }
            Fault::Refuse(time) => {
                self.refuses = true;
                self.net.queue.after(time, Happening::Heal(Heal::Dials));
            }
            Fault::Lose(every, time) => {
                self.loses = Some(every);
                self.net.queue.after(time, Happening::Heal(Heal::Losses));
            }
            Fault::Hole(messages) => self.hole = messages,
            Fault::LoseAcks(time) => {
                self.loses_acks = true;
                self.net.queue.after(time, Happening::Heal(Heal::Losses));
            }
            Fault::AgentCut(time) => self.cut_agent(time),
            Fault::CutAtHandover => {
                if let Some(aws) = &mut self.aws {
                    aws.agent.cut_at_handover = true;
                }
            }
            Fault::End(told) => {
                self.cut_short = true;
                self.end_session(told);
            }
            Fault::Reconnect => {
                if self.asleep.is_none() && !self.host.dead {
                    self.host.session.reconnect(self.net.queue.now);
                }
            }
            Fault::Network(change) => {
                if self.asleep.is_none() && !self.host.dead {
                    self.host.session.handle_network(change, self.net.queue.now);
                }
            }
            Fault::Sleep(time) => {
                if self.asleep.is_none() {
                    self.asleep = Some(self.net.queue.now.after(time));
                    self.net.queue.after(time, Happening::Wake(time));
                }
            }
            Fault::Crash(records) => self.host.kill_at = Some(self.host.journal.len() + records),
        }
    }

    pub(super) fn black_hole(&mut self, mode: Mode, up: bool, down: bool, time: Duration) {
        let Some(epoch) = self.newest() else { return };
        let Some(link) = self.net.links.get_mut(&epoch) else {
            return;
        };
        if link.up.is_stuck() || link.down.is_stuck() {
            return;
        }
        if up {
            link.up.mode = mode;
        }
        if down {
            link.down.mode = mode;
        }
        self.net.queue.after(time, Happening::Heal(Heal::ClientPipes(epoch)));
    }
}
