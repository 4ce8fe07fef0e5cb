//! A session that starts with its first local connection.

use super::super::{Attempt, Backoff, Command, Failure, FailureClass, NetworkChange, Outcome, SessionConfig};
use super::*;

#[derive(Debug)]
struct Steady;

impl Backoff for Steady {
    fn next_wait(&mut self) -> Duration {
        Duration::from_secs(1)
    }

    fn reset(&mut self) {}
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs(seconds))
}

fn on_connect() -> Session {
    let config = SessionConfig {
        start: StartWhen::OnConnect,
        ..SessionConfig::default()
    };
    let mut session = Session::new(config, Box::new(Steady), 1, Duration::ZERO);
    session.start(at(0));
    session
}

/// The attempt of the call that was asked for, which is the only command.
fn call(session: &mut Session) -> Attempt {
    let commands: Vec<Command> = std::iter::from_fn(|| session.poll_command()).collect();
    match &commands[..] {
        [Command::Start { attempt, .. }] => *attempt,
        other => panic!("{other:?}"),
    }
}

fn fail(session: &mut Session, attempt: Attempt, now: Timestamp) {
    let failure = Failure {
        class: FailureClass::Network,
        text: "no route".to_owned(),
    };
    session.handle_outcome(Outcome::Failed { attempt, failure }, now);
}

#[test]
fn nothing_is_started_before_a_local_connection_comes() {
    let mut session = on_connect();
    assert_eq!(session.snapshot().phase, Phase::Dormant);
    assert_eq!((session.poll_command(), session.poll_timeout()), (None, None));
    session.open_local(at(5));
    call(&mut session);
    assert_eq!(session.snapshot().phase, Phase::Starting);
}

#[test]
fn a_session_that_nobody_waits_for_any_more_is_not_tried_again() {
    let mut session = on_connect();
    let local = session.open_local(at(5));
    let attempt = call(&mut session);
    session.handle_turn(attempt, at(5));
    fail(&mut session, attempt, at(6));
    session.handle_timeout(at(7));
    let attempt = call(&mut session);
    session.handle_local_reset(local, at(8));
    fail(&mut session, attempt, at(9));
    session.handle_timeout(at(10));
    let snapshot = session.snapshot();
    assert_eq!((snapshot.phase, snapshot.attempts), (Phase::Dormant, 0));
    assert!(snapshot.cause.starts_with("no route; "), "{}", snapshot.cause);
    assert_eq!((session.poll_command(), session.poll_timeout()), (None, None));
}

#[test]
fn no_change_starts_a_session_that_nobody_waits_for_any_more() {
    let changes: [fn(&mut Session, Timestamp); 2] = [
        |session, now| session.handle_network(NetworkChange::Route, now),
        Session::handle_credentials_changed,
    ];
    for change in changes {
        let mut session = on_connect();
        let local = session.open_local(at(5));
        let attempt = call(&mut session);
        fail(&mut session, attempt, at(6));
        session.handle_local_reset(local, at(6));
        change(&mut session, at(6));
        let snapshot = session.snapshot();
        assert_eq!((snapshot.phase, session.poll_command()), (Phase::Dormant, None));
        assert!(snapshot.cause.starts_with("no route; "), "{}", snapshot.cause);
    }
}

#[test]
fn a_start_that_is_asked_for_needs_no_local_connection() {
    for order in [Session::start_now, Session::reconnect] {
        let mut session = on_connect();
        order(&mut session, at(1));
        call(&mut session);
        session.stop(at(2));
        assert!(!session.is_wanted());
    }
    // A start of what has started changes nothing.
    let mut session = on_connect();
    session.start_now(at(1));
    call(&mut session);
    session.start_now(at(2));
    assert_eq!(session.poll_command(), None);
}

#[test]
fn a_call_is_late_only_once_its_turn_has_come() {
    let mut session = Session::new(SessionConfig::default(), Box::new(Steady), 1, Duration::ZERO);
    session.start(at(0));
    let attempt = call(&mut session);
    assert_eq!(session.poll_timeout(), None);
    assert_eq!(session.snapshot().trouble, Some(super::super::Trouble::Queued));
    // The network changes meanwhile: the call has not gone out yet.
    session.handle_network(NetworkChange::Route, at(3));
    assert_eq!(session.poll_command(), None);
    session.handle_turn(attempt, at(100));
    session.handle_turn(attempt, at(105));
    assert_eq!(session.poll_timeout().map(|wakeup| wakeup.at), Some(at(110)));
    session.handle_timeout(at(110));
    assert_eq!(session.poll_command(), Some(Command::Abandon { attempt }));
}
