use std::time::Duration;

use super::*;
use crate::local::WorkloadEvent as Event;

const LOCAL: LocalId = LocalId(1);
const NOW: Timestamp = Timestamp::ZERO;
const LIMITS: WorkloadLimits = WorkloadLimits {
    payload: 4,
    per_stream: 1000,
    total: 1000,
    fin_grace: Duration::ZERO,
};

fn size(cols: u32, rows: u32) -> SizeBody {
    SizeBody { cols, rows }
}

fn shell() -> Shell {
    let mut shell = Shell::new(LIMITS, None);
    shell.open(LOCAL, NOW).unwrap();
    assert_eq!(shell.poll_event(), Some(Event::Room { local: LOCAL }));
    shell
}

fn events(shell: &mut Shell) -> Vec<Event> {
    std::iter::from_fn(|| shell.poll_event()).collect()
}

fn stdout(bytes: &'static [u8]) -> Event {
    Event::Data {
        local: LOCAL,
        bytes: Bytes::from_static(bytes),
    }
}

fn stderr(bytes: &'static [u8]) -> Event {
    Event::StdErr {
        local: LOCAL,
        bytes: Bytes::from_static(bytes),
    }
}

#[test]
fn input_is_cut_into_messages_behind_the_size() {
    let mut shell = shell();
    assert!(shell.handle_local_data(LOCAL, Bytes::from_static(b"echo hi"), NOW));
    shell.set_size(size(80, 24));
    shell.set_size(size(100, 30));
    assert_eq!(shell.build(0), Some(ShellMessage::Size(size(100, 30))));
    assert_eq!(shell.build(1), Some(ShellMessage::Input(Bytes::from_static(b"echo"))));
    shell.set_size(size(100, 30));
    assert_eq!(shell.build(2), Some(ShellMessage::Input(Bytes::from_static(b" hi"))));
    assert_eq!(shell.build(3), None);
}

#[test]
fn outputs_keep_their_order_and_their_source() {
    let mut shell = shell();
    shell.handle_output(Source::Stdout, Bytes::from_static(b"one"), NOW);
    shell.handle_output(Source::Stderr, Bytes::from_static(b"two"), NOW);
    shell.handle_exit(3);
    let exit = Event::Exit { local: LOCAL, code: 3 };
    assert_eq!(events(&mut shell), [stdout(b"one"), stderr(b"two"), exit]);
    assert!(shell.handle_far_end(true));
    assert_eq!(events(&mut shell), [Event::Finished { local: LOCAL }]);
}

#[test]
fn what_came_before_the_terminal_is_there_when_it_comes() {
    let mut shell = Shell::new(LIMITS, None);
    shell.handle_output(Source::Stdout, Bytes::from_static(b"$ "), NOW);
    shell.handle_output(Source::Stderr, Bytes::from_static(b"!"), NOW);
    shell.handle_exit(0);
    assert_eq!(events(&mut shell), []);
    shell.open(LOCAL, NOW).unwrap();
    let exit = Event::Exit { local: LOCAL, code: 0 };
    let room = Event::Room { local: LOCAL };
    assert_eq!(events(&mut shell), [room, stdout(b"$ "), stderr(b"!"), exit]);
    assert_eq!(shell.open(LocalId(2), NOW), None, "there is one terminal");
}

#[test]
fn the_exit_code_waits_for_the_output_before_it() {
    let mut shell = shell();
    let piece = Bytes::from(vec![b'x'; 300 << 10]);
    shell.handle_output(Source::Stdout, piece.clone(), NOW);
    shell.handle_output(Source::Stdout, piece.clone(), NOW);
    shell.handle_exit(1);
    assert!(shell.is_full());
    let first = events(&mut shell);
    assert_eq!(first.len(), 1, "{first:?}");
    shell.handle_local_written(LOCAL, piece.len());
    let rest = events(&mut shell);
    assert_eq!(rest.last(), Some(&Event::Exit { local: LOCAL, code: 1 }));
    assert_eq!(rest.len(), 2);
}

#[test]
fn a_session_that_was_never_of_use_resets_its_terminal() {
    let mut shell = shell();
    assert!(shell.handle_far_end(false));
    let cause = ResetCause::SessionEnded;
    assert_eq!(events(&mut shell), [Event::Reset { local: LOCAL, cause }]);
    assert!(!shell.handle_far_end(false));
}

#[test]
fn a_terminal_that_is_gone_ends_the_session() {
    let mut shell = shell();
    assert!(shell.handle_local_reset(LOCAL) && shell.is_over());
    assert!(!shell.handle_local_reset(LOCAL));
    shell.handle_output(Source::Stdout, Bytes::from_static(b"late"), NOW);
    assert_eq!(events(&mut shell), []);
}

#[test]
fn a_restored_shell_goes_on_with_each_source_where_it_was() {
    let stream = RestoredStream {
        local: LOCAL,
        opened: true,
        input: [Bytes::from_static(b"ls")].into(),
        output: [Bytes::from_static(b"bcXY")].into(),
        local_eof: false,
        local_reset: false,
        far_fin: false,
        received: 5,
    };
    let restored = RestoredShell {
        stream: Some(stream),
        taken: true,
        runs: [(Source::Stdout, 3), (Source::Stderr, 2)].into(),
        exit: Some(7),
        told: Some(size(80, 24)),
        ..RestoredShell::default()
    };
    let mut shell = Shell::restore(LIMITS, restored, 5, NOW);
    let exit = Event::Exit { local: LOCAL, code: 7 };
    let room = Event::Room { local: LOCAL };
    assert_eq!(events(&mut shell), [room, stdout(b"bc"), stderr(b"XY"), exit]);
    shell.set_size(size(80, 24));
    assert_eq!(shell.build(5), Some(ShellMessage::Input(Bytes::from_static(b"ls"))));
}

/// Each costs memory whatever it carries.
#[test]
fn outputs_by_turns_are_bounded_and_empty_ones_cost_nothing() {
    let mut shell = Shell::new(LIMITS, None);
    for _ in 0..10_000 {
        shell.handle_output(Source::Stdout, Bytes::new(), NOW);
        shell.handle_output(Source::Stderr, Bytes::new(), NOW);
    }
    assert!(shell.runs.is_empty() && !shell.is_full());
    let mut turns = 0;
    while !shell.is_full() {
        let source = [Source::Stdout, Source::Stderr][turns % 2];
        shell.handle_output(source, Bytes::from_static(b"x"), NOW);
        turns += 1;
    }
    assert!(turns < 100, "{turns}");
}

#[test]
fn an_exit_code_is_told_once() {
    let mut shell = shell();
    for code in 0..3 {
        shell.handle_exit(code);
    }
    assert_eq!(events(&mut shell), [Event::Exit { local: LOCAL, code: 0 }]);
}
