//! When it is worth asking for credentials again, for all sessions of an account together.

use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::FailureClass;

/// After a failure that somebody has to mend. A helper may open a window each time, so not often.
const LOGIN_WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5 * 60));
/// After a failure that may pass by itself.
const NETWORK_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Open while nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gate {
    shut: Option<Shut>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shut {
    login: bool,
    next: Timestamp,
    wait: Duration,
    /// The access key that AWS does not take: to get the same one again is no progress.
    refused_key: Option<String>,
}

impl Gate {
    pub(super) const fn is_shut(&self) -> bool {
        self.shut.is_some()
    }

    /// Whether somebody has to log in or to repair something.
    pub(super) fn is_for_login(&self) -> bool {
        self.shut.as_ref().is_some_and(|shut| shut.login)
    }

    /// Whether the next try is due.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.shut.as_ref().is_none_or(|shut| shut.next <= now)
    }

    /// It has failed, or AWS has refused what came: `refused_key` is the access key then.
    pub(super) fn fail(&mut self, class: FailureClass, refused_key: Option<String>, now: Timestamp) {
        let login = class == FailureClass::Credentials;
        let (first, longest) = if login { LOGIN_WAITS } else { NETWORK_WAITS };
        let before = self.shut.take().filter(|shut| shut.login == login);
        let wait = before
            .as_ref()
            .map_or(first, |shut| shut.wait.saturating_mul(2).min(longest));
        self.shut = Some(Shut {
            login,
            next: now.after(wait),
            wait,
            refused_key: refused_key.or_else(|| before?.refused_key),
        });
    }

    /// Whether this access key is one that AWS did not take.
    pub(super) fn knows(&self, key: &str) -> bool {
        let refused = self.shut.as_ref().and_then(|shut| shut.refused_key.as_deref());
        refused == Some(key)
    }

    /// The refused key is tried once more: AWS may have changed its mind. The next try is later.
    pub(super) fn probe(&mut self, now: Timestamp) {
        if let Some(shut) = &mut self.shut {
            shut.wait = shut.wait.saturating_mul(2).min(LOGIN_WAITS.1);
            shut.next = now.after(shut.wait);
        }
    }

    /// All is well; says whether it was not before.
    pub(super) fn open(&mut self) -> bool {
        self.shut.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO.after(Duration::from_secs(seconds))
    }

    /// The times of the tries, when each fails.
    fn tries(class: FailureClass, count: usize) -> Vec<u64> {
        let mut gate = Gate::default();
        let mut now = 0;
        (0..count)
            .map(|_| {
                gate.fail(class, None, at(now));
                while !gate.is_due(at(now)) {
                    now += 1;
                }
                now
            })
            .collect()
    }

    #[test]
    fn tries_get_rarer_up_to_a_limit() {
        assert_eq!(tries(FailureClass::Credentials, 8), [5, 15, 35, 75, 155, 315, 615, 915]);
        assert_eq!(tries(FailureClass::Network, 7), [1, 3, 7, 15, 30, 45, 60]);
    }

    #[test]
    fn another_kind_of_failure_starts_anew_and_a_success_forgets_all() {
        let mut gate = Gate::default();
        assert!(gate.is_due(at(0)) && !gate.open());
        gate.fail(FailureClass::Network, None, at(0));
        gate.fail(FailureClass::Network, None, at(0));
        gate.fail(FailureClass::Credentials, None, at(0));
        assert!(!gate.is_due(at(4)) && gate.is_due(at(5)));
        assert!(gate.is_shut() && gate.open() && !gate.is_shut());
        gate.fail(FailureClass::Credentials, None, at(10));
        assert!(gate.is_due(at(15)));
    }

    #[test]
    fn a_refused_key_is_known_until_all_is_well() {
        let mut gate = Gate::default();
        gate.fail(FailureClass::Credentials, Some("AKIA".to_owned()), at(0));
        gate.fail(FailureClass::Credentials, None, at(5));
        assert!(gate.knows("AKIA") && !gate.knows("ASIA"));
        gate.probe(at(15));
        assert!(!gate.is_due(at(34)) && gate.is_due(at(35)));
        gate.open();
        assert!(!gate.knows("AKIA"));
    }
}
