//! What one terminal shows, and what has to be written to it so that it shows the model's screen.
//!
//! Nothing of the remote program's bytes reaches a terminal: rows are drawn anew from the model's cells, and of modes only
//! those in [`Modes`] are set, all of which [`RESTORE`] takes back.

use std::fmt::{self, Write};

use vt100::{CursorStyle, MouseProtocolEncoding, MouseProtocolMode, Screen};

use super::model::Model;

/// Takes back every mode that a view may have set, on the main screen.
pub const RESTORE: &str =
    "\x1b[0m\x1b[?1l\x1b>\x1b[?2004l\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[0 q\x1b[?25h";
/// Shows the alternate screen.
pub const ENTER_ALTERNATE: &str = "\x1b[?1049h";
/// Shows the main screen again.
pub const LEAVE_ALTERNATE: &str = "\x1b[?1049l";

/// What a program sets beside what it draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modes {
    application_cursor: bool,
    application_keypad: bool,
    bracketed_paste: bool,
    mouse: MouseProtocolMode,
    encoding: MouseProtocolEncoding,
    cursor: CursorStyle,
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "a string takes everything");
}

/// One terminal.
#[derive(Debug)]
pub(super) struct View {
    rows: u16,
    cols: u16,
    /// Each row as it was drawn last; none: it must be drawn.
    shown: Vec<Option<String>>,
    modes: Modes,
    alternate: bool,
    /// The number of the first line of the scrollback that this terminal does not have.
    next_line: u64,
    bells: u64,
    cursor: Option<(u16, u16, bool)>,
    /// Nothing was ever drawn.
    fresh: bool,
}

impl View {
    pub(super) fn new(rows: u16, cols: u16, model: &Model) -> Self {
        let mut view = Self {
            rows: 0,
            cols: 0,
            shown: Vec::new(),
            modes: Modes::default(),
            alternate: false,
            next_line: 0,
            bells: model.bells(),
            cursor: None,
            fresh: true,
        };
        view.set_size(rows, cols);
        view
    }

    /// The terminal has another size: what it shows now is its own idea of that.
    pub(super) fn set_size(&mut self, rows: u16, cols: u16) {
        (self.rows, self.cols) = (rows.max(1), cols.max(1));
        self.redraw();
    }

    /// The terminal shows something else.
    pub(super) fn redraw(&mut self) {
        self.shown = vec![None; usize::from(self.rows)];
        self.cursor = None;
    }

    /// What makes the terminal show the model, with `status` in its last row; empty when it does.
    pub(super) fn render(&mut self, model: &mut Model, status: Option<&str>) -> String {
        let mut out = String::new();
        if std::mem::take(&mut self.fresh) {
            // What the user had on the screen stays in the terminal's own scrollback.
            put(&mut out, format_args!("{RESTORE}\x1b[{};1H", self.rows));
            out.extend(std::iter::repeat_n("\r\n", usize::from(self.rows)));
        }
        self.switch_screen(model.screen(), &mut out);
        self.scroll(model, &mut out);
        self.draw_rows(model, status, &mut out);
        let modes = Modes::of(model.screen());
        modes.change_from(self.modes, &mut out);
        self.modes = modes;
        if std::mem::replace(&mut self.bells, model.bells()) != model.bells() {
            out.push('\x07');
        }
        self.place_cursor(model.screen(), &mut out);
        out
    }

    fn switch_screen(&mut self, screen: &Screen, out: &mut String) {
        let alternate = screen.alternate_screen();
        if std::mem::replace(&mut self.alternate, alternate) != alternate {
            out.push_str(if alternate { ENTER_ALTERNATE } else { LEAVE_ALTERNATE });
            self.redraw();
        }
    }

    /// Lines that have left the model's screen go into the terminal's own scrollback.
    fn scroll(&mut self, model: &mut Model, out: &mut String) {
        let Some((first, end)) = model.scrolled() else {
            return;
        };
        let lines = model.lines_from(self.next_line.max(first), self.cols);
        self.next_line = end;
        if lines.is_empty() {
            return;
        }
        let count = lines.len().min(usize::from(self.rows).saturating_sub(1));
        let shown = self.shown.iter().take(lines.len());
        if lines.len() == count
            && shown
                .map(Option::as_deref)
                .eq(lines.iter().map(|line| Some(line.as_str())))
        {
            // They are what the terminal has at its top.
            self.shown.drain(..count);
        } else {
            out.push_str("\x1b[H");
            for line in &lines {
                put(out, format_args!("\x1b[0m\x1b[K{line}\r\n"));
            }
            self.shown.clear();
        }
        put(out, format_args!("\x1b[0m\x1b[{};1H", self.rows));
        out.extend(std::iter::repeat_n('\n', count));
        self.shown.resize(usize::from(self.rows), None);
        self.cursor = None;
    }

    fn draw_rows(&mut self, model: &Model, status: Option<&str>, out: &mut String) {
        let mut rows = model.rows(self.cols);
        rows.resize(usize::from(self.rows), String::new());
        if let (Some(status), Some(last)) = (status, rows.last_mut()) {
            let text: String = status.chars().take(usize::from(self.cols)).collect();
            *last = format!("\x1b[7m{text}");
        }
        let hidden = out.len();
        for (index, (row, shown)) in rows.into_iter().zip(&mut self.shown).enumerate() {
            if shown.as_ref() == Some(&row) {
                continue;
            }
            if out.len() == hidden {
                out.push_str("\x1b[?25l");
                self.cursor = None;
            }
            put(out, format_args!("\x1b[0m\x1b[{};1H\x1b[K{row}", index + 1));
            *shown = Some(row);
        }
    }

    fn place_cursor(&mut self, screen: &Screen, out: &mut String) {
        let (row, col) = screen.cursor_position();
        let at = (row.min(self.rows - 1), col.min(self.cols - 1), !screen.hide_cursor());
        if self.cursor == Some(at) {
            return;
        }
        let (row, col, visible) = at;
        let show = if visible { "\x1b[?25h" } else { "\x1b[?25l" };
        put(out, format_args!("\x1b[0m\x1b[{};{}H{show}", row + 1, col + 1));
        self.cursor = Some(at);
    }
}

impl Modes {
    fn of(screen: &Screen) -> Self {
        Self {
            application_cursor: screen.application_cursor(),
            application_keypad: screen.application_keypad(),
            bracketed_paste: screen.bracketed_paste(),
            mouse: screen.mouse_protocol_mode(),
            encoding: screen.mouse_protocol_encoding(),
            cursor: screen.cursor_style(),
        }
    }

    fn change_from(self, before: Self, out: &mut String) {
        let mut flag = |number: u16, old: bool, new: bool| {
            if old != new {
                put(out, format_args!("\x1b[?{number}{}", if new { 'h' } else { 'l' }));
            }
        };
        flag(1, before.application_cursor, self.application_cursor);
        flag(2004, before.bracketed_paste, self.bracketed_paste);
        if before.mouse != self.mouse {
            // One after the other: to leave one may leave all.
            flag(mouse(before.mouse), before.mouse != MouseProtocolMode::None, false);
            flag(mouse(self.mouse), false, self.mouse != MouseProtocolMode::None);
        }
        if before.encoding != self.encoding {
            flag(
                encoding(before.encoding),
                before.encoding != MouseProtocolEncoding::Default,
                false,
            );
            flag(
                encoding(self.encoding),
                false,
                self.encoding != MouseProtocolEncoding::Default,
            );
        }
        if before.application_keypad != self.application_keypad {
            out.push_str(if self.application_keypad { "\x1b=" } else { "\x1b>" });
        }
        if before.cursor != self.cursor {
            put(out, format_args!("\x1b[{} q", cursor(self.cursor)));
        }
    }
}

const fn mouse(mode: MouseProtocolMode) -> u16 {
    match mode {
        MouseProtocolMode::None | MouseProtocolMode::Press => 9,
        MouseProtocolMode::PressRelease => 1000,
        MouseProtocolMode::ButtonMotion => 1002,
        MouseProtocolMode::AnyMotion => 1003,
    }
}

const fn encoding(encoding: MouseProtocolEncoding) -> u16 {
    match encoding {
        MouseProtocolEncoding::Default | MouseProtocolEncoding::Utf8 => 1005,
        MouseProtocolEncoding::Sgr => 1006,
    }
}

const fn cursor(style: CursorStyle) -> u8 {
    match style {
        CursorStyle::Default => 0,
        CursorStyle::BlinkBlock => 1,
        CursorStyle::SteadyBlock => 2,
        CursorStyle::BlinkUnderline => 3,
        CursorStyle::SteadyUnderline => 4,
        CursorStyle::BlinkVerticalBar => 5,
        CursorStyle::SteadyVerticalBar => 6,
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
