//! A stream of bytes in which each byte follows from a key and its offset, so that a lost or doubled one shows.

/// Fills `out` with the bytes of stream `key` from `offset` on.
pub(crate) fn fill(key: u64, offset: u64, out: &mut [u8]) {
    let mut at = offset;
    let mut rest = out;
    while !rest.is_empty() {
        let word = mix(key ^ (at / 8)).to_le_bytes();
        let skip = usize::try_from(at % 8).unwrap_or(0);
        let take = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(take);
        now.copy_from_slice(&word[skip..skip + take]);
        at += take as u64;
        rest = later;
    }
}

/// SplitMix64's output function.
const fn mix(state: u64) -> u64 {
    let mut z = state
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Compares what arrives with what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Bytes that were sent.
    pub(crate) expected: u64,
    /// Bytes that came.
    pub(crate) received: u64,
    /// Bytes that differ from the one expected at their place.
    pub(crate) wrong: u64,
}

impl Tally {
    /// Takes the next bytes of stream `key`.
    pub(crate) fn take(&mut self, key: u64, bytes: &[u8]) {
        let mut expected = vec![0; bytes.len()];
        fill(key, self.received, &mut expected);
        if expected != bytes {
            let differing = expected.iter().zip(bytes).filter(|(a, b)| a != b).count();
            self.wrong += differing as u64;
        }
        self.received += bytes.len() as u64;
    }

    /// Bytes that never came in their place.
    pub(crate) fn lost(&self) -> u64 {
        (self.expected.saturating_sub(self.received)).max(self.wrong)
    }

    /// Bytes that came beyond what was sent.
    pub(crate) const fn duplicated(&self) -> u64 {
        self.received.saturating_sub(self.expected)
    }

    /// Whether every byte came once, in order.
    pub(crate) fn is_exact(&self) -> bool {
        self.lost() == 0 && self.duplicated() == 0
    }
}
