//! What the agent does with its destinations: frames of the multiplexer, and the far applications' bytes.

use autossm_proto::Timestamp;
use bytes::Bytes;

use crate::agent::{Agent, FarSide, SMUX_BUFFER};
use crate::plan::{FarState, Manner};
use crate::rng::Pattern;
use crate::wire::{FLAG, Frame, smux_frame};

impl Agent {
    pub(crate) fn frame(&mut self, frame: Frame, side: &mut FarSide, now: Timestamp) {
        match frame {
            Frame::Syn(id) if self.open.contains_key(&id) => {}
            Frame::Syn(id) => {
                assert!(id % 2 == 1 && id >= 3, "stream id {id}");
                let key = side.streams[&id];
                let far = &mut side.fars[key];
                if far.plan.manner == Manner::Refused {
                    far.state = FarState::Refused;
                    self.send(FLAG, Bytes::from_static(&[0, 0, 0, 3]), now);
                    self.queue_frame(1, id, &[]);
                } else {
                    assert_eq!(far.state, FarState::Absent, "connection {key} opened twice");
                    far.open(now);
                    self.open.insert(id, key);
                }
            }
            Frame::Data(id, bytes) => {
                if let Some(key) = self.open.get(&id) {
                    let far = &mut side.fars[*key];
                    let name = format!("upload of connection {key}");
                    Pattern::up(*key).check(&name, far.received, &bytes);
                    far.receive(bytes.len(), now);
                }
            }
            Frame::Fin(id) => {
                if let Some(key) = self.open.remove(&id) {
                    side.fars[key].state = FarState::Closed;
                    self.queue_frame(1, id, &[]);
                }
            }
        }
    }

    fn queue_frame(&mut self, command: u8, stream: u32, data: &[u8]) {
        let mut frame = Vec::with_capacity(data.len() + 8);
        smux_frame(&mut frame, command, stream, data);
        self.smux_out.extend(frame);
    }

    pub(crate) fn step_fars(&mut self, side: &mut FarSide, now: Timestamp) {
        let streams: Vec<(u32, usize)> = self.open.iter().map(|(id, key)| (*id, *key)).collect();
        for (id, key) in streams {
            if self.smux_out.len() >= SMUX_BUFFER {
                break;
            }
            let far = &mut side.fars[key];
            match far.step(now) {
                None => {}
                Some(0) => {
                    far.state = FarState::Finished;
                    self.open.remove(&id);
                    if self.config.raw {
                        self.raw_finished();
                    } else {
                        self.queue_frame(1, id, &[]);
                    }
                }
                Some(length) => {
                    let bytes = Pattern::down(key).bytes(far.sent, length);
                    far.sent += bytes.len() as u64;
                    if self.config.raw {
                        self.smux_out.extend(bytes);
                    } else {
                        self.queue_frame(2, id, &bytes);
                    }
                }
            }
        }
    }
}
