//! Whether the time spans make sense together.

use std::time::Duration;

use autossm_proto::session::SessionConfig;
use humantime::format_duration;

use super::document::Entry;
use super::file::{Backoff, Common};
use super::keys::Value;
use super::problem::Problems;
use super::settings::BackoffSettings;
use super::vocabulary::STEEPEST_MULTIPLIER;

/// After so long without input AWS ends a session of an account that says nothing else.
const USUAL_IDLE: Duration = Duration::from_secs(20 * 60);

/// The protocol's numbers of a session: its own before the defaults.
pub(super) fn merge_protocol(own: &Common, defaults: &Common, problems: &mut Problems) -> SessionConfig {
    let mut config = SessionConfig::default();
    for common in [defaults, own] {
        for (key, entry) in &common.timings {
            if let Value::Timing(_, field) = &key.value {
                *field(&mut config) = entry.value;
            } else if let Value::Maybe(_, field, _) = &key.value {
                *field(&mut config) = Some(entry.value);
            }
        }
        if let Some(limit) = &common.payload_limit {
            config.payload_limit = usize::try_from(limit.value).unwrap_or(config.payload_limit);
        }
        if let Some(start) = &common.start {
            config.start = start.value;
        }
        if let Some(on_end) = &common.on_end {
            config.on_end = on_end.value;
        }
    }
    let written = Written { own, defaults };
    check_pings(&written, &config, problems);
    check_keepalive(&written, &config, problems);
    check_attempts(&written, &config, problems);
    config
}

/// What was written about a session's timings.
#[derive(Clone, Copy)]
struct Written<'c> {
    own: &'c Common,
    defaults: &'c Common,
}

impl<'c> Written<'c> {
    fn get(&self, name: &str) -> Option<&'c Entry<Duration>> {
        find(self.own, name).or_else(|| find(self.defaults, name))
    }

    /// Whether what was written is wrong, so that what the session has instead is not meant.
    fn is_wrong(&self, name: &'static str) -> bool {
        self.own.wrong.contains(&name) || (self.get(name).is_none() && self.defaults.wrong.contains(&name))
    }
}

fn check_pings(written: &Written<'_>, config: &SessionConfig, problems: &mut Problems) {
    let (interval, timeout) = (written.get("ping_interval"), written.get("ping_timeout"));
    if ["ping_interval", "ping_timeout"]
        .iter()
        .any(|name| written.is_wrong(name))
    {
        return;
    }
    if let Some(entry) = timeout.or(interval)
        && config.ping_timeout > config.ping_interval
    {
        let message = format!(
            "ping_timeout ({}) is longer than ping_interval ({}): the next ping would be due before this one is late",
            say(timeout, config.ping_timeout),
            say(interval, config.ping_interval),
        );
        let hint = "set both, with ping_timeout at most as long as ping_interval";
        problems.add(&entry.at, &entry.path, message, hint);
    }
}

fn check_keepalive(written: &Written<'_>, config: &SessionConfig, problems: &mut Problems) {
    let (Some(entry), Some(every)) = (written.get("idle_keepalive"), config.idle_keepalive) else {
        return;
    };
    if written.is_wrong("idle_keepalive") {
        return;
    }
    let ends = [
        ("session_timeout", Some(config.session_timeout.unwrap_or(USUAL_IDLE))),
        ("max_duration", config.max_duration),
    ];
    for (name, after) in ends {
        let Some(after) = after.filter(|after| every >= *after && !written.is_wrong(name)) else {
            continue;
        };
        let message = format!(
            "idle_keepalive ({}) comes too late: AWS ends the session after {}",
            say(Some(entry), every),
            say(written.get(name), after),
        );
        let hint = if written.get(name).is_some() {
            format!("a quarter of {name} leaves time for a drop")
        } else {
            "write a quarter of it; or set session_timeout, if your account's is longer".to_owned()
        };
        problems.add(&entry.at, &entry.path, message, hint);
        return;
    }
}

/// A re-attach that takes longer than the session lives is never seen to work.
fn check_attempts(written: &Written<'_>, config: &SessionConfig, problems: &mut Problems) {
    const STEPS: [&str; 3] = ["call_timeout", "dial_timeout", "prove_timeout"];
    if STEPS.iter().any(|name| written.is_wrong(name)) {
        return;
    }
    let together = config.call_timeout + config.dial_timeout + config.prove_timeout;
    let ends = [
        ("session_timeout", config.session_timeout),
        ("max_duration", config.max_duration),
    ];
    for (name, after) in ends {
        let Some(after) = after.filter(|after| together >= *after && !written.is_wrong(name)) else {
            continue;
        };
        let longest = STEPS
            .iter()
            .filter_map(|step| written.get(step))
            .max_by_key(|entry| entry.value);
        let Some(entry) = longest.or_else(|| written.get(name)) else {
            continue;
        };
        let message = format!(
            "one attempt may take {} (call_timeout, dial_timeout and prove_timeout together), and AWS ends the session after {}",
            format_duration(together),
            format_duration(after),
        );
        let hint = format!("make them shorter than {name} together");
        problems.add(&entry.at, &entry.path, message, hint);
        return;
    }
}

fn find<'c>(common: &'c Common, name: &str) -> Option<&'c Entry<Duration>> {
    let found = common.timings.iter().find(|(key, _)| key.name == name);
    found.map(|(_, entry)| entry)
}

/// The waits between attempts of a session: its own before the defaults.
pub(super) fn merge_backoff(own: &Backoff, defaults: &Backoff, problems: &mut Problems) -> BackoffSettings {
    let standard = BackoffSettings::default();
    let initial = own.initial.as_ref().or(defaults.initial.as_ref());
    let multiplier = own.multiplier.as_ref().or(defaults.multiplier.as_ref());
    let cap = own.cap.as_ref().or(defaults.cap.as_ref());
    let value = |entry: Option<&Entry<Duration>>, standard| entry.map_or(standard, |entry| entry.value);
    let merged = BackoffSettings {
        initial: value(initial, standard.initial),
        multiplier: multiplier.map_or(standard.multiplier, |entry| entry.value),
        cap: value(cap, standard.cap),
    };
    if let Some(entry) = multiplier
        && (entry.value <= 1.0 || entry.value > STEEPEST_MULTIPLIER)
    {
        let message = format!("the waits grow by a factor above 1, at most {STEEPEST_MULTIPLIER}");
        let hint = "2 doubles them".to_owned();
        problems.add(&entry.at, &entry.path, message, hint);
    }
    if let Some(entry) = cap.or(initial)
        && !own.wrong
        && !defaults.wrong
        && merged.cap < merged.initial
    {
        let message = format!(
            "the first wait ({}) would be longer than the longest one ({})",
            say(initial, merged.initial),
            say(cap, merged.cap),
        );
        let hint = "make cap at least as long as initial".to_owned();
        problems.add(&entry.at, &entry.path, message, hint);
    }
    merged
}

/// A time span for a message, and whether anybody has written it.
fn say(entry: Option<&Entry<Duration>>, value: Duration) -> String {
    let by_default = if entry.is_none() { ", by default" } else { "" };
    format!("{}{by_default}", format_duration(value))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Environment, parse};

    /// What is said about a session with these timings.
    fn said(timings: &str) -> Vec<String> {
        let text = format!("[session.a]\ntarget = \"i-0\"\nshell = {{}}\ntimings = {{ {timings} }}\n");
        match parse(&text, Path::new("a.toml"), &Environment::default()) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_keepalive_comes_before_aws_ends_the_session() {
        for (timings, wrong) in [
            (
                "idle_keepalive = \"50m\"",
                Some("AWS ends the session after 20m, by default"),
            ),
            ("idle_keepalive = \"20m\"", Some("comes too late")),
            ("idle_keepalive = \"5m\"", None),
            ("idle_keepalive = \"50m\", session_timeout = \"1h\"", None),
            (
                "idle_keepalive = \"5m\", max_duration = \"1m\"",
                Some("AWS ends the session after 1m"),
            ),
        ] {
            let said = said(timings);
            assert_eq!(said.len(), usize::from(wrong.is_some()), "{timings}: {said:?}");
            assert!(said.concat().contains(wrong.unwrap_or_default()), "{timings}: {said:?}");
        }
    }

    #[test]
    fn an_attempt_is_over_before_aws_ends_the_session() {
        for (timings, wrong) in [
            ("session_timeout = \"1m\", call_timeout = \"10m\"", true),
            ("session_timeout = \"1m\", dial_timeout = \"10m\"", true),
            ("session_timeout = \"1m\", prove_timeout = \"10m\"", true),
            ("max_duration = \"1m\", call_timeout = \"10m\"", true),
            (
                "session_timeout = \"1m\", call_timeout = \"20s\", dial_timeout = \"20s\", prove_timeout = \"20s\"",
                true,
            ),
            ("session_timeout = \"1m\", max_duration = \"1m\"", false),
            ("call_timeout = \"10m\"", false),
        ] {
            let said = said(timings);
            assert_eq!(said.len(), usize::from(wrong), "{timings}: {said:?}");
            if wrong {
                assert!(said.concat().contains("one attempt may take"), "{timings}: {said:?}");
            }
        }
    }

    #[test]
    fn a_time_span_that_is_wrong_is_not_taken_for_its_default() {
        for timings in [
            "ping_interval = \"0.5s\", ping_timeout = \"0s\"",
            "ping_interval = \"0.5s\", ping_timeout = 1",
            "ping_interval = \"0.5s\", ping_timout = \"0.4s\"",
            "backoff = { initial = \"1m\", cap = 120 }",
            "idle_keepalive = \"30m\", session_timeout = 60",
        ] {
            let said = said(timings);
            assert_eq!(said.len(), 1, "{timings}: {said:?}");
        }
    }
}
