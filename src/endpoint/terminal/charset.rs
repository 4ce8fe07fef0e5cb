//! The line-drawing character set, which the terminal model does not know: what is drawn with it becomes Unicode.

/// What a byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and `(` or `)`: the name of a character set comes.
    Designation { second: bool },
    /// After ESC and another intermediate byte.
    Intermediate,
    /// In a control sequence.
    Csi,
    /// In a string that ends with BEL or ESC \.
    Text8,
}

/// Translates a remote program's output.
#[derive(Debug, Default)]
pub(super) struct LineDrawing {
    state: State,
    /// Whether the first and the second character set draw lines.
    sets: [bool; 2],
    /// The second one is in use.
    shifted: bool,
}

impl LineDrawing {
    /// The bytes with line drawing in Unicode. Where no line is drawn they stay what they are.
    pub(super) fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            match self.take(byte) {
                Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => out.push(byte),
            }
        }
    }

    /// Goes on by one byte; the character in its place, if it draws.
    fn take(&mut self, byte: u8) -> Option<char> {
        let before = self.state;
        self.state = match (before, byte) {
            (State::Text8, 0x07) | (_, 0x18 | 0x1a) => State::Text,
            (_, 0x1b) => State::Escape,
            (State::Text8, _) => State::Text8,
            (State::Escape, b'[') => State::Csi,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Text8,
            (State::Escape, b'(') => State::Designation { second: false },
            (State::Escape, b')') => State::Designation { second: true },
            (State::Escape | State::Intermediate, 0x20..=0x2f) => State::Intermediate,
            (State::Csi, 0x00..=0x3f) => State::Csi,
            (State::Text | State::Escape | State::Designation { .. } | State::Intermediate | State::Csi, _) => {
                State::Text
            }
        };
        match (before, byte) {
            (State::Designation { second }, _) => {
                let [first, other] = &mut self.sets;
                *(if second { other } else { first }) = byte == b'0';
            }
            (State::Escape, b'c') => *self = Self::default(),
            (State::Text, 0x0e) => self.shifted = true,
            (State::Text, 0x0f) => self.shifted = false,
            (State::Text, 0x5f..=0x7e) if self.draws() => return Some(line(byte)),
            _ => {}
        }
        None
    }

    const fn draws(&self) -> bool {
        let [first, second] = self.sets;
        if self.shifted { second } else { first }
    }
}

/// DEC's special graphics.
const fn line(byte: u8) -> char {
    match byte {
        b'_' => ' ',
        b'`' => '◆',
        b'a' => '▒',
        b'b' => '␉',
        b'c' => '␌',
        b'd' => '␍',
        b'e' => '␊',
        b'f' => '°',
        b'g' => '±',
        b'h' => '␤',
        b'i' => '␋',
        b'j' => '┘',
        b'k' => '┐',
        b'l' => '┌',
        b'm' => '└',
        b'n' => '┼',
        b'o' => '⎺',
        b'p' => '⎻',
        b'q' => '─',
        b'r' => '⎼',
        b's' => '⎽',
        b't' => '├',
        b'u' => '┤',
        b'v' => '┴',
        b'w' => '┬',
        b'x' => '│',
        b'y' => '≤',
        b'z' => '≥',
        b'{' => 'π',
        b'|' => '≠',
        b'}' => '£',
        _ => '·',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(bytes: &str) -> String {
        let mut drawing = LineDrawing::default();
        let mut out = Vec::new();
        // Byte by byte: a sequence may be cut anywhere.
        for byte in bytes.bytes() {
            drawing.translate(&[byte], &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn boxes_are_drawn_and_text_is_not() {
        assert_eq!(translated("lqk\x1b(0lqk\x1b(Blqk"), "lqk\x1b(0┌─┐\x1b(Blqk");
        assert_eq!(translated("\x1b)0a\x0exq\x0fxq"), "\x1b)0a\x0e│─\x0fxq");
        assert_eq!(translated("ü€😀"), "ü€😀");
    }

    #[test]
    fn sequences_stay_what_they_are() {
        for text in [
            "\x1b(0\x1b[31;1m\x1b[?25l\x1b[10;20f\x1b[0q",
            "\x1b(0\x1b]0;ajk\x07",
            "\x1b(0\x1bPajk\x1b\\",
            "\x1b(0\x1b=\x1b7\x1b8",
        ] {
            assert_eq!(translated(text), text);
        }
        assert_eq!(translated("\x1b(0x\x1bcx"), "\x1b(0│\x1bcx");
    }
}
