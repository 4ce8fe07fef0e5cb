//! Random numbers from a seed.

use std::time::Duration;

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(0x5851_f42d_4c95_7f2d)))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) const fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// The same with many small and few large ones.
    pub(crate) fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let span = (high - low).max(1);
        let bits = u64::from(64 - span.leading_zeros());
        let cap = (1u64 << self.range(0, bits).min(63)).min(span);
        low + self.range(0, cap)
    }

    pub(crate) fn size(&mut self, low: usize, high: usize) -> usize {
        usize::try_from(self.skewed(low as u64, high as u64)).unwrap()
    }

    pub(crate) const fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(crate) const fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.range(low, high))
    }

    pub(crate) const fn micros(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.range(low, high))
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.next() % from.len() as u64).unwrap()]
    }
}

/// The bytes of one direction of one connection: every byte depends on its offset, so that a byte that is lost,
/// doubled or in the wrong place shows where it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern(u64);

impl Pattern {
    pub(crate) const fn up(connection: usize) -> Self {
        Self(mix(connection as u64 * 2 + 1))
    }

    pub(crate) const fn down(connection: usize) -> Self {
        Self(mix(connection as u64 * 2 + 2))
    }

    pub(crate) fn bytes(self, from: u64, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 16);
        let skip = usize::try_from(from % 8).unwrap();
        let mut word = from / 8;
        while out.len() < length + skip {
            out.extend_from_slice(&mix(self.0 ^ word.wrapping_mul(0x9e37_79b9)).to_le_bytes());
            word += 1;
        }
        out.drain(..skip);
        out.truncate(length);
        out
    }

    /// Panics unless these are the bytes at that offset.
    pub(crate) fn check(self, who: &str, from: u64, bytes: &[u8]) {
        let expected = self.bytes(from, bytes.len());
        if expected != bytes {
            let at = expected.iter().zip(bytes).position(|(a, b)| a != b).unwrap();
            panic!("{who}: wrong byte at offset {}", from + at as u64);
        }
    }
}
