//! The agent's reading of UTF-8, as inexact as in its `processStdoutData`.

/// Go's `utf8.UTFMax`.
const LONGEST: usize = 4;

/// Bytes of a read that wait for those of the next.
#[derive(Debug, Default)]
pub(crate) struct Carry(Vec<u8>);

impl Carry {
    /// What is sent of `read`. What looks incomplete at its end stays behind, and is lost when nothing more comes; of a valid
    /// U+FFFD only the first byte is sent, since it looks like an error.
    pub(crate) fn pass(&mut self, read: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(read);
        let bytes = std::mem::take(&mut self.0);
        let mut sent = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let Some((&first, _)) = rest.split_first() {
            let (length, good) = rune(rest);
            if good {
                sent.extend_from_slice(rest.get(..length).unwrap_or_default());
            } else if rest.len() < LONGEST {
                break;
            } else {
                sent.push(first);
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        self.0 = rest.to_vec();
        sent
    }
}

/// The length of the first character, and whether the agent takes it for one.
fn rune(bytes: &[u8]) -> (usize, bool) {
    let window = bytes.get(..bytes.len().min(LONGEST)).unwrap_or_default();
    let valid = match std::str::from_utf8(window) {
        Ok(text) => Some(text),
        Err(error) => std::str::from_utf8(window.get(..error.valid_up_to()).unwrap_or_default()).ok(),
    };
    match valid.and_then(|text| text.chars().next()) {
        Some(c) => (c.len_utf8(), c != char::REPLACEMENT_CHARACTER),
        None => (1, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_in_two_reads_is_sent_whole() {
        let mut carry = Carry::default();
        let text = "aä€😀".as_bytes();
        for cut in 0..text.len() {
            let mut got = carry.pass(&text[..cut]);
            got.extend(carry.pass(&text[cut..]));
            assert_eq!(got, text, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_utf8_passes_and_a_replacement_character_does_not() {
        let mut carry = Carry::default();
        assert_eq!(carry.pass(b"a\xffbcdef"), b"a\xffbcdef");
        assert_eq!(carry.pass("\u{fffd}xyz".as_bytes()), b"\xefxyz");
        assert_eq!(
            carry.pass(b"ab\xff"),
            b"ab",
            "kept: it may be the beginning of something"
        );
        assert_eq!(carry.pass(b"cde"), b"\xffcde");
    }
}
