//! How soon a dead websocket is noticed, exactly.

use std::time::Duration;

use bytes::Bytes;

use super::link::{Link, Outlook, PongHabit};
use super::{DropCause, Epoch, SessionConfig};
use crate::Timestamp;
use crate::stream::{Form, SendBuffer};
use crate::wire::PayloadType;

const RTO: Duration = Duration::from_millis(300);

fn at(ms: u64) -> Timestamp {
    Timestamp::ZERO.after(Duration::from_millis(ms))
}

/// One websocket, its service, and what it is asked.
struct Case {
    link: Link,
    habit: PongHabit,
    config: SessionConfig,
    outlook: Outlook,
}

impl Case {
    /// Attached at zero; the service has answered the first ping after 20 ms.
    fn answered() -> Self {
        let mut case = Self {
            link: Link::new(Epoch(1), at(0)),
            habit: PongHabit::default(),
            config: SessionConfig::default(),
            outlook: Outlook {
                rto: RTO,
                away: false,
                reads: true,
            },
        };
        case.link.proven = true;
        let first = case.ping(0).unwrap();
        case.link.handle_flushed(at(0));
        case.pong(&first, 20);
        case
    }

    /// The ping that is to be written now, if any.
    fn ping(&mut self, ms: u64) -> Option<Vec<u8>> {
        self.link.poll_ping(at(ms)).map(|payload| payload.to_vec())
    }

    /// A message is on its way, unacknowledged.
    fn fly(&mut self, ms: u64) {
        let mut send = SendBuffer::default();
        send.push(PayloadType::OUTPUT, Bytes::from_static(b"x"), Form::Same);
        assert!(send.poll(at(ms)).is_some());
        self.link.set_flying(&send, at(ms));
    }

    fn pong(&mut self, payload: &[u8], ms: u64) {
        self.link.handle_inbound(at(ms));
        self.link.handle_pong(payload, &mut self.habit, at(ms));
    }

    fn next(&self) -> u64 {
        let wakeup = self.link.wakeup(&self.config, &self.habit, self.outlook).unwrap();
        u64::try_from(wakeup.at.since(Timestamp::ZERO).as_millis()).unwrap()
    }

    fn timeout(&mut self, ms: u64) -> Option<DropCause> {
        let Self {
            link,
            habit,
            config,
            outlook,
        } = self;
        link.handle_timeout((config, habit), *outlook, at(ms))
    }

    /// Nothing comes any more, pings leave the socket or not: when that is noticed, and as what.
    fn silence(&mut self, leaves: bool) -> (u64, DropCause) {
        for _ in 0..10 {
            let now = self.next();
            if let Some(cause) = self.timeout(now) {
                return (now, cause);
            }
            if self.ping(now).is_some() && leaves {
                self.link.handle_flushed(at(now));
            }
        }
        panic!("never noticed")
    }
}

/// Three seconds without an answer to data, two for the probe.
#[test]
fn a_silent_black_hole_under_traffic_is_noticed_within_6_seconds() {
    let mut case = Case::answered();
    case.link.handle_inbound(at(1000));
    case.fly(1000);
    assert_eq!(case.silence(true), (6000, DropCause::BacklogStalled));
}

/// Two hosts showed it: a hole in the way in stops TCP's acknowledges, and so the socket fills before the probe.
#[test]
fn a_black_hole_that_stops_the_socket_is_noticed_as_soon() {
    let mut case = Case::answered();
    case.link.handle_inbound(at(1000));
    case.fly(1000);
    assert_eq!(case.silence(false), (6000, DropCause::WriteStalled));
}

/// What waits before it fills the websocket's queue, and the probe has no place there.
#[test]
fn a_probe_that_cannot_even_be_queued_has_the_same_deadline() {
    let mut case = Case::answered();
    case.link.handle_inbound(at(1000));
    case.fly(1000);
    assert_eq!((case.next(), case.timeout(4000)), (4000, None));
    assert_eq!(case.next(), 6000);
    assert_eq!(case.timeout(6000), Some(DropCause::WriteStalled));
}

#[test]
fn a_silent_black_hole_is_noticed_after_interval_and_timeout_when_idle() {
    let mut case = Case::answered();
    assert_eq!(case.silence(true), (20 + 15_000 + 5000, DropCause::PongOverdue));
}

/// Without having seen one answered ping, silence proves nothing, and a full socket is given more time.
#[test]
fn an_endpoint_that_never_answers_pings_is_given_its_time() {
    let mut case = Case::answered();
    case.habit = PongHabit::default();
    case.fly(1000);
    let (ms, cause) = case.silence(false);
    assert_eq!((ms, cause), (1000 + 3000 + 15_000, DropCause::WriteStalled));
}

/// Two hosts showed it: what was on its way when the route changed came a moment later and looked like life.
#[test]
fn a_changed_network_is_judged_by_the_probe_and_not_by_what_was_on_its_way() {
    let mut case = Case::answered();
    case.fly(1000);
    case.link.shake(at(1000));
    assert!(case.ping(1000).is_some(), "at once");
    case.link.handle_flushed(at(1000));
    case.link.handle_inbound(at(1010));
    assert_eq!(case.silence(true), (3000, DropCause::BacklogStalled));
    assert!(case.link.is_shaken());
}

#[test]
fn a_changed_network_that_goes_on_working_drops_nothing() {
    // By the answer to the probe, or by any frame that comes later than an echo.
    for pong in [true, false] {
        let mut case = Case::answered();
        case.link.shake(at(1000));
        let probe = case.ping(1000).unwrap();
        case.link.handle_flushed(at(1000));
        if pong {
            case.pong(&probe, 1020);
            assert!(!case.link.is_shaken());
        } else {
            case.link.handle_inbound(at(1800));
        }
        assert_eq!(case.timeout(3000), None);
        assert!(case.next() > 15_000, "{}", case.next());
    }
}

#[test]
fn a_second_change_while_the_probe_is_out_asks_again() {
    let mut case = Case::answered();
    case.link.shake(at(1000));
    let first = case.ping(1000).unwrap();
    case.link.handle_flushed(at(1000));
    case.link.shake(at(1200));
    assert_eq!(case.ping(1200), None, "one at a time");
    case.pong(&first, 1300);
    let second = case.ping(1300).unwrap();
    case.link.handle_flushed(at(1300));
    assert!(case.link.is_shaken());
    case.pong(&second, 1400);
    assert!(!case.link.is_shaken());
    assert_eq!(case.timeout(10_000), None);
    assert!(case.next() > 15_000, "{}", case.next());
}

/// Each change asks, and none gives more time to who does not answer.
#[test]
fn a_network_that_changes_for_ever_hides_no_dead_websocket() {
    let mut case = Case::answered();
    for ms in (1000..3000).step_by(200) {
        case.link.shake(at(ms));
        if case.ping(ms).is_some() {
            case.link.handle_flushed(at(ms));
        }
        assert_eq!(case.timeout(ms), None);
    }
    assert_eq!(case.timeout(3000), Some(DropCause::BacklogStalled));
}

/// The answer to an older ping says nothing about the network as it is now.
#[test]
fn an_answer_from_before_the_change_proves_nothing() {
    let mut case = Case::answered();
    let now = case.next();
    assert_eq!(case.timeout(now), None);
    let old = case.ping(now).unwrap();
    case.link.handle_flushed(at(now));
    case.link.shake(at(now + 10));
    assert!(case.ping(now + 10).is_some());
    case.link.handle_flushed(at(now + 10));
    case.pong(&old, now + 15);
    assert!(case.link.is_shaken());
    assert_eq!(case.silence(true), (now + 2010, DropCause::BacklogStalled));
}

/// Only TCP can tell then, and only to who writes.
#[test]
fn a_link_that_is_not_read_is_asked_all_the_same_and_silence_proves_nothing() {
    let mut case = Case::answered();
    case.outlook.reads = false;
    case.fly(1000);
    for round in 1..100 {
        let now = case.next();
        assert_eq!(now, 20 + round * 15_000, "as often as an idle one");
        assert_eq!(case.timeout(now), None);
        assert!(case.ping(now).is_some());
        case.link.handle_flushed(at(now));
    }
    let (ms, cause) = case.silence(false);
    assert_eq!((ms, cause), (20 + 101 * 15_000, DropCause::WriteStalled));
}
