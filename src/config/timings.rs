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
    let written = |name: &str| find(own, name).or_else(|| find(defaults, name));
    let (interval, timeout) = (written("ping_interval"), written("ping_timeout"));
    if let Some(entry) = timeout.or(interval)
        && config.ping_timeout > config.ping_interval
    {
        let message = format!(
            "ping_timeout ({}) is longer than ping_interval ({}): the next ping would be due before this one is late",
            say(timeout, config.ping_timeout),
            say(interval, config.ping_interval),
        );
        let hint = "set both, with ping_timeout at most as long as ping_interval".to_owned();
        problems.add(&entry.at, &entry.path, message, hint);
    }
    let (keepalive, idle) = (written("idle_keepalive"), written("session_timeout"));
    if let (Some(entry), Some(every), Some(limit)) = (keepalive, config.idle_keepalive, config.session_timeout)
        && every >= limit
    {
        let message = format!(
            "idle_keepalive ({}) comes too late: AWS ends the session after {}",
            say(keepalive, every),
            say(idle, limit),
        );
        let hint = "a quarter of session_timeout leaves time for a drop".to_owned();
        problems.add(&entry.at, &entry.path, message, hint);
    }
    config
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
