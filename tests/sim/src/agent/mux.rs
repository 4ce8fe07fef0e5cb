//! The agent's smux server, version 1: streams out of input bytes, frames out of destination bytes.
//!
//! Pure. It has the real one's two buffers: the socket pair between the agent's reader and its smux session, and
//! the session-wide receive bucket. When both are full the agent's reader stands still, and with it every stream.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};

const HEADER: usize = 8;
const VERSION: u8 = 1;
const SYN: u8 = 0;
const FIN: u8 = 1;
const PSH: u8 = 2;
const NOP: u8 = 3;

/// MaxFrameSize: the most a frame of this side carries.
pub(crate) const MAX_FRAME: usize = 32_768;
/// MaxReceiveBuffer, for all streams together.
const RECEIVE_BUCKET: usize = 4 << 20;
/// The socket buffer between the agent's reader and its smux session, either way.
const SOCKET_BUFFER: usize = 208 << 10;
/// Streams opened by the client and not yet accepted; beyond it smux stops reading.
const ACCEPT_BACKLOG: usize = 1024;

/// The bytes were not smux: the session of the agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError {
    /// The first header byte.
    pub(crate) version: u8,
    /// The second.
    pub(crate) command: u8,
}

/// The client's bytes waiting for one destination.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// Slices of the messages they came in.
    pub(crate) chunks: VecDeque<Bytes>,
    /// The client has closed the stream.
    pub(crate) finished: bool,
    bytes: usize,
}

/// The server's side of one smux session.
#[derive(Debug, Default)]
pub(crate) struct MuxServer {
    input: VecDeque<Bytes>,
    input_bytes: usize,
    /// Bytes in streams, taken from the bucket.
    taken: usize,
    streams: BTreeMap<u32, Incoming>,
    accept: VecDeque<u32>,
    output: BytesMut,
    /// Its reader has ended; the socket pair before it fills up.
    broken: bool,
}

impl MuxServer {
    /// The payload of one message.
    pub(crate) fn push(&mut self, payload: Bytes) {
        self.input_bytes += payload.len();
        self.input.push_back(payload);
    }

    /// Whether the write of the last pushed payload is still waiting for room.
    pub(crate) const fn is_blocked(&self) -> bool {
        self.input_bytes > SOCKET_BUFFER
    }

    /// Bytes that have not been read as frames.
    pub(crate) const fn unread(&self) -> usize {
        self.input_bytes
    }

    /// Reads frames while the bucket has tokens.
    ///
    /// # Errors
    /// [`ProtocolError`]: nothing more will be read.
    pub(crate) fn advance(&mut self) -> Result<(), ProtocolError> {
        while !self.broken && self.taken < RECEIVE_BUCKET && self.accept.len() < ACCEPT_BACKLOG {
            let Some([version, command, low, high, id @ ..]) = self.peek_header() else {
                break;
            };
            let stream = u32::from_le_bytes(id);
            let length = usize::from(u16::from_le_bytes([low, high]));
            match (version, command) {
                (VERSION, NOP) => self.skip(HEADER),
                (VERSION, SYN) => {
                    self.skip(HEADER);
                    self.open(stream);
                }
                (VERSION, FIN) => {
                    self.skip(HEADER);
                    if let Some(incoming) = self.streams.get_mut(&stream) {
                        incoming.finished = true;
                    }
                }
                (VERSION, PSH) => {
                    if self.input_bytes < HEADER + length {
                        break;
                    }
                    self.skip(HEADER);
                    self.deliver(stream, length);
                }
                _ => return Err(ProtocolError { version, command }),
            }
        }
        Ok(())
    }

    /// The reader ends; what is still to be sent is sent.
    pub(crate) fn stop_reading(&mut self) {
        self.broken = true;
        self.accept.clear();
    }

    /// Whether [`MuxServer::stop_reading`] was called.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// The next stream to dial for.
    pub(crate) fn next_accept(&mut self) -> Option<u32> {
        self.accept.pop_front()
    }

    /// What waits for a stream's destination; none when the stream is closed.
    pub(crate) fn incoming(&self, stream: u32) -> Option<&Incoming> {
        self.streams.get(&stream)
    }

    /// That many bytes have been written to the destination.
    pub(crate) fn consume(&mut self, stream: u32, mut count: usize) {
        let Some(incoming) = self.streams.get_mut(&stream) else {
            return;
        };
        incoming.bytes = incoming.bytes.saturating_sub(count);
        self.taken = self.taken.saturating_sub(count);
        while let Some(first) = incoming.chunks.front_mut()
            && count > 0
        {
            let step = first.len().min(count);
            first.advance(step);
            count -= step;
            if first.is_empty() {
                incoming.chunks.pop_front();
            }
        }
    }

    /// Whether destinations may be read.
    pub(crate) fn has_output_room(&self) -> bool {
        self.output.len() < SOCKET_BUFFER
    }

    /// Bytes a destination sent, at most [`MAX_FRAME`].
    pub(crate) fn send(&mut self, stream: u32, data: &[u8]) {
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        self.frame(PSH, stream, length);
        self.output.extend_from_slice(data);
    }

    /// Closes a stream: its remaining input is thrown away, the client gets a FIN.
    pub(crate) fn close(&mut self, stream: u32) {
        if let Some(incoming) = self.streams.remove(&stream) {
            self.taken = self.taken.saturating_sub(incoming.bytes);
            self.frame(FIN, stream, 0);
        }
    }

    /// Up to `max` bytes for the client.
    pub(crate) fn take_output(&mut self, max: usize) -> Option<Bytes> {
        let length = self.output.len().min(max);
        (length > 0).then(|| self.output.split_to(length).freeze())
    }

    /// Whether [`MuxServer::take_output`] has something.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn open(&mut self, stream: u32) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.streams.entry(stream) {
            vacant.insert(Incoming::default());
            self.accept.push_back(stream);
        }
    }

    fn deliver(&mut self, stream: u32, mut length: usize) {
        let Some(incoming) = self.streams.get_mut(&stream) else {
            self.skip(length);
            return;
        };
        incoming.bytes += length;
        self.taken += length;
        self.input_bytes = self.input_bytes.saturating_sub(length);
        while let Some(first) = self.input.front_mut()
            && length > 0
        {
            let chunk = first.split_to(first.len().min(length));
            length -= chunk.len();
            incoming.chunks.push_back(chunk);
            if first.is_empty() {
                self.input.pop_front();
            }
        }
    }

    fn peek_header(&self) -> Option<[u8; HEADER]> {
        if let Some(header) = self.input.front().and_then(|first| first.first_chunk()) {
            return Some(*header);
        }
        let mut header = [0; HEADER];
        let mut bytes = self.input.iter().flatten();
        for slot in &mut header {
            *slot = *bytes.next()?;
        }
        Some(header)
    }

    fn skip(&mut self, mut count: usize) {
        self.input_bytes = self.input_bytes.saturating_sub(count);
        while let Some(first) = self.input.front_mut()
            && count > 0
        {
            let step = first.len().min(count);
            first.advance(step);
            count -= step;
            if first.is_empty() {
                self.input.pop_front();
            }
        }
    }

    fn frame(&mut self, command: u8, stream: u32, length: u16) {
        self.output.extend_from_slice(&[VERSION, command]);
        self.output.extend_from_slice(&length.to_le_bytes());
        self.output.extend_from_slice(&stream.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(command: u8, stream: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![VERSION, command];
        bytes.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(stream.to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn feed(mux: &mut MuxServer, bytes: &[u8]) {
        mux.push(Bytes::copy_from_slice(bytes));
        mux.advance().unwrap();
    }

    fn received(mux: &MuxServer, stream: u32) -> Vec<u8> {
        let incoming = mux.incoming(stream).unwrap();
        incoming.chunks.iter().flatten().copied().collect()
    }

    #[test]
    fn frames_may_be_cut_anywhere() {
        let bytes = [frame(SYN, 3, b""), frame(PSH, 3, b"hello"), frame(FIN, 3, b"")].concat();
        for cut in 0..bytes.len() {
            let mut mux = MuxServer::default();
            feed(&mut mux, &bytes[..cut]);
            feed(&mut mux, &bytes[cut..]);
            assert_eq!(mux.next_accept(), Some(3));
            assert_eq!(received(&mux, 3), b"hello");
            assert!(mux.incoming(3).unwrap().finished);
        }
    }

    #[test]
    fn unknown_streams_and_repeated_syns_are_ignored() {
        let mut mux = MuxServer::default();
        feed(&mut mux, &frame(PSH, 9, b"nobody"));
        feed(&mut mux, &frame(SYN, 3, b""));
        feed(&mut mux, &frame(PSH, 3, b"a"));
        feed(&mut mux, &frame(SYN, 3, b""));
        feed(&mut mux, &frame(PSH, 3, b"b"));
        assert_eq!(received(&mux, 3), b"ab");
        assert_eq!(mux.next_accept(), Some(3));
        assert_eq!(mux.next_accept(), None);
    }

    #[test]
    fn another_version_ends_the_session() {
        let mut mux = MuxServer::default();
        mux.push(Bytes::from_static(&[2, 0, 0, 0, 3, 0, 0, 0]));
        let error = ProtocolError { version: 2, command: 0 };
        assert_eq!(mux.advance(), Err(error));
    }

    #[test]
    fn a_destination_that_does_not_read_stalls_the_session() {
        let mut mux = MuxServer::default();
        feed(&mut mux, &frame(SYN, 3, b""));
        let data = frame(PSH, 3, &[7; 1000]);
        let mut sent = 0;
        while !mux.is_blocked() {
            feed(&mut mux, &data);
            sent += 1000;
            assert!(sent < 8 << 20, "never stalls");
        }
        assert!(sent > RECEIVE_BUCKET);
        mux.consume(3, RECEIVE_BUCKET);
        mux.advance().unwrap();
        assert!(!mux.is_blocked());
    }

    #[test]
    fn a_self_cancelling_resend_changes_nothing() {
        let payload = frame(PSH, 3, b"once");
        let length = u16::try_from(payload.len() + 1).unwrap().to_le_bytes();
        let first = [&payload[..], &[1]].concat();
        let resend = [
            &[1, 2, 8, 0, 0xfe, 0xff, 0xff, 1, 2][..],
            &length,
            &[0xfe, 0xff, 0xff, 0xff, 0],
            &payload,
            &[1],
        ]
        .concat();
        let odd = [&[3, 0, 0, 255, 255, 255, 255][..], &frame(PSH, 3, b"!")].concat();
        let mut mux = MuxServer::default();
        feed(&mut mux, &frame(SYN, 3, b""));
        feed(&mut mux, &first);
        feed(&mut mux, &resend);
        feed(&mut mux, &resend);
        feed(&mut mux, &odd);
        assert_eq!(received(&mux, 3), b"once!");
    }

    #[test]
    fn closing_gives_the_bucket_its_tokens_back() {
        let mut mux = MuxServer::default();
        feed(&mut mux, &frame(SYN, 3, b""));
        feed(&mut mux, &frame(PSH, 3, b"lost"));
        mux.send(3, b"answer");
        mux.close(3);
        assert_eq!(mux.taken, 0);
        let output = mux.take_output(1024).unwrap();
        assert_eq!(output, [frame(PSH, 3, b"answer"), frame(FIN, 3, b"")].concat());
    }
}
