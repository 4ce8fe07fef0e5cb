//! Self-cancelling resends.
//!
//! AWS's agent hands a message over, then acknowledges it; when that acknowledge cannot be written, the number is
//! not counted and the resend is handed over a second time. In a multiplexed session the client can prevent the
//! double: messages alternate between two kinds, and the resend of each kind is written so that the agent's smux
//! parser delivers its frames exactly when it has not delivered the original, and otherwise swallows them as data
//! of a stream that does not exist. Either way the parser ends in the same state, so resends may repeat.
//!
//! It needs: whole frames in each message, [`HEADROOM`] bytes of space, and stream ids below [`STREAM_LIMIT`].

use bytes::{BufMut, Bytes, BytesMut};

/// The most bytes a kind adds to the frames of a message.
pub const HEADROOM: usize = 17;
/// Stream ids from here on belong to the resend forms.
pub const STREAM_LIMIT: u32 = 0x01ff_fffe;

const ODD_PREFIX: [u8; 7] = [0x03, 0, 0, 0xff, 0xff, 0xff, 0xff];
const EVEN_SUFFIX: u8 = 0x01;

/// Which of the two kinds a message is; they alternate over the Output messages of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ends one byte into a header.
    Even,
    /// Completes that header as a NOP; ends at a boundary.
    Odd,
}

impl Kind {
    /// The kind of the Output message with this index, counted from 0.
    pub const fn of(index: u64) -> Self {
        if index.is_multiple_of(2) { Self::Even } else { Self::Odd }
    }

    /// The payload as it is first written.
    pub fn first_form(self, frames: &[u8]) -> Bytes {
        let mut payload = BytesMut::with_capacity(frames.len().saturating_add(HEADROOM));
        match self {
            Self::Even => {
                payload.put_slice(frames);
                payload.put_u8(EVEN_SUFFIX);
            }
            Self::Odd => {
                payload.put_slice(&ODD_PREFIX);
                payload.put_slice(frames);
            }
        }
        payload.freeze()
    }

    /// The payload as it is written every further time, made from the first form.
    pub fn resend_form(self, first: &Bytes) -> Bytes {
        let frames = self.frames(first);
        let mut payload = BytesMut::with_capacity(frames.len().saturating_add(HEADROOM));
        let length = |extra: usize| u16::try_from(frames.len().saturating_add(extra)).unwrap_or(u16::MAX);
        match self {
            Self::Even => {
                payload.put_slice(&[0x01, 0x02, 0x08, 0x00, 0xfe, 0xff, 0xff, 0x01, 0x02]);
                payload.put_u16_le(length(1));
                payload.put_slice(&[0xfe, 0xff, 0xff, 0xff, 0x00]);
                payload.put_slice(&frames);
                payload.put_u8(EVEN_SUFFIX);
            }
            Self::Odd => {
                payload.put_slice(&[0x01, 0x02]);
                payload.put_u16_le(length(7));
                payload.put_slice(&[0xfe, 0xff, 0xff, 0x01, 0x03, 0, 0, 0, 0, 0, 0]);
                payload.put_slice(&frames);
            }
        }
        payload.freeze()
    }

    /// The frames inside a first form.
    fn frames(self, first: &Bytes) -> Bytes {
        match self {
            Self::Even => first.slice(..first.len().saturating_sub(1)),
            Self::Odd => first.slice(ODD_PREFIX.len().min(first.len())..),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::{Decoder, Item};

    /// Everything the agent's parser would deliver to the stream 3 out of these payloads.
    fn delivered(payloads: &[Bytes]) -> Vec<u8> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for payload in payloads {
            let mut rest = payload.clone();
            while let Some(item) = decoder.next(&mut rest).unwrap() {
                if let Item::Data { stream: 3, bytes } = item {
                    out.extend_from_slice(&bytes);
                }
            }
        }
        out
    }

    fn frame(byte: u8) -> Vec<u8> {
        vec![1, 2, 2, 0, 3, 0, 0, 0, byte, byte]
    }

    #[test]
    fn a_resend_delivers_exactly_when_the_original_did_not() {
        let first: Vec<Bytes> = (0..4u8).map(|i| Kind::of(u64::from(i)).first_form(&frame(i))).collect();
        let again: Vec<Bytes> = (0..4u64)
            .zip(&first)
            .map(|(i, first)| Kind::of(i).resend_form(first))
            .collect();
        let expected = vec![0, 0, 1, 1, 2, 2, 3, 3];
        // Each message is applied one or more times, as original or as resend, the original only first.
        for mask in 0..81u32 {
            let mut applied = Vec::new();
            for i in 0..4usize {
                match mask / 3u32.pow(u32::try_from(i).unwrap()) % 3 {
                    0 => applied.push(first[i].clone()),
                    1 => applied.extend([first[i].clone(), again[i].clone(), again[i].clone()]),
                    _ => applied.extend([again[i].clone(), again[i].clone()]),
                }
            }
            assert_eq!(delivered(&applied), expected, "mask {mask}");
        }
    }
}
