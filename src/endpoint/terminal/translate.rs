//! What the terminal's model does not know, in words that it does: the line-drawing character set becomes Unicode, and what is
//! written in insert mode (IRM) comes after room has been made for it.

use unicode_width::UnicodeWidthChar;

/// Bytes of a control sequence that are looked at; longer ones set no mode.
const LONGEST: usize = 32;

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
pub(super) struct Translator {
    state: State,
    /// Whether the first and the second character set draw lines.
    sets: [bool; 2],
    /// The second one is in use.
    shifted: bool,
    /// What is written moves what follows it in its row.
    inserts: bool,
    /// The parameters of the control sequence so far.
    parameters: Vec<u8>,
    /// The beginning of a character, while inserting.
    partial: Vec<u8>,
}

impl Translator {
    /// The bytes in words of the model. Where nothing is to be translated they stay what they are.
    pub(super) fn translate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            let text = self.state == State::Text && byte >= 0x20 && byte != 0x7f;
            let drawn = self.take(byte);
            if !text {
                out.append(&mut self.partial);
            }
            match drawn {
                Some(c) => self.write(c, out),
                None if text && self.inserts => self.insert(byte, out),
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
            (State::Escape, b'[') => self.parameters.clear(),
            (State::Csi, 0x20..=0x3f) if self.parameters.len() < LONGEST => self.parameters.push(byte),
            (State::Csi, b'h' | b'l') if self.names_insert_mode() => self.inserts = byte == b'h',
            // DECSTR.
            (State::Csi, b'p') if self.parameters == b"!" => self.inserts = false,
            (State::Text, 0x0e) => self.shifted = true,
            (State::Text, 0x0f) => self.shifted = false,
            (State::Text, 0x5f..=0x7e) if self.draws() => return Some(line(byte)),
            _ => {}
        }
        None
    }

    fn names_insert_mode(&self) -> bool {
        let private = self.parameters.first().is_some_and(|byte| (0x3c..=0x3f).contains(byte));
        !private
            && self.parameters.len() < LONGEST
            && self.parameters.split(|byte| *byte == b';').any(|mode| mode == b"4")
    }

    /// A byte of text in insert mode: its character is written once it is whole.
    fn insert(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let c = text.chars().next();
                self.partial.clear();
                if let Some(c) = c {
                    self.write(c, out);
                }
            }
            Err(error) if error.error_len().is_none() => {}
            Err(_) => out.append(&mut self.partial),
        }
    }

    /// At the right margin, where the character goes into the next row, that row is not moved: only the model knows the place.
    fn write(&self, c: char, out: &mut Vec<u8>) {
        let width = c.width().unwrap_or(0);
        if self.inserts && width > 0 {
            out.extend_from_slice(format!("\x1b[{width}@").as_bytes());
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
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
        let mut translator = Translator::default();
        let mut out = Vec::new();
        // Byte by byte: a sequence may be cut anywhere.
        for byte in bytes.bytes() {
            translator.translate(&[byte], &mut out);
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

    #[test]
    fn insert_mode_makes_room_first() {
        assert_eq!(
            translated("a\x1b[4hbü漢\u{301}\x1b[4lc"),
            "a\x1b[4h\x1b[1@b\x1b[1@ü\x1b[2@漢\u{301}\x1b[4lc"
        );
        assert_eq!(translated("\x1b[4;20hx\x1b[!px"), "\x1b[4;20h\x1b[1@x\x1b[!px");
        assert_eq!(translated("\x1b(0\x1b[4hx\x1bcx"), "\x1b(0\x1b[4h\x1b[1@│\x1bcx");
        for other in [
            "\x1b[?4hx",
            "\x1b[?1;4hx",
            "\x1b[14hx",
            "\x1b[4mx",
            "\x1b[4h\t\r\n\x1b[5C",
        ] {
            assert_eq!(translated(other), other);
        }
        // What is no text is handed on as it came.
        let (mut translator, mut out) = (Translator::default(), Vec::new());
        translator.translate(b"\x1b[4h\xff\xe6\xbc\n", &mut out);
        assert_eq!(out, b"\x1b[4h\xff\xe6\xbc\n");
    }
}
