//! What an agent can do, by its version.

/// Bytes of four numbers and their dots; longer ones only have more zeros.
const LONGEST: usize = 43;

/// An agent's version: up to four numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentVersion([u32; 4]);

impl AgentVersion {
    /// The first that acknowledges messages it has already processed (June 2023).
    pub const ACKNOWLEDGES_DUPLICATES: Self = Self([3, 2, 1041, 0]);
    /// The last that does not multiplex port forwards.
    const LAST_BASIC: Self = Self([3, 0, 196, 0]);

    /// That of an agent that does not say it, since a shell needs no handshake.
    pub(super) const UNSAID: Self = Self([u32::MAX; 4]);

    /// Parses "3.3.1142.0"; missing numbers are 0.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut numbers = [0; 4];
        let mut slots = numbers.iter_mut();
        for part in text.trim().split('.') {
            *slots.next()? = part.parse().ok()?;
        }
        Some(Self(numbers))
    }

    /// Whether it acknowledges a message that it has processed before; none where it did not say its version.
    pub fn acknowledges_duplicates(self) -> Option<bool> {
        (self != Self::UNSAID).then(|| self >= Self::ACKNOWLEDGES_DUPLICATES)
    }

    /// Whether it multiplexes port forwards.
    pub fn multiplexes(self) -> bool {
        self > Self::LAST_BASIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_by_version() {
        let features = |text| AgentVersion::parse(text).map(|v| (v.multiplexes(), v.acknowledges_duplicates()));
        assert_eq!(features("3.0.196.0"), Some((false, Some(false))));
        assert_eq!(features("3.0.197.0"), Some((true, Some(false))));
        assert_eq!(features("3.2.1040.9"), Some((true, Some(false))));
        assert_eq!(features("3.2.1041"), Some((true, Some(true))));
        assert_eq!(AgentVersion::UNSAID.acknowledges_duplicates(), None);
        for nonsense in ["", "3.x", "1.2.3.4.5", "-1", "99999999999"] {
            assert_eq!(features(nonsense), None, "{nonsense}");
        }
    }
}
