//! What a new configuration changes, decided without touching anything.

use super::settings::{SessionSettings, Settings};

/// What has to happen for `new` to take the place of `old`; names, each list in the order of the new settings (of the old
/// ones where a session is gone).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Sessions to start.
    pub added: Vec<String>,
    /// Sessions to end.
    pub removed: Vec<String>,
    /// Sessions to end and start anew: each of their settings may matter from the first message on.
    pub restarted: Vec<String>,
    /// Sessions that go on as they are and are told their new settings: those matter only later.
    pub updated: Vec<String>,
    /// Sessions nobody may touch.
    pub unchanged: Vec<String>,
    /// Whether `[log]` changed.
    pub log: bool,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.restarted.is_empty()
            && self.updated.is_empty()
            && !self.log
    }
}

/// Compares two configurations, session by session; a session is the same one while its name is.
pub fn diff(old: &Settings, new: &Settings) -> Changes {
    let mut changes = Changes {
        log: old.log != new.log,
        ..Changes::default()
    };
    for session in &new.sessions {
        let list = match find(old, &session.name) {
            None => &mut changes.added,
            Some(before) if before == session => &mut changes.unchanged,
            Some(before) if runs_like(before, session) => &mut changes.updated,
            Some(_) => &mut changes.restarted,
        };
        list.push(session.name.clone());
    }
    changes.removed = old
        .sessions
        .iter()
        .filter(|session| find(new, &session.name).is_none())
        .map(|session| session.name.clone())
        .collect();
    changes
}

/// Whether a session of the one settings is, while it runs, no different from one of the other: what is read only at its
/// end may differ.
fn runs_like(a: &SessionSettings, b: &SessionSettings) -> bool {
    let at_the_end = SessionSettings {
        on_exit: b.on_exit,
        ..a.clone()
    };
    at_the_end == *b
}

fn find<'s>(settings: &'s Settings, name: &str) -> Option<&'s SessionSettings> {
    settings.sessions.iter().find(|session| session.name == name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};

    fn settings(text: &str) -> Settings {
        parse(text, Path::new("autossm.toml"), &Environment::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sessions, each on a port of its own, with these further keys.
    fn sessions(of: &[(&str, &str)]) -> Settings {
        let session = |(name, more): &(&str, &str)| {
            let port: u32 = 1000 + name.bytes().map(u32::from).sum::<u32>();
            format!("[session.{name}]\ntarget = \"i-0\"\n{more}\nforward = {{ listen = \":{port}\", port = 80 }}\n")
        };
        settings(&of.iter().map(session).collect::<String>())
    }

    #[test]
    fn the_same_settings_change_nothing() {
        let same = sessions(&[("a", ""), ("b", "reason = \"why\"")]);
        let changes = diff(&same, &same.clone());
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(changes.unchanged, ["a", "b"]);
    }

    #[test]
    fn a_default_written_down_changes_nothing() {
        let old = sessions(&[("a", "")]);
        let new = sessions(&[("a", "on_exit = \"detach\"\npayload_limit = 1024")]);
        assert!(diff(&old, &new).is_empty());
    }

    #[test]
    fn each_session_is_judged_alone() {
        let old = sessions(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
        let new = sessions(&[
            ("a", ""),
            ("b", "region = \"eu-west-1\""),
            ("d", "on_exit = \"terminate\""),
            ("e", ""),
        ]);
        let changes = diff(&old, &new);
        assert_eq!(
            changes,
            Changes {
                added: vec!["e".to_owned()],
                removed: vec!["c".to_owned()],
                restarted: vec!["b".to_owned()],
                updated: vec!["d".to_owned()],
                unchanged: vec!["a".to_owned()],
                log: false,
            }
        );
        let back = diff(&new, &old);
        assert_eq!(back.added, ["c"]);
        assert_eq!(back.removed, ["e"]);
        assert_eq!((back.restarted, back.updated), (changes.restarted, changes.updated));
    }

    #[test]
    fn a_renamed_session_is_another_one() {
        let changes = diff(&sessions(&[("a", "")]), &sessions(&[("b", "")]));
        assert_eq!(
            (changes.added, changes.removed),
            (vec!["b".to_owned()], vec!["a".to_owned()])
        );
    }

    #[test]
    fn every_key_but_on_exit_restarts() {
        let old = sessions(&[("a", "")]);
        for key in [
            "profile = \"work\"",
            "region = \"eu-west-1\"",
            "endpoint_url = \"https://ssm.example.com\"",
            "reason = \"why\"",
            "payload_limit = 2048",
            "timings.ping_interval = \"16s\"",
            "timings.backoff.cap = \"16s\"",
        ] {
            let changes = diff(&old, &sessions(&[("a", key)]));
            assert_eq!(changes.restarted, ["a"], "{key}");
        }
    }

    #[test]
    fn defaults_change_the_sessions_that_take_them() {
        let text = |region: &str| {
            settings(&format!(
                "[defaults]\nregion = \"{region}\"\n\
                 [session.own]\ntarget = \"i-0\"\nregion = \"us-east-1\"\nforward = {{ listen = \":1\", port = 1 }}\n\
                 [session.taken]\ntarget = \"i-0\"\nforward = {{ listen = \":2\", port = 2 }}\n"
            ))
        };
        let changes = diff(&text("eu-west-1"), &text("eu-west-2"));
        assert_eq!(changes.restarted, ["taken"]);
        assert_eq!(changes.unchanged, ["own"]);
    }

    #[test]
    fn the_log_changes_without_the_sessions() {
        let old = sessions(&[("a", "")]);
        let mut new = old.clone();
        new.log.level = crate::config::LogLevel::Debug;
        let changes = diff(&old, &new);
        assert!(changes.log && !changes.is_empty());
        assert_eq!(changes.unchanged, ["a"]);
    }
}
