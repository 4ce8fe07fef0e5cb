//! Credentials that come while a session waits for them.

use super::super::{Attempt, Backoff, FailureClass, Outcome, SessionConfig};
use super::*;
use crate::session::{Failure, Phase};

#[derive(Debug)]
struct Steady;

impl Backoff for Steady {
    fn next_wait(&mut self) -> Duration {
        Duration::from_secs(60)
    }

    fn reset(&mut self) {}
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_secs(seconds))
}

/// The attempt of the StartSession that was asked for, if one was.
fn call(session: &mut Session) -> Option<Attempt> {
    let commands: Vec<Command> = std::iter::from_fn(|| session.poll_command()).collect();
    match &commands[..] {
        [] => None,
        [Command::Start { attempt, .. }] => Some(*attempt),
        other => panic!("{other:?}"),
    }
}

/// A session whose first StartSession has failed so.
fn failed(class: FailureClass) -> Session {
    let mut session = Session::new(SessionConfig::default(), Box::new(Steady), 1, Duration::ZERO);
    session.start(at(0));
    let attempt = call(&mut session).unwrap();
    let text = "for a reason".to_owned();
    let failure = Failure { class, text };
    session.handle_outcome(Outcome::Failed { attempt, failure }, at(1));
    session
}

#[test]
fn credentials_that_come_end_the_wait_for_a_login_at_once() {
    let mut session = failed(FailureClass::Credentials);
    assert_eq!(
        (session.snapshot().phase, call(&mut session)),
        (Phase::AwaitingLogin, None)
    );
    session.handle_credentials_changed(at(5));
    let attempt = call(&mut session).unwrap();
    // It shows as a wait until the call has said otherwise, and a second word changes nothing.
    assert_eq!(session.snapshot().phase, Phase::AwaitingLogin);
    session.handle_credentials_changed(at(6));
    assert_eq!(call(&mut session), None);
    let failure = Failure {
        class: FailureClass::Credentials,
        text: "for a reason".to_owned(),
    };
    session.handle_outcome(Outcome::Failed { attempt, failure }, at(7));
    session.handle_credentials_changed(at(8));
    assert!(call(&mut session).is_some());
}

#[test]
fn a_wait_that_the_service_asked_for_is_kept() {
    let retry_after = Some(Duration::from_secs(300));
    let mut session = failed(FailureClass::Throttled { retry_after });
    session.handle_credentials_changed(at(5));
    assert_eq!(call(&mut session), None);
}

#[test]
fn a_session_that_is_stopped_stays_so() {
    let mut session = failed(FailureClass::Credentials);
    session.stop(at(2));
    session.handle_credentials_changed(at(3));
    assert_eq!((session.snapshot().phase, call(&mut session)), (Phase::Stopped, None));
}

/// To abandon a StartSession is to start a second session; one that is under way across a sleep has its time all the same.
#[test]
fn a_sleep_does_not_abandon_a_start() {
    let mut session = Session::new(SessionConfig::default(), Box::new(Steady), 1, Duration::ZERO);
    session.start(at(0));
    let attempt = call(&mut session).unwrap();
    session.handle_turn(attempt, at(0));
    session.handle_slept(Duration::from_secs(3600), at(3601));
    session.handle_timeout(at(3601));
    assert_eq!(call(&mut session), None);
    let due = session.poll_timeout().unwrap().at;
    assert_eq!(due, at(3600 + 10));
}
