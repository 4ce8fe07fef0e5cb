//! UUIDs as the data channel carries them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A UUID in its usual byte order; on the wire its two halves are swapped (see [`Uuid::to_wire`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Makes a version 4 UUID from two numbers the caller drew from its own seeded generator.
    pub const fn from_random(high: u64, low: u64) -> Self {
        let value = ((high as u128) << 64) | low as u128;
        let version = (value & !(0xf << 76)) | (4 << 76);
        let variant = (version & !(0b11 << 62)) | (0b10 << 62);
        Self(variant.to_be_bytes())
    }

    /// Reads the wire form: bytes 8..16 of the UUID first, then bytes 0..8 (as AWS's plugin and agent write it).
    pub const fn from_wire(wire: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(wire).rotate_left(64).to_be_bytes())
    }

    /// Writes the wire form.
    pub const fn to_wire(self) -> [u8; 16] {
        u128::from_be_bytes(self.0).rotate_left(64).to_be_bytes()
    }

    /// Parses the hyphenated text form; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let groups: Vec<&str> = text.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) || !text.is_ascii() {
            return None;
        }
        let digits = groups.concat();
        if digits.bytes().any(|digit| !digit.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(&digits, 16)
            .ok()
            .map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a UUID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_swapped_on_the_wire() {
        let id = Uuid::parse("01234567-89ab-4cde-8f01-23456789abcd").unwrap();
        let wire = id.to_wire();
        assert_eq!(wire[..8], [0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd]);
        assert_eq!(Uuid::from_wire(wire), id);
    }

    #[test]
    fn random_ids_carry_version_and_variant() {
        let text = Uuid::from_random(u64::MAX, u64::MAX).to_string();
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(Uuid::parse(&text), Some(Uuid::from_random(u64::MAX, u64::MAX)));
    }

    #[test]
    fn text_that_is_no_uuid_is_refused() {
        for text in [
            "",
            "-",
            "0123456789ab4cde8f0123456789abcd",
            "+1234567-89ab-4cde-8f01-23456789abcd",
            "é1234567-89ab-4cde-8f01-23456789abc",
        ] {
            assert_eq!(Uuid::parse(text), None, "{text}");
        }
    }
}
