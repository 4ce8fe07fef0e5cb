//! What an agent can do, by its version.

use std::fmt;
use std::str::FromStr;

/// A dotted version of up to four numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentVersion([u32; 4]);

/// Since this version port forwards are multiplexed.
const MULTIPLEXES: AgentVersion = AgentVersion([3, 0, 197, 0]);

/// Since this version duplicates are acknowledged again.
const ACKNOWLEDGES_DUPLICATES: AgentVersion = AgentVersion([3, 2, 1041, 0]);

impl AgentVersion {
    /// The version an agent has unless told otherwise.
    pub const DEFAULT: Self = Self([3, 3, 1142, 0]);

    /// Whether it speaks smux; older agents carry one connection at a time as it is.
    pub fn multiplexes(self) -> bool {
        self >= MULTIPLEXES
    }

    /// Whether a number below the expected one is acknowledged; older agents say nothing.
    pub fn acknowledges_duplicates(self) -> bool {
        self >= ACKNOWLEDGES_DUPLICATES
    }

    /// How many messages above the expected number it keeps. Which version raised the capacity is not known; the
    /// same border as for duplicates is assumed.
    pub fn capacity(self) -> usize {
        if self.acknowledges_duplicates() {
            100_000
        } else {
            10_000
        }
    }
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, build, patch] = self.0;
        write!(f, "{major}.{minor}.{build}.{patch}")
    }
}

/// The text is not a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVersion(String);

impl fmt::Display for InvalidVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a version of up to four numbers: {}", self.0)
    }
}

impl std::error::Error for InvalidVersion {}

impl FromStr for AgentVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let mut numbers = [0; 4];
        let mut parts = text.split('.');
        for number in &mut numbers {
            let Some(part) = parts.next() else { break };
            *number = part.parse().map_err(|_not_a_number| InvalidVersion(text.to_owned()))?;
        }
        if parts.next().is_some() {
            return Err(InvalidVersion(text.to_owned()));
        }
        Ok(Self(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| text.parse::<AgentVersion>().unwrap();
        assert!(version("3.2.1041.0").acknowledges_duplicates());
        assert!(!version("3.2.985.0").acknowledges_duplicates());
        assert_eq!(version("3.2").to_string(), "3.2.0.0");
        assert!("3.x".parse::<AgentVersion>().is_err());
        assert!("1.2.3.4.5".parse::<AgentVersion>().is_err());
    }
}
