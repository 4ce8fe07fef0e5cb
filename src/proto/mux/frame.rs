//! smux frames, protocol version 1: a header of 8 bytes, little-endian, then the data of a PSH.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a header.
pub const HEADER: usize = 8;
/// Data bytes in one PSH that xtaci/smux sends at most (its MaxFrameSize); a received one may carry 65535.
pub const MAX_DATA: usize = 32768;

const VERSION: u8 = 1;

/// A frame's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameCommand {
    /// Opens a stream.
    Syn,
    /// Closes a whole stream: version 1 has no half-close.
    Fin,
    /// Carries data.
    Psh,
    /// Nothing.
    Nop,
}

impl FrameCommand {
    const fn code(self) -> u8 {
        match self {
            Self::Syn => 0,
            Self::Fin => 1,
            Self::Psh => 2,
            Self::Nop => 3,
        }
    }
}

/// Appends a frame.
pub fn put_frame(out: &mut BytesMut, command: FrameCommand, stream: u32, data: &[u8]) {
    out.put_u8(VERSION);
    out.put_u8(command.code());
    out.put_u16_le(u16::try_from(data.len()).unwrap_or(u16::MAX));
    out.put_u32_le(stream);
    out.put_slice(data);
}

/// A peer whose bytes are not smux version 1. The session's stream of bytes is lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFrame {
    /// The version byte.
    #[error("multiplexer frame of version {0}, expected 1")]
    Version(u8),
    /// The command byte.
    #[error("multiplexer frame with unknown command {0}")]
    Command(u8),
}

/// What the decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A stream is opened.
    Syn {
        /// Its id.
        stream: u32,
    },
    /// A stream is closed.
    Fin {
        /// Its id.
        stream: u32,
    },
    /// Data of a stream: a whole PSH or the part of it that has come.
    Data {
        /// Its id.
        stream: u32,
        /// A slice of the message it came in; never empty.
        bytes: Bytes,
    },
    /// A NOP, or a PSH without data.
    Nop,
}

/// Cuts a stream of bytes into frames; frames may run across messages in any way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    header: [u8; HEADER],
    /// Bytes of `header` that are valid; below 8 between calls.
    filled: usize,
    /// The PSH being read: its stream and the bytes still to come, never 0.
    open: Option<(u32, usize)>,
}

impl Decoder {
    /// Takes the next item off the front of `input`; `None` when more input is needed.
    ///
    /// # Errors
    /// [`InvalidFrame`]; the decoder is of no use afterwards.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Item>, InvalidFrame> {
        if let Some((stream, left)) = self.open {
            if input.is_empty() {
                return Ok(None);
            }
            let bytes = input.split_to(left.min(input.len()));
            let left = left.saturating_sub(bytes.len());
            self.open = (left > 0).then_some((stream, left));
            return Ok(Some(Item::Data { stream, bytes }));
        }
        while self.filled < HEADER {
            if input.is_empty() {
                return Ok(None);
            }
            if let Some(slot) = self.header.get_mut(self.filled) {
                *slot = input.get_u8();
            }
            self.filled = self.filled.saturating_add(1);
        }
        self.filled = 0;
        let mut header: &[u8] = &self.header;
        let (version, command) = (header.get_u8(), header.get_u8());
        let (length, stream) = (usize::from(header.get_u16_le()), header.get_u32_le());
        if version != VERSION {
            return Err(InvalidFrame::Version(version));
        }
        // Like xtaci/smux: only a PSH has data, the length of the others means nothing.
        match command {
            0 => Ok(Some(Item::Syn { stream })),
            1 => Ok(Some(Item::Fin { stream })),
            2 if length > 0 => {
                self.open = Some((stream, length));
                self.next(input)
            }
            2 | 3 => Ok(Some(Item::Nop)),
            other => Err(InvalidFrame::Command(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_and_commands_are_refused() {
        let read = |bytes: &'static [u8]| Decoder::default().next(&mut Bytes::from_static(bytes));
        assert_eq!(read(&[2, 0, 0, 0, 3, 0, 0, 0]), Err(InvalidFrame::Version(2)));
        assert_eq!(read(&[1, 4, 8, 0, 3, 0, 0, 0]), Err(InvalidFrame::Command(4)));
    }

    proptest::proptest! {
        #[test]
        fn frames_survive_any_cut(frames in proptest::collection::vec((0u32..9, proptest::collection::vec(0u8.., 1..50)), 0..20), cuts in proptest::collection::vec(1usize..40, 1..50)) {
            let mut wire = BytesMut::new();
            let mut expected: Vec<(u32, Vec<u8>)> = Vec::new();
            for (stream, data) in &frames {
                put_frame(&mut wire, FrameCommand::Nop, 0, &[]);
                put_frame(&mut wire, FrameCommand::Psh, *stream, data);
                expected.push((*stream, data.clone()));
            }
            let mut wire = wire.freeze();
            let mut decoder = Decoder::default();
            let mut got: Vec<(u32, Vec<u8>)> = Vec::new();
            let mut fresh = true;
            for cut in cuts.iter().cycle() {
                if wire.is_empty() { break; }
                let mut piece = wire.split_to((*cut).min(wire.len()));
                while let Some(item) = decoder.next(&mut piece).unwrap() {
                    match item {
                        Item::Data { stream, bytes } => {
                            if fresh { got.push((stream, Vec::new())); }
                            fresh = false;
                            got.last_mut().unwrap().1.extend_from_slice(&bytes);
                        }
                        Item::Nop | Item::Syn { .. } | Item::Fin { .. } => fresh = true,
                    }
                }
            }
            proptest::prop_assert_eq!(got, expected);
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let mut input = Bytes::from(bytes);
            let mut decoder = Decoder::default();
            while let Ok(Some(_)) = decoder.next(&mut input) {}
        }
    }
}
