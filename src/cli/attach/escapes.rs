//! What is typed: for the remote program, or for us after Enter and `~`, as with ssh.

/// What something typed asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// The remote program gets this.
    Input(Vec<u8>),
    /// Leave the session running and go.
    Detach,
    /// Draw everything again.
    Redraw,
    /// Say which escapes there are.
    Help,
}

/// Says which escapes there are.
pub(super) const HELP: &str = "\r\n\
    Escapes, after Enter:\r\n  \
    ~.  detach; the session goes on\r\n  \
    ~r  draw the screen again\r\n  \
    ~?  this text\r\n  \
    ~~  a tilde\r\n\
    Any key draws the screen again.\r\n";

/// Finds escapes in what is typed.
#[derive(Debug)]
pub(super) struct Escapes {
    /// The last key was Enter, or there was none.
    at_start: bool,
    /// A `~` came then, and what follows decides.
    tilde: bool,
}

impl Default for Escapes {
    fn default() -> Self {
        Self {
            at_start: true,
            tilde: false,
        }
    }
}

impl Escapes {
    /// What these bytes ask for, in order.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let (mut typed, mut input) = (Vec::new(), Vec::new());
        for &byte in bytes {
            if std::mem::take(&mut self.tilde) {
                let escape = match byte {
                    b'.' => Typed::Detach,
                    b'r' => Typed::Redraw,
                    b'?' => Typed::Help,
                    b'~' => {
                        input.push(b'~');
                        self.at_start = false;
                        continue;
                    }
                    other => {
                        input.extend([b'~', other]);
                        self.at_start = is_enter(other);
                        continue;
                    }
                };
                flush(&mut input, &mut typed);
                typed.push(escape);
                self.at_start = true;
            } else if byte == b'~' && self.at_start {
                self.tilde = true;
            } else {
                input.push(byte);
                self.at_start = is_enter(byte);
            }
        }
        flush(&mut input, &mut typed);
        typed
    }
}

const fn is_enter(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn flush(input: &mut Vec<u8>, typed: &mut Vec<Typed>) {
    if !input.is_empty() {
        typed.push(Typed::Input(std::mem::take(input)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Typed {
        Typed::Input(bytes.to_vec())
    }

    #[test]
    fn escapes_count_after_enter_only() {
        let mut escapes = Escapes::default();
        assert_eq!(escapes.take(b"~."), [Typed::Detach], "also at the beginning");
        assert_eq!(escapes.take(b"ls ~.\r"), [input(b"ls ~.\r")]);
        assert_eq!(escapes.take(b"~"), []);
        assert_eq!(escapes.take(b"?"), [Typed::Help]);
        assert_eq!(escapes.take(b"~r~~."), [Typed::Redraw, input(b"~.")]);
        assert_eq!(escapes.take(b"\r~~x"), [input(b"\r~x")]);
    }

    #[test]
    fn what_is_no_escape_is_typed() {
        let mut escapes = Escapes::default();
        assert_eq!(escapes.take(b"~/bin\r"), [input(b"~/bin\r")]);
        assert_eq!(escapes.take(b"~\r~."), [input(b"~\r"), Typed::Detach]);
        assert_eq!(escapes.take(b"a~"), [input(b"a~")]);
    }
}
