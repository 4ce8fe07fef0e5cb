//! What one local connection is to be given.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes handed over and not yet reported written.
const OUTSTANDING: usize = 256 << 10;
/// The same in pieces: a piece of one byte costs as much as one of a hundred.
const OUTSTANDING_PIECES: usize = 512;
/// Pieces below this are copied together while they wait.
const CRUMB: usize = 512;
/// Crumbs are handed on in pieces of about this size.
const GATHERED: usize = 4096;

/// Received bytes of one stream: those that wait, and those that were handed over and are not written. However small
/// the pieces are in which they come, what they cost is in proportion to their bytes.
#[derive(Debug, Default)]
pub(crate) struct Output {
    waiting: VecDeque<Bytes>,
    /// Crumbs, after everything in `waiting`.
    crumbs: BytesMut,
    waiting_bytes: usize,
    /// Lengths of the pieces handed over and not written, oldest first; the first may be written in part.
    handed: VecDeque<usize>,
    handed_bytes: usize,
}

impl Output {
    /// Takes bytes of the agent.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes.len());
        if bytes.len() < CRUMB {
            self.crumbs.extend_from_slice(&bytes);
            if self.crumbs.len() >= GATHERED {
                self.gather();
            }
        } else {
            self.gather();
            self.waiting.push_back(bytes);
        }
    }

    /// The next bytes for the local connection, if it has reported enough of the earlier ones written.
    pub(crate) fn poll(&mut self) -> Option<Bytes> {
        if self.handed_bytes >= OUTSTANDING || self.handed.len() >= OUTSTANDING_PIECES {
            return None;
        }
        if self.waiting.is_empty() {
            self.gather();
        }
        let bytes = self.waiting.pop_front()?;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes.len());
        self.handed.push_back(bytes.len());
        self.handed_bytes = self.handed_bytes.saturating_add(bytes.len());
        Some(bytes)
    }

    /// The local connection has written so many bytes.
    pub(crate) fn handle_written(&mut self, bytes: usize) {
        self.handed_bytes = self.handed_bytes.saturating_sub(bytes);
        let mut left = bytes;
        while let Some(first) = self.handed.front_mut() {
            if *first > left {
                *first = first.saturating_sub(left);
                break;
            }
            left = left.saturating_sub(*first);
            self.handed.pop_front();
        }
    }

    /// All that waits, at once: nobody will ask again.
    pub(crate) fn take_rest(&mut self) -> VecDeque<Bytes> {
        self.gather();
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Forgets everything: the connection is gone.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes that the local connection has not written.
    pub(crate) const fn untaken(&self) -> usize {
        self.waiting_bytes.saturating_add(self.handed_bytes)
    }

    /// Everything has been handed over.
    pub(crate) const fn is_handed_over(&self) -> bool {
        self.waiting_bytes == 0
    }

    fn gather(&mut self) {
        if !self.crumbs.is_empty() {
            self.waiting.push_back(self.crumbs.split().freeze());
        }
    }
}

impl FromIterator<Bytes> for Output {
    fn from_iter<T: IntoIterator<Item = Bytes>>(pieces: T) -> Self {
        let mut output = Self::default();
        pieces.into_iter().for_each(|bytes| output.push(bytes));
        output
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code: an overflow is a failure")]
mod tests {
    use super::*;

    #[test]
    fn single_bytes_are_handed_over_in_few_pieces_once_nobody_takes_them() {
        let mut output = Output::default();
        let mut pieces = Vec::new();
        for _ in 0..100_000 {
            output.push(Bytes::from_static(b"x"));
            pieces.extend(output.poll());
        }
        assert_eq!(pieces.len(), OUTSTANDING_PIECES);
        assert_eq!(output.untaken(), 100_000);
        assert!(output.waiting.len() <= 100_000 / GATHERED);
        output.handle_written(pieces.len());
        pieces.extend(std::iter::from_fn(|| output.poll()));
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), 100_000);
        assert!(output.is_handed_over() && pieces.len() < OUTSTANDING_PIECES + 50);
    }

    proptest::proptest! {
        #[test]
        fn bytes_keep_their_order_and_are_counted(lengths in proptest::collection::vec((0usize..2000, 0usize..3000), 0..200)) {
            let (mut sent, mut got, mut output, mut unwritten) = (Vec::new(), Vec::new(), Output::default(), 0usize);
            for (length, written) in lengths {
                let bytes: Vec<u8> = (0..length).map(|i| u8::try_from((sent.len() + i) % 251).unwrap()).collect();
                sent.extend_from_slice(&bytes);
                output.push(Bytes::from(bytes));
                while let Some(piece) = output.poll() {
                    unwritten += piece.len();
                    got.extend_from_slice(&piece);
                }
                let written = written.min(unwritten);
                unwritten -= written;
                output.handle_written(written);
                proptest::prop_assert_eq!(output.untaken(), sent.len() - got.len() + unwritten);
            }
            loop {
                output.handle_written(usize::MAX);
                let Some(piece) = output.poll() else { break };
                got.extend_from_slice(&piece);
            }
            proptest::prop_assert_eq!(got, sent);
        }
    }
}
