//! What the remote program has drawn: a terminal that nobody looks at directly.

use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vt100::{Callbacks, Parser, Screen};

use super::translate::Translator;

/// The largest terminal that is modelled: beyond it no screen is, and memory has a bound.
const MOST_ROWS: u16 = 500;
const MOST_COLS: u16 = 1000;
/// The size until somebody has said one.
const ROWS: u16 = 24;
const COLS: u16 = 80;
/// Bytes of answers that wait: a program that asks and asks is answered no more.
const MOST_ANSWERS: usize = 4096;

/// The screen of a remote program with its scrollback.
pub(super) struct Model {
    parser: Parser<Asides>,
    translator: Translator,
    scrollback: usize,
}

/// What a program asks or does beside drawing.
#[derive(Debug, Default)]
struct Asides {
    answers: Vec<u8>,
    bells: u64,
    /// Lines that have left the scrollback.
    forgotten: u64,
    /// What the wrapper of `exec --interactive` has told.
    exit: Option<i32>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl Model {
    /// An empty screen that keeps so many lines of scrollback.
    pub(super) fn new(scrollback: usize) -> Self {
        Self {
            parser: Self::parser(ROWS, COLS, scrollback),
            translator: Translator::default(),
            scrollback,
        }
    }

    fn parser(rows: u16, cols: u16, scrollback: usize) -> Parser<Asides> {
        Parser::new_with_callbacks(at_least_one(rows), at_least_one(cols), scrollback, Asides::default())
    }

    /// Nothing was ever drawn.
    pub(super) fn reset(&mut self) {
        self.clear(self.size());
    }

    fn clear(&mut self, (rows, cols): (u16, u16)) {
        self.translator = Translator::default();
        self.parser = Self::parser(rows, cols, self.scrollback);
    }

    /// Rows and columns.
    pub(super) fn size(&self) -> (u16, u16) {
        let (rows, cols) = self.screen().size();
        (rows.get(), cols.get())
    }

    /// Takes another size, as far as it is modelled; that one.
    pub(super) fn set_size(&mut self, rows: u16, cols: u16) -> (u16, u16) {
        let (rows, cols) = (rows.clamp(1, MOST_ROWS), cols.clamp(1, MOST_COLS));
        self.guarded(|model| model.parser.set_size(at_least_one(rows), at_least_one(cols)));
        (rows, cols)
    }

    /// Draws what the program has written.
    pub(super) fn process(&mut self, bytes: &[u8]) {
        let mut translated = Vec::with_capacity(bytes.len());
        self.translator.translate(bytes, &mut translated);
        self.guarded(|model| model.parser.process(&translated));
    }

    /// A fault of the model's library must not end the session: the screen is lost then, and the next redraw of the program
    /// brings it back.
    fn guarded(&mut self, change: impl FnOnce(&mut Self)) {
        let size = self.size();
        if catch_unwind(AssertUnwindSafe(|| change(self))).is_err() {
            tracing::error!("the terminal's model failed inside, its screen is empty now; please report this");
            self.clear(size);
        }
    }

    /// What is to be typed in answer to the program's questions.
    pub(super) fn take_answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.parser.callbacks_mut().answers)
    }

    /// The exit code that a command has told.
    pub(super) fn take_exit(&mut self) -> Option<i32> {
        self.parser.callbacks_mut().exit.take()
    }

    /// How often the bell has rung.
    pub(super) fn bells(&self) -> u64 {
        self.parser.callbacks().bells
    }

    /// The screen as it is.
    pub(super) fn screen(&self) -> &Screen {
        self.parser.screen()
    }

    /// Each row as what draws it on an empty one, from its first column on, in default attributes; at most `cols` wide.
    pub(super) fn rows(&self, cols: u16) -> Vec<String> {
        let (_, own) = self.size();
        // Another width than the own one: then no row relies on where the one before has left the cursor.
        let width = if cols < own { cols } else { u16::MAX };
        self.screen().rows_formatted(0, width).collect()
    }

    /// The numbers of the first line of the scrollback and of the first line after it, counted since the beginning; none while
    /// the alternate screen is shown, which has none.
    pub(super) fn scrolled(&self) -> Option<(u64, u64)> {
        if self.screen().alternate_screen() {
            return None;
        }
        let first = self.parser.callbacks().forgotten;
        let kept = u64::try_from(self.screen().scrollback_len()).unwrap_or(u64::MAX);
        Some((first, first.saturating_add(kept)))
    }

    /// The lines of the scrollback from this number on, drawn like [`Model::rows`].
    pub(super) fn lines_from(&mut self, number: u64, cols: u16) -> Vec<String> {
        let Some((first, end)) = self.scrolled() else {
            return Vec::new();
        };
        let wanted = end.saturating_sub(number.max(first));
        let mut left = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut lines = Vec::with_capacity(left);
        let (rows, _) = self.size();
        while left > 0 {
            self.parser.screen_mut().set_scrollback(left);
            let page = left.min(usize::from(rows));
            lines.extend(self.rows(cols).into_iter().take(page));
            left -= page;
        }
        self.parser.screen_mut().set_scrollback(0);
        lines
    }
}

fn at_least_one(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

/// Titles, the clipboard and requests to resize stay here: they would reach beyond the screen, and outlive it.
impl Callbacks for Asides {
    fn audible_bell(&mut self, _: &mut Screen) {
        self.bells += 1;
    }

    fn unhandled_csi(
        &mut self,
        screen: &mut Screen,
        first: Option<u8>,
        second: Option<u8>,
        params: &[&[u16]],
        c: char,
    ) {
        if second.is_some() || self.answers.len() >= MOST_ANSWERS {
            return;
        }
        let param = params.first().and_then(|param| param.first()).copied().unwrap_or(0);
        match (first, param, c) {
            // An xterm that can do what a VT220 can; AWS's agent says xterm-256color to the program.
            (None, 0, 'c') => self.answers.extend_from_slice(b"\x1b[?62;22c"),
            (Some(b'>'), 0, 'c') => self.answers.extend_from_slice(b"\x1b[>1;10;0c"),
            (None, 5, 'n') => self.answers.extend_from_slice(b"\x1b[0n"),
            (None, 6, 'n') => {
                let (row, col) = screen.cursor_position();
                let (_, cols) = screen.size();
                let col = col.min(cols.get().saturating_sub(1));
                let answer = format!("\x1b[{};{}R", u32::from(row) + 1, u32::from(col) + 1);
                self.answers.extend_from_slice(answer.as_bytes());
            }
            _ => {}
        }
    }

    /// `ESC ] 777 ; autossm-exit ; CODE BEL`: no terminal shows it.
    fn unhandled_osc(&mut self, _: &mut Screen, params: &[&[u8]]) {
        if let [b"777", b"autossm-exit", code] = params {
            self.exit = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
        }
    }

    fn on_scroll(&mut self, _: vt100::capture::RowContents<'_>, alternate_screen: bool) {
        if !alternate_screen {
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(model: &mut Model, from: u64) -> Vec<String> {
        model.lines_from(from, 80)
    }

    #[test]
    fn scrolled_lines_are_kept_and_numbered() {
        let mut model = Model::new(10);
        model.set_size(4, 80);
        for number in 0..30 {
            model.process(format!("line {number}\r\n").as_bytes());
        }
        // Three lines are on the screen, and the empty one.
        assert_eq!(model.scrolled(), Some((17, 27)));
        assert_eq!(lines(&mut model, 25), ["line 25", "line 26"]);
        assert_eq!(lines(&mut model, 0).len(), 10, "as many as are kept");
        assert_eq!(lines(&mut model, 0)[0], "line 17");
        assert_eq!(model.rows(80), ["line 27", "line 28", "line 29", ""]);
        model.process(b"\x1b[?1049hfull");
        assert_eq!(model.scrolled(), None);
        model.process(b"\x1b[?1049l");
        assert_eq!(model.scrolled(), Some((17, 27)));
    }

    #[test]
    fn a_larger_screen_takes_lines_back_from_the_scrollback() {
        let mut model = Model::new(100);
        model.set_size(4, 80);
        for number in 0..10 {
            model.process(format!("line {number}\r\n").as_bytes());
        }
        model.set_size(6, 80);
        assert_eq!(model.rows(80)[0], "line 5");
        assert_eq!(model.scrolled(), Some((0, 5)));
    }

    #[test]
    fn questions_are_answered_and_those_about_the_user_are_not() {
        let mut model = Model::new(0);
        model.process(b"ab\r\nc\x1b[6n");
        assert_eq!(model.take_answers(), b"\x1b[2;2R");
        model.process(b"\x1b[c\x1b[>c\x1b[5n");
        assert_eq!(model.take_answers(), b"\x1b[?62;22c\x1b[>1;10;0c\x1b[0n");
        for asks in [
            &b"\x1b[21t"[..],
            b"\x1b]52;c;?\x07",
            b"\x1bP$qm\x1b\\",
            b"\x1b]10;?\x07",
            b"\x1b[?2004$p",
            b"\x05",
        ] {
            model.process(asks);
            assert_eq!(model.take_answers(), b"", "{asks:?}");
        }
        (0..10_000).for_each(|_| model.process(b"\x1b[c"));
        assert!(model.take_answers().len() < MOST_ANSWERS + 20);
    }

    #[test]
    fn what_is_inserted_moves_the_rest_of_the_row() {
        let mut model = Model::new(0);
        model.set_size(2, 8);
        model.process("abcdef\r\x1b[3C\x1b[4hX漢\x1b[4l!".as_bytes());
        assert_eq!(model.screen().rows(0, 8).next().unwrap(), "abcX漢!e");
    }

    #[test]
    fn any_size_is_a_size() {
        let mut model = Model::new(10);
        assert_eq!(model.set_size(0, 0), (1, 1));
        model.process("wide 漢字 \r\n\x1b[5;5H\x1b[J".as_bytes());
        assert_eq!(model.set_size(u16::MAX, u16::MAX), (MOST_ROWS, MOST_COLS));
        model.process(b"\x1b[8;1;1t");
        assert_eq!(model.size(), (MOST_ROWS, MOST_COLS), "the program does not decide it");
    }
}
