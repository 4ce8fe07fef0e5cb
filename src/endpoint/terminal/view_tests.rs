//! Views against a terminal: what they write, written to one, must make it show the model.

use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;

/// A terminal in front of a user.
struct Screenful {
    parser: vt100::Parser,
    view: View,
    written: String,
}

impl Screenful {
    fn new(rows: u16, cols: u16, model: &Model) -> Self {
        let size = |number| NonZeroU16::new(number).unwrap();
        Self {
            parser: vt100::Parser::new(size(rows), size(cols), 1000),
            view: View::new(rows, cols, model),
            written: String::new(),
        }
    }

    fn show(&mut self, model: &mut Model, status: Option<&str>) {
        self.written = self.view.render(model, status);
        self.parser.process(self.written.as_bytes());
    }

    fn rows(&self) -> Vec<String> {
        let (_, cols) = self.parser.screen().size();
        self.parser.screen().rows(0, cols.get()).collect()
    }

    fn history(&mut self) -> Vec<String> {
        let kept = self.parser.screen().scrollback_len();
        let mut lines = Vec::new();
        for offset in (1..=kept).rev() {
            self.parser.screen_mut().set_scrollback(offset);
            lines.push(self.rows().remove(0));
        }
        self.parser.screen_mut().set_scrollback(0);
        lines
    }
}

fn model(rows: u16, cols: u16) -> Model {
    let mut model = Model::new(1000);
    model.set_size(rows, cols);
    model
}

fn text(model: &Model) -> Vec<String> {
    let (_, cols) = model.size();
    model.screen().rows(0, cols).collect()
}

#[test]
fn a_terminal_that_comes_later_gets_the_screen_and_the_scrollback() {
    let mut model = model(5, 40);
    for number in 0..20 {
        model.process(format!("line {number}\r\n").as_bytes());
    }
    let mut terminal = Screenful::new(5, 40, &model);
    terminal.parser.process(b"what the user had\r\n");
    terminal.show(&mut model, None);
    assert_eq!(terminal.rows(), text(&model));
    let history = terminal.history();
    assert_eq!(history[0], "what the user had");
    let lines = history.iter().filter(|line| line.starts_with("line"));
    assert_eq!(lines.count(), 16, "{history:?}");
    assert_eq!(terminal.view.render(&mut model, None), "", "nothing more to draw");
}

#[test]
fn lines_go_into_the_scrollback_of_the_terminal_once_and_in_order() {
    let mut model = model(5, 40);
    let mut terminal = Screenful::new(7, 50, &model);
    terminal.show(&mut model, None);
    let mut number = 0;
    for burst in [1, 1, 2, 1, 7, 30, 1, 3, 0, 2] {
        for _ in 0..burst {
            model.process(format!("line {number}\r\n").as_bytes());
            number += 1;
        }
        terminal.show(&mut model, None);
    }
    let mut lines: Vec<String> = terminal.history();
    lines.extend(terminal.rows());
    lines.retain(|line| line.starts_with("line"));
    let expected: Vec<String> = (0..number).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_status_line_leaves_no_trace() {
    let mut model = model(5, 40);
    model.process(b"\x1b[5;1Hlast row\x1b[2;3H");
    let mut terminal = Screenful::new(5, 40, &model);
    terminal.show(&mut model, None);
    let before = (terminal.rows(), terminal.parser.screen().cursor_position());
    terminal.show(&mut model, Some("no network"));
    assert_eq!(terminal.rows()[4], "no network");
    assert!(terminal.parser.screen().cell(4, 0).unwrap().inverse());
    terminal.show(&mut model, None);
    assert_eq!((terminal.rows(), terminal.parser.screen().cursor_position()), before);
    assert!(!terminal.parser.screen().cell(4, 0).unwrap().inverse());
}

#[test]
fn full_screen_programs_use_the_terminals_other_screen() {
    let mut model = model(5, 40);
    model.process(b"$ vim");
    let mut terminal = Screenful::new(5, 40, &model);
    terminal.show(&mut model, None);
    model.process(b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[?1002h\x1b[?1006h\x1b[2 q\x1b[Htext\x1b[5;1H-- INSERT --");
    terminal.show(&mut model, None);
    let screen = terminal.parser.screen();
    assert!(screen.alternate_screen() && screen.application_cursor() && screen.bracketed_paste());
    assert_eq!(screen.mouse_protocol_mode(), MouseProtocolMode::ButtonMotion);
    assert_eq!(screen.mouse_protocol_encoding(), MouseProtocolEncoding::Sgr);
    assert_eq!(terminal.rows(), text(&model));
    model.process(b"\x1b[?1049l\x1b[?1l\x1b>\x1b[?2004l\x1b[?1002l\x1b[?1006l\x1b[0 q\r\n$ ");
    terminal.show(&mut model, None);
    assert_eq!(terminal.rows(), text(&model));
    let plain = vt100::Parser::default();
    assert_eq!(
        terminal.parser.screen().input_mode_formatted(),
        plain.screen().input_mode_formatted()
    );
}

#[test]
fn a_terminal_of_another_size_shows_what_fits() {
    let mut model = model(5, 20);
    model.process("ärgerlich: 漢字\r\ntwo\r\n\x1b[44mblue\x1b[0m".as_bytes());
    for (rows, cols) in [(3, 10), (5, 20), (9, 33), (1, 1)] {
        let mut terminal = Screenful::new(rows, cols, &model);
        terminal.show(&mut model, None);
        let shown = terminal.rows();
        for (shown, whole) in shown.iter().zip(text(&model)) {
            assert!(
                whole.starts_with(shown.trim_end()),
                "{rows}x{cols}: {shown:?} of {whole:?}"
            );
        }
    }
}

#[test]
fn restore_takes_back_every_mode() {
    let mut terminal = vt100::Parser::default();
    for mode in [1, 9, 1000, 1002, 1003, 1005, 1006, 2004] {
        terminal.process(format!("\x1b[?{mode}h").as_bytes());
    }
    terminal.process(b"\x1b=\x1b[?25l\x1b[4 q\x1b[31m");
    terminal.process(RESTORE.as_bytes());
    let fresh = vt100::Parser::default();
    assert_eq!(terminal.screen().state_formatted(), fresh.screen().state_formatted());
}

/// Pieces of what programs write, and of what they should not.
fn piece() -> impl Strategy<Value = String> {
    let number = 0u16..30;
    prop_oneof![
        "[a-zA-Zäöü漢😀 ]{0,60}",
        Just("\r\n".to_owned()),
        Just("\x1b[?1049h".to_owned()),
        Just("\x1b[?1049l".to_owned()),
        (number.clone(), number.clone()).prop_map(|(row, col)| format!("\x1b[{row};{col}H")),
        (number.clone(), number.clone()).prop_map(|(top, bottom)| format!("\x1b[{top};{bottom}r")),
        (
            number,
            proptest::sample::select("ABCDEFGJKLMPSTX@bd".chars().collect::<Vec<_>>())
        )
            .prop_map(|(count, command)| format!("\x1b[{count}{command}")),
        proptest::collection::vec(0u16..110, 0..4).prop_map(|codes| {
            let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
            format!("\x1b[{}m", codes.join(";"))
        }),
        "\\PC{0,5}",
        proptest::collection::vec(0u8..128, 0..12).prop_map(|bytes| String::from_utf8(bytes).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a program writes, and however it is cut into frames: the terminal shows the model's screen, and was
    /// sent nothing but what a view may send.
    #[test]
    fn a_terminal_shows_the_model(frames in proptest::collection::vec(proptest::collection::vec(piece(), 0..12), 1..12)) {
        let mut model = model(8, 30);
        let mut terminal = Screenful::new(8, 30, &model);
        for pieces in frames {
            for piece in pieces {
                model.process(piece.as_bytes());
            }
            terminal.show(&mut model, None);
            prop_assert_eq!(terminal.rows(), text(&model));
            let (own, shown) = (model.screen(), terminal.parser.screen());
            for row in 0..8 {
                for col in 0..30 {
                    prop_assert_eq!(own.cell(row, col), shown.cell(row, col), "row {} column {}", row, col);
                }
            }
            prop_assert_eq!(own.hide_cursor(), shown.hide_cursor());
            prop_assert!(is_harmless(&terminal.written), "{:?}", terminal.written);
        }
    }
}

/// Only printable text, the control characters that move the cursor or ring, and control sequences of the kinds that draw
/// or set a mode of a view.
fn is_harmless(written: &str) -> bool {
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        if c != '\x1b' {
            if c.is_control() && !"\r\n\x07\x08".contains(c) {
                return false;
            }
            continue;
        }
        match rest.next() {
            Some('=' | '>') => {}
            Some('[') => {
                let Some(last) = rest.find(|c| !matches!(c, '0'..='9' | ';' | '?' | ' ' | ':')) else {
                    return false;
                };
                if !"mHKXChlq".contains(last) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}
