//! What is worth a person's attention, decided from the events of the sessions: a login is needed, a session is lost, or
//! has been away for long and is back. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use autossm_proto::Timestamp;
use autossm_proto::session::Phase;
use humantime::format_duration;

use crate::config::Settings;
use crate::status::Event;

/// What falls together within this is one notice.
const TOGETHER: Duration = Duration::from_secs(3);
/// Sessions that a notice names.
const NAMED: usize = 4;

/// Which sessions count, and when one is away for long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) desktop: bool,
    pub(super) lost_after: Duration,
    /// Those of the configuration: one on demand has a client that sees for itself.
    pub(super) sessions: BTreeSet<String>,
}

impl Plan {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            desktop: settings.notify.desktop,
            lost_after: settings.notify.lost_after,
            sessions: settings.sessions.iter().map(|session| session.name.clone()).collect(),
        }
    }
}

/// Tells what is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Somebody must log in.
    Login {
        /// With the command that helps.
        cause: String,
    },
    /// AWS has ended a session that was in use.
    Lost { session: String, cause: String },
    /// Sessions have been away for so long.
    Away {
        sessions: Vec<String>,
        after: Duration,
        cause: String,
    },
    /// What an earlier notice was about is over.
    Back { sessions: Vec<String> },
}

impl Notice {
    /// In one line.
    pub(super) fn summary(&self) -> String {
        match self {
            Self::Login { .. } => "autossm needs a login to AWS".to_owned(),
            Self::Lost { session, .. } => format!("AWS has ended session {session}"),
            Self::Away { sessions, after, .. } => format!("{} away for {}", named(sessions), format_duration(*after)),
            Self::Back { sessions } => format!("{} back", named(sessions)),
        }
    }

    /// What more there is to say.
    pub(super) fn body(&self) -> &str {
        match self {
            Self::Login { cause } | Self::Lost { cause, .. } | Self::Away { cause, .. } => cause,
            Self::Back { .. } => "",
        }
    }
}

/// `db is`, `db and web are`, `a, b, c, d and 3 more are`.
fn named(sessions: &[String]) -> String {
    let first: Vec<&str> = sessions.iter().take(NAMED).map(String::as_str).collect();
    match (first.as_slice(), sessions.len().saturating_sub(NAMED)) {
        ([only], _) => format!("{only} is"),
        ([before @ .., last], 0) => format!("{} and {last} are", before.join(", ")),
        (all, more) => format!("{} and {more} more are", all.join(", ")),
    }
}

/// How one session stands.
#[derive(Clone, Debug, Default)]
struct Watched {
    /// It is wanted and not attached, and no login is what it waits for.
    away_since: Option<Timestamp>,
    awaits_login: bool,
    cause: String,
    /// A notice was about it.
    told: bool,
}

/// Turns events into notices.
#[derive(Debug)]
pub(super) struct Notices {
    plan: Plan,
    sessions: BTreeMap<String, Watched>,
    /// What helps with the logins that were told.
    logins: BTreeSet<String>,
    /// Sessions that are back, and when that is told.
    back: BTreeSet<String>,
    back_at: Option<Timestamp>,
}

impl Notices {
    pub(super) const fn new(plan: Plan) -> Self {
        Self {
            plan,
            sessions: BTreeMap::new(),
            logins: BTreeSet::new(),
            back: BTreeSet::new(),
            back_at: None,
        }
    }

    /// Other settings; what was told stays told.
    pub(super) fn follow(&mut self, plan: Plan) {
        self.sessions.retain(|name, _| plan.sessions.contains(name));
        self.plan = plan;
    }

    /// The machine slept: nobody could be attached meanwhile, and nobody missed it.
    pub(super) fn handle_slept(&mut self, slept: Duration) {
        for watched in self.sessions.values_mut() {
            watched.away_since = watched.away_since.map(|since| since.after(slept));
        }
    }

    /// Something has happened.
    pub(super) fn handle(&mut self, event: &Event, now: Timestamp) -> Option<Notice> {
        let Event::Phase {
            session,
            to,
            cause,
            lost_connections,
            ..
        } = event
        else {
            return None;
        };
        if !self.plan.sessions.contains(session) {
            return None;
        }
        let watched = self.sessions.entry(session.clone()).or_default();
        watched.cause.clone_from(cause);
        watched.awaits_login = *to == Phase::AwaitingLogin;
        // Nobody misses a session that nobody used.
        let mut notice = (*lost_connections > 0).then(|| Notice::Lost {
            session: session.clone(),
            cause: cause.clone(),
        });
        match to {
            Phase::Attached => {
                watched.away_since = None;
                if std::mem::take(&mut watched.told) {
                    self.back.insert(session.clone());
                    self.back_at.get_or_insert_with(|| now.after(TOGETHER));
                }
            }
            Phase::AwaitingLogin => {
                watched.away_since = None;
                watched.told = true;
                if self.logins.insert(help(cause).to_owned()) {
                    notice = Some(Notice::Login { cause: cause.clone() });
                }
            }
            Phase::Dormant | Phase::Stopped => *watched = Watched::default(),
            Phase::Ended | Phase::Starting | Phase::Handshaking | Phase::Reattaching | Phase::AwaitingTarget => {
                watched.away_since.get_or_insert(now);
                self.back.remove(session);
                watched.told |= notice.is_some();
            }
        }
        if !self.sessions.values().any(|watched| watched.awaits_login) {
            self.logins.clear();
        }
        notice
    }

    /// When [`Notices::handle_timeout`] has something to say, if nothing happens.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let away = self.sessions.values().filter(|watched| !watched.told);
        let away = away.filter_map(|watched| Some(watched.away_since?.after(self.plan.lost_after)));
        away.chain(self.back_at).min()
    }

    /// What is due.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Option<Notice> {
        if self.back_at.is_some_and(|at| at <= now) {
            self.back_at = None;
            let sessions: Vec<String> = std::mem::take(&mut self.back).into_iter().collect();
            if !sessions.is_empty() {
                return Some(Notice::Back { sessions });
            }
        }
        let after = self.plan.lost_after;
        let due = |watched: &Watched, by: Timestamp| {
            !watched.told && watched.away_since.is_some_and(|since| since.after(after) <= by)
        };
        if !self.sessions.values().any(|watched| due(watched, now)) {
            return None;
        }
        // Those that went with them will be due in a moment.
        let (mut sessions, mut cause) = (Vec::new(), String::new());
        for (name, watched) in &mut self.sessions {
            if due(watched, now.after(TOGETHER)) {
                watched.told = true;
                sessions.push(name.clone());
                cause.clone_from(&watched.cause);
            }
        }
        Some(Notice::Away { sessions, after, cause })
    }
}

/// The part of a cause that says what to do: the same for all sessions that wait for the same login.
pub(super) fn help(cause: &str) -> &str {
    cause.split_once("; ").map_or(cause, |(_, help)| help)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(300);

    /// The notices of these phases, one a second apart, and of what follows within `more`.
    fn told(phases: &[(&str, Phase, &str)], more: Duration) -> Vec<Notice> {
        let mut notices = notices();
        let mut now = Timestamp::from_nanos(1_000_000_000);
        let mut told = Vec::new();
        for (session, to, cause) in phases {
            told.extend(notices.handle(&phase(session, *to, cause), now));
            now = now.after(Duration::from_secs(1));
            while notices.poll_timeout().is_some_and(|at| at <= now) {
                told.extend(notices.handle_timeout(now));
            }
        }
        let end = now.after(more);
        while let Some(at) = notices.poll_timeout().filter(|at| *at <= end) {
            told.extend(notices.handle_timeout(at));
        }
        told
    }

    fn notices() -> Notices {
        Notices::new(Plan {
            desktop: true,
            lost_after: AFTER,
            sessions: ["a", "b", "c"].map(ToOwned::to_owned).into(),
        })
    }

    fn phase(session: &str, to: Phase, cause: &str) -> Event {
        Event::Phase {
            session: session.to_owned(),
            from: Phase::Stopped,
            to,
            cause: cause.to_owned(),
            lost_connections: 0,
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_ordinary_drop_is_nobodys_business() {
        let drop = [
            ("a", Phase::Starting, "wanted"),
            ("a", Phase::Attached, ""),
            ("a", Phase::Reattaching, "reset"),
            ("a", Phase::Attached, ""),
        ];
        assert_eq!(told(&drop, 10 * AFTER), []);
        assert_eq!(told(&drop[..3], AFTER - Duration::from_secs(2)), []);
    }

    #[test]
    fn what_is_away_for_long_is_one_notice_and_so_is_its_return() {
        let away = [
            ("a", Phase::Reattaching, "no route"),
            ("b", Phase::Reattaching, "no route"),
            ("b", Phase::Reattaching, "still no route"),
        ];
        let (sessions, cause) = (vec!["a".to_owned(), "b".to_owned()], "still no route".to_owned());
        let notice = Notice::Away {
            sessions: sessions.clone(),
            after: AFTER,
            cause,
        };
        assert_eq!(told(&away, 100 * AFTER), std::slice::from_ref(&notice));
        assert_eq!(notice.summary(), "a and b are away for 5m");
        let mut notices = notices();
        let start = Timestamp::from_nanos(1);
        for (session, to, cause) in away {
            assert_eq!(notices.handle(&phase(session, to, cause), start), None);
        }
        let later = start.after(AFTER);
        assert_eq!(notices.handle_timeout(later), Some(notice));
        assert_eq!(notices.poll_timeout(), None);
        for session in ["a", "b"] {
            assert_eq!(notices.handle(&phase(session, Phase::Attached, ""), later), None);
        }
        let at = notices.poll_timeout().unwrap();
        let back = notices.handle_timeout(at).unwrap();
        assert_eq!(back, Notice::Back { sessions });
        assert_eq!(back.summary(), "a and b are back");
        assert_eq!(notices.poll_timeout(), None);
    }

    #[test]
    fn a_login_is_told_once_for_all_that_wait_for_it() {
        let wait = |session| {
            (
                session,
                Phase::AwaitingLogin,
                "ssm:Resume: expired; run `aws sso login`",
            )
        };
        let other = ("c", Phase::AwaitingLogin, "expired; run `aws sso login --profile c`");
        let all = told(&[wait("a"), wait("b"), other, wait("a")], 10 * AFTER);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all[0].body().contains("run `aws sso login`"), "{all:?}");
        // Back is worth a word, and the next time a login is needed is another one.
        let all = told(
            &[
                wait("a"),
                ("a", Phase::Attached, ""),
                ("b", Phase::Attached, ""),
                wait("b"),
            ],
            MINUTE,
        );
        assert_eq!(all.len(), 3, "{all:?}");
        assert_eq!(
            all[2],
            Notice::Back {
                sessions: vec!["a".to_owned()]
            }
        );
    }

    #[test]
    fn a_session_that_aws_has_ended_is_lost_only_where_it_was_in_use() {
        let idle = [
            ("a", Phase::Ended, "it idled"),
            ("a", Phase::Starting, ""),
            ("a", Phase::Attached, ""),
        ];
        assert_eq!(told(&idle, 10 * AFTER), []);
        for to in [Phase::Ended, Phase::Dormant, Phase::Stopped] {
            let mut event = phase("a", to, "terminated");
            if let Event::Phase { lost_connections, .. } = &mut event {
                *lost_connections = 2;
            }
            let lost = Notice::Lost {
                session: "a".to_owned(),
                cause: "terminated".to_owned(),
            };
            assert_eq!(notices().handle(&event, Timestamp::ZERO), Some(lost), "{to}");
        }
    }

    #[test]
    fn sleep_does_not_count_and_sessions_on_demand_do_not_either() {
        let mut notices = notices();
        let start = Timestamp::from_nanos(1);
        notices.handle(&phase("ssh-1", Phase::Reattaching, ""), start);
        assert_eq!(notices.poll_timeout(), None);
        notices.handle(&phase("a", Phase::Reattaching, ""), start);
        let slept = Duration::from_secs(8 * 60 * 60);
        notices.handle_slept(slept);
        assert_eq!(notices.handle_timeout(start.after(slept)), None);
        assert_eq!(notices.poll_timeout(), Some(start.after(slept).after(AFTER)));
        notices.follow(Plan::default());
        assert_eq!(notices.poll_timeout(), None, "it is in no configuration any more");
    }

    #[test]
    fn names_read_well() {
        let names = |count: usize| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>();
        assert_eq!(named(&names(1)), "s0 is");
        assert_eq!(named(&names(2)), "s0 and s1 are");
        assert_eq!(named(&names(4)), "s0, s1, s2 and s3 are");
        assert_eq!(named(&names(7)), "s0, s1, s2, s3 and 3 more are");
    }
}
