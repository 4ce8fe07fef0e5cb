//! What a terminal and the daemon say to each other once a control connection is one between them: small frames of a tag
//! (one byte), a length (u32, big-endian) and as many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::status::ProxyEnd;

/// Bytes in one frame; a redraw of the largest screen with its scrollback is sent in several.
pub const LARGEST: usize = 1 << 20;
const HEAD: usize = 5;

/// What a terminal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromViewer {
    /// Typed.
    Input(Bytes),
    /// It has so many rows and columns now.
    Size {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// All that was sent has been shown.
    Shown,
    /// Draw everything again.
    Redraw,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToViewer {
    /// To be written to the terminal as it is; it says [`FromViewer::Shown`] then.
    Frame(Bytes),
    /// Of standard output, as it came.
    Stdout(Bytes),
    /// Of standard error, as it came.
    Stderr(Bytes),
    /// The command has ended.
    Exit {
        /// With this code; -1 when a signal ended it.
        code: i32,
        /// The connection to AWS was lost while it ran.
        dropped: bool,
    },
    /// Nothing more comes, for this reason.
    End(ProxyEnd),
}

/// The other side does not keep to the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of a terminal's connection")]
pub struct BadFrame;

/// Frames out of bytes.
#[derive(Debug, Default)]
pub struct Frames(BytesMut);

impl Frames {
    /// Room for more bytes; what was read into it belongs to the frames.
    pub const fn room(&mut self) -> &mut BytesMut {
        &mut self.0
    }

    /// The next whole frame.
    fn next(&mut self) -> Result<Option<(u8, Bytes)>, BadFrame> {
        let Some((&tag, rest)) = self.0.split_first() else {
            return Ok(None);
        };
        let Some(length) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_too_long| BadFrame)?;
        if length > LARGEST {
            return Err(BadFrame);
        }
        if self.0.len() < HEAD + length {
            return Ok(None);
        }
        self.0.advance(HEAD);
        Ok(Some((tag, self.0.split_to(length).freeze())))
    }

    /// The next frame of a terminal.
    ///
    /// # Errors
    /// [`BadFrame`]: nothing after it can be understood.
    pub fn next_said(&mut self) -> Result<Option<FromViewer>, BadFrame> {
        let Some((tag, mut payload)) = self.next()? else {
            return Ok(None);
        };
        Ok(Some(match tag {
            b'i' => FromViewer::Input(payload),
            b's' if payload.len() == 4 => FromViewer::Size {
                rows: payload.get_u16(),
                cols: payload.get_u16(),
            },
            b'k' => FromViewer::Shown,
            b'r' => FromViewer::Redraw,
            _ => return Err(BadFrame),
        }))
    }

    /// The next frame of the daemon.
    ///
    /// # Errors
    /// [`BadFrame`]: nothing after it can be understood.
    pub fn next_told(&mut self) -> Result<Option<ToViewer>, BadFrame> {
        let Some((tag, mut payload)) = self.next()? else {
            return Ok(None);
        };
        Ok(Some(match tag {
            b'f' => ToViewer::Frame(payload),
            b'o' => ToViewer::Stdout(payload),
            b'e' => ToViewer::Stderr(payload),
            b'x' if payload.len() == 5 => ToViewer::Exit {
                code: payload.get_i32(),
                dropped: payload.get_u8() != 0,
            },
            b'z' => ToViewer::End(serde_json::from_slice(&payload).map_err(|_no_end| BadFrame)?),
            _ => return Err(BadFrame),
        }))
    }
}

impl FromViewer {
    /// On the wire.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Input(bytes) => frame(b'i', bytes),
            Self::Size { rows, cols } => {
                let [a, b] = rows.to_be_bytes();
                let [c, d] = cols.to_be_bytes();
                frame(b's', &[a, b, c, d])
            }
            Self::Shown => frame(b'k', &[]),
            Self::Redraw => frame(b'r', &[]),
        }
    }
}

impl ToViewer {
    /// On the wire.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Frame(bytes) => pieces(b'f', bytes),
            Self::Stdout(bytes) => pieces(b'o', bytes),
            Self::Stderr(bytes) => pieces(b'e', bytes),
            Self::Exit { code, dropped } => {
                let [a, b, c, d] = code.to_be_bytes();
                frame(b'x', &[a, b, c, d, u8::from(*dropped)])
            }
            Self::End(end) => frame(b'z', &serde_json::to_vec(end).unwrap_or_default()),
        }
    }
}

/// As many frames as it takes.
fn pieces(tag: u8, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + HEAD);
    for piece in bytes.chunks(LARGEST) {
        put(&mut out, tag, piece);
    }
    out.freeze()
}

fn frame(tag: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + HEAD);
    put(&mut out, tag, payload);
    out.freeze()
}

fn put(out: &mut BytesMut, tag: u8, payload: &[u8]) {
    out.put_u8(tag);
    out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ProxyEndKind;

    #[test]
    fn frames_survive_any_cut() {
        let end = ProxyEnd {
            end: ProxyEndKind::Lost,
            cause: "gone".to_owned(),
        };
        let told = [
            ToViewer::Frame(Bytes::from_static(b"\x1b[H")),
            ToViewer::Stdout(Bytes::from_static(b"out")),
            ToViewer::Stderr(Bytes::from_static(b"err")),
            ToViewer::Exit {
                code: -1,
                dropped: true,
            },
            ToViewer::End(end),
        ];
        let wire: Vec<u8> = told.iter().flat_map(ToViewer::encode).collect();
        let mut frames = Frames::default();
        let mut read = Vec::new();
        for byte in wire {
            frames.room().put_u8(byte);
            read.extend(frames.next_told().unwrap());
        }
        assert_eq!(read, told);
        let said = [
            FromViewer::Input(Bytes::from_static(b"ls\r")),
            FromViewer::Size { rows: 50, cols: 132 },
            FromViewer::Shown,
            FromViewer::Redraw,
        ];
        let mut frames = Frames::default();
        said.iter().for_each(|frame| frames.room().put(frame.encode()));
        for frame in said {
            assert_eq!(frames.next_said(), Ok(Some(frame)));
        }
    }

    #[test]
    fn what_is_too_large_for_one_frame_goes_in_several() {
        let whole = Bytes::from(vec![7; LARGEST * 2 + 3]);
        let mut frames = Frames::default();
        frames.room().put(ToViewer::Stdout(whole.clone()).encode());
        let mut got = Vec::new();
        while let Some(ToViewer::Stdout(bytes)) = frames.next_told().unwrap() {
            got.extend_from_slice(&bytes);
        }
        assert_eq!(got, whole);
    }

    #[test]
    fn nonsense_is_refused() {
        for wire in [&b"q\0\0\0\0"[..], b"i\xff\xff\xff\xff", b"s\0\0\0\x01x"] {
            let mut frames = Frames::default();
            frames.room().put_slice(wire);
            assert_eq!(frames.next_said(), Err(BadFrame), "{wire:?}");
        }
        let mut frames = Frames::default();
        frames.room().put_slice(b"z\0\0\0\x01{");
        assert_eq!(frames.next_told(), Err(BadFrame));
    }
}
