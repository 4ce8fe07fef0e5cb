//! A command in a terminal session that says how it ended: what is wrapped around it, and what of the output is whose.
//!
//! A session's end does not tell a command's exit code, and the agent drops what a command has written last when that happens
//! during a drop. So the wrapper writes a line of its own, with the exit code and a checksum of everything before it, and waits
//! until it has been read.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// A command as one argument of a POSIX shell, whatever is in it.
pub(super) fn quoted(argument: &str) -> String {
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// The words as one command: a single one is a command line already.
pub(super) fn command_line(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => {
            let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            quoted.join(" ")
        }
    }
}

/// The command line for a shell of its own: AWS's agent itself splits what it is given and starts the first word, without one, where
/// there is no terminal, and in containers.
pub(super) fn in_shell(line: &str) -> String {
    format!("sh -c {}", quoted(line))
}

/// The command for a terminal session without a terminal here. A signal reaches the command and nothing else of this.
pub(super) fn durable(command: &str, nonce: &str) -> String {
    let command = quoted(command);
    in_shell(&format!(
        "stty -echo -opost 2>/dev/null; trap : INT QUIT; d=$(mktemp -d) && mkfifo \"$d/f\" || exit 1; \
         (trap '' INT QUIT; sha256sum || shasum -a 256) <\"$d/f\" >\"$d/s\" 2>/dev/null & \
         printf 'autossm-{nonce}-begin\\n'; \
         {{ trap : INT QUIT; sh -c {command} </dev/null 2>&1; echo $? >\"$d/c\"; }} | (trap '' INT QUIT; exec tee \"$d/f\"); wait; \
         printf '\\nautossm-{nonce}-end %s %s\\n' \"$(cat \"$d/c\")\" \"$(cut -c 1-64 \"$d/s\")\"; rm -rf \"$d\"; \
         until read -r _; do sleep 1; done"
    ))
}

/// The command for a terminal here; the terminal's model in the daemon finds the exit code. The first word is for the session,
/// which is there with its first output: a command that waits for input would else wait for ever.
pub(super) fn interactive(command: &str) -> String {
    let command = quoted(command);
    in_shell(&format!(
        "printf '\\033]777;autossm-begin\\007'; trap : INT QUIT; sh -c {command}; c=$?; stty sane -echo 2>/dev/null; \
         printf '\\033]777;autossm-exit;%s\\007' \"$c\"; until read -r _; do sleep 1; done"
    ))
}

/// Bytes of the wrapper's last line: a code and a checksum.
const LONGEST: usize = 200;

/// What the wrapper has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Verdict {
    /// The command has ended with this code, and all its output came as it was.
    Exact(i32),
    /// The command has ended with this code, but what came is not what it wrote.
    Changed(i32),
    /// The command has ended with this code, but the target has no program for the checksum.
    Unchecked(i32),
    /// It makes no sense.
    Unclear,
}

/// Finds the wrapper's lines in the output.
#[derive(Debug)]
pub(in crate::cli) struct Trailer {
    begin: Vec<u8>,
    end: Vec<u8>,
    begun: bool,
    /// What may be the beginning of a line of the wrapper.
    held: Vec<u8>,
    digest: Sha256,
    over: bool,
}

impl Trailer {
    pub(super) fn new(nonce: &str) -> Self {
        Self {
            begin: format!("autossm-{nonce}-begin\n").into_bytes(),
            end: format!("\nautossm-{nonce}-end ").into_bytes(),
            begun: false,
            held: Vec::new(),
            digest: Sha256::new(),
            over: false,
        }
    }

    /// The command's own part of these bytes, and the verdict once it is there.
    pub(in crate::cli) fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Verdict>) {
        if self.over {
            return (Vec::new(), None);
        }
        self.held.extend_from_slice(bytes);
        if !self.begun {
            let Some(at) = find(&self.held, &self.begin) else {
                let kept = possible_start(&self.held, &self.begin);
                self.held.drain(..self.held.len() - kept);
                return (Vec::new(), None);
            };
            self.held.drain(..at + self.begin.len());
            self.begun = true;
        }
        let Some(at) = find(&self.held, &self.end) else {
            let kept = possible_start(&self.held, &self.end);
            return (self.release(self.held.len() - kept), None);
        };
        let rest = self.held.get(at + self.end.len()..).unwrap_or_default();
        let verdict = match rest.iter().position(|byte| *byte == b'\n') {
            Some(length) => {
                let line = String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).into_owned();
                // The checksum is that of all that was before.
                let output = self.release(at);
                self.over = true;
                return (output, Some(self.judge(&line)));
            }
            None if rest.len() > LONGEST => {
                self.over = true;
                Some(Verdict::Unclear)
            }
            None => None,
        };
        (self.release(at), verdict)
    }

    fn release(&mut self, length: usize) -> Vec<u8> {
        let output: Vec<u8> = self.held.drain(..length).collect();
        self.digest.update(&output);
        output
    }

    fn judge(&self, line: &str) -> Verdict {
        let mut words = line.split_whitespace();
        let (code, sum) = (words.next().and_then(|code| code.parse().ok()), words.next());
        let mut own = String::new();
        for byte in self.digest.clone().finalize() {
            let written = write!(own, "{byte:02x}");
            debug_assert!(written.is_ok(), "a string takes everything");
        }
        match (code, sum) {
            (Some(code), Some(sum)) if sum == own => Verdict::Exact(code),
            (Some(code), Some(_)) => Verdict::Changed(code),
            (Some(code), None) => Verdict::Unchecked(code),
            (None, _) => Verdict::Unclear,
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// How many of the last bytes may be the beginning of `wanted`.
fn possible_start(bytes: &[u8], wanted: &[u8]) -> usize {
    let most = bytes.len().min(wanted.len());
    (0..=most)
        .rev()
        .find(|length| bytes.get(bytes.len() - length..) == wanted.get(..*length))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What comes of a run, cut into pieces of so many bytes.
    fn run(wire: &str, piece: usize) -> (Vec<u8>, Vec<Verdict>) {
        let mut trailer = Trailer::new("77");
        let (mut output, mut verdicts) = (Vec::new(), Vec::new());
        for bytes in wire.as_bytes().chunks(piece) {
            let (more, verdict) = trailer.take(bytes);
            output.extend(more);
            verdicts.extend(verdict);
        }
        (output, verdicts)
    }

    #[test]
    fn output_and_verdict_are_told_apart_wherever_it_is_cut() {
        let text = "one\nautossm-77-en two\n\nautossm";
        let wire = format!(
            "noise\r\nautossm-77-begin\n{text}\nautossm-77-end 3 {}\n",
            sum(text.as_bytes())
        );
        for piece in 1..wire.len() {
            assert_eq!(run(&wire, piece), (text.into(), vec![Verdict::Exact(3)]), "{piece}");
        }
    }

    #[test]
    fn a_wrong_sum_and_a_line_without_sense_are_noticed() {
        let wire = format!("autossm-77-begin\nabc\nautossm-77-end 0 {}\n", sum(b"abd"));
        assert_eq!(run(&wire, 100).1, [Verdict::Changed(0)]);
        assert_eq!(run("autossm-77-begin\n\nautossm-77-end  \n", 100).1, [Verdict::Unclear]);
        assert_eq!(
            run("autossm-77-begin\nabc\nautossm-77-end 0 ", 100).1,
            [],
            "cut off: nothing is known"
        );
    }

    #[test]
    fn a_target_without_a_checksum_is_told() {
        assert_eq!(
            run("autossm-77-begin\nabc\nautossm-77-end 3 \n", 7).1,
            [Verdict::Unchecked(3)]
        );
    }

    #[test]
    fn what_never_begins_or_never_ends_is_not_kept() {
        let mut trailer = Trailer::new("77");
        (0..1000).for_each(|_| drop(trailer.take(&[b'x'; 1000])));
        assert!(trailer.held.len() < 100);
        trailer.take(b"autossm-77-begin\n\nautossm-77-end ");
        assert_eq!(trailer.take(&[b'0'; 1000]).1, Some(Verdict::Unclear));
        (0..1000).for_each(|_| drop(trailer.take(&[b'x'; 1000])));
        assert!(trailer.held.len() < 2000);
    }

    #[test]
    fn output_is_not_held_back_for_nothing() {
        let mut trailer = Trailer::new("77");
        trailer.take(b"autossm-77-begin\n");
        assert_eq!(trailer.take(b"password: ").0, b"password: ");
        assert_eq!(trailer.take(b"x\n").0, b"x", "the end of the line may be the trailer's");
        assert_eq!(trailer.take(b"y").0, b"\ny");
    }

    #[test]
    fn words_survive_the_shell() {
        let words = ["echo", "a b", "it's", "$HOME", ""].map(ToOwned::to_owned);
        assert_eq!(command_line(&words), r"'echo' 'a b' 'it'\''s' '$HOME' ''");
        assert_eq!(command_line(&["a | b".to_owned()]), "a | b");
    }
}
