//! What is known about a key, and what may be meant by one that is unknown.

use std::time::Duration;

use autossm_proto::session::SessionConfig;

use super::settings::BackoffSettings;
use super::vocabulary::TABLES;

/// The keys of one table.
#[derive(Debug)]
pub(super) struct Keys {
    /// Its name in the schema.
    pub(super) name: &'static str,
    /// How a hint calls it.
    pub(super) place: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// Something to write in it.
    pub(super) example: &'static str,
    /// The keys it cannot do without.
    pub(super) required: &'static [&'static str],
    /// All of them.
    pub(super) keys: &'static [&'static [Key]],
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) value: Value,
}

/// What a key may be.
#[derive(Debug)]
pub(super) enum Value {
    /// A string.
    Text { longest: usize, example: &'static str },
    /// A string or a list of them.
    Texts { example: &'static str },
    /// Strings or lists of them, each under a name that is not ours.
    Named { example: &'static str },
    /// One of some words.
    Word {
        words: fn() -> Vec<&'static str>,
        default: fn() -> &'static str,
    },
    /// True or false.
    Flag { default: bool },
    /// A whole number from `low` to `high`.
    Integer {
        low: u64,
        high: u64,
        default: Option<fn() -> usize>,
    },
    /// How much the waits between attempts grow.
    Multiplier,
    /// A time span of the protocol.
    Timing(Limits, Field),
    /// A time span of the protocol that nobody need say, and an example.
    Maybe(Limits, MaybeField, &'static str),
    /// A time span of the daemon's own, and its default.
    Span(Limits, fn() -> Duration),
    /// A wait between attempts.
    Wait(Limits, fn(&BackoffSettings) -> Duration),
    /// A table with these keys.
    Table(&'static Keys),
    /// Tables with these keys, each under a name of its own.
    Tables(&'static Keys),
}

/// Where a time span of the protocol goes.
pub(super) type Field = fn(&mut SessionConfig) -> &mut Duration;

/// Where such a time span goes that nobody need say.
pub(super) type MaybeField = fn(&mut SessionConfig) -> &mut Option<Duration>;

/// Which time spans make sense.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
    /// Whether zero, too, is meant as it is: "at once" or "never".
    pub(super) zero: bool,
}

/// What other programs call these things.
#[rustfmt::skip]
const OTHER_NAMES: &[(&str, &str)] = &[
    ("instance", "target"), ("instance_id", "target"), ("instanceId", "target"),
    ("local_port", "listen"), ("localPort", "listen"), ("localPortNumber", "listen"), ("bind", "listen"), ("address", "listen"),
    ("remote_host", "host"), ("remoteHost", "host"), ("hostname", "host"),
    ("remote_port", "port"), ("remotePort", "port"), ("portNumber", "port"),
    ("aws_profile", "profile"), ("aws_region", "region"), ("endpoint", "endpoint_url"),
    ("keepalive", "ping_interval"), ("keepalive_interval", "ping_interval"), ("max_delay", "cap"), ("max_wait", "cap"),
    ("log_level", "level"), ("loglevel", "level"), ("description", "reason"), ("comment", "reason"),
    ("connections", "session"), ("tunnel", "session"), ("tunnels", "session"), ("logging", "log"), ("default", "defaults"),
];

impl Key {
    /// What makes sense for a time span, and its default if it has one.
    pub(super) fn span(&self) -> Option<(&Limits, Option<Duration>)> {
        match &self.value {
            Value::Timing(limits, field) => Some((limits, Some(*field(&mut SessionConfig::default())))),
            Value::Maybe(limits, ..) => Some((limits, None)),
            Value::Span(limits, default) => Some((limits, Some(default()))),
            Value::Wait(limits, field) => Some((limits, Some(field(&BackoffSettings::default())))),
            Value::Text { .. }
            | Value::Texts { .. }
            | Value::Named { .. }
            | Value::Word { .. }
            | Value::Flag { .. }
            | Value::Integer { .. }
            | Value::Multiplier
            | Value::Table(_)
            | Value::Tables(_) => None,
        }
    }
}

impl Keys {
    /// Every key of the table.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().copied().flatten()
    }

    /// The keys of the table, or of each of the tables, that `name` is.
    pub(super) fn table(&self, name: &str) -> Option<&'static Self> {
        match self.all().find(|key| key.name == name)?.value {
            Value::Table(keys) | Value::Tables(keys) => Some(keys),
            Value::Text { .. }
            | Value::Texts { .. }
            | Value::Named { .. }
            | Value::Word { .. }
            | Value::Flag { .. }
            | Value::Integer { .. }
            | Value::Multiplier
            | Value::Timing(..)
            | Value::Maybe(..)
            | Value::Span(..)
            | Value::Wait(..) => None,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all().any(|key| key.name == name)
    }

    /// A hint about a key this table does not have, and the one of its own that seems to be meant.
    pub(super) fn hint(&self, unknown: &str) -> (String, Option<&'static str>) {
        let plain = unknown.replace('-', "_").to_lowercase();
        let other = OTHER_NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&plain))
            .map(|(_, own)| *own);
        if let Some(meant) = other.filter(|own| self.has(own)) {
            return (format!("did you mean `{meant}`?"), Some(meant));
        }
        if let Some(meant) = similar(&plain, self.all().map(|key| key.name)) {
            return (format!("did you mean `{meant}`?"), Some(meant));
        }
        let own = TABLES
            .iter()
            .flat_map(|table| table.all())
            .find(|key| key.name == plain);
        let other = other.or_else(|| own.map(|key| key.name).filter(|name| *name != unknown));
        let name = other.unwrap_or(unknown);
        if let Some(elsewhere) = TABLES.iter().find(|table| table.has(name)) {
            let hint = match other {
                Some(own) => format!("this is called `{own}` and belongs in {}", elsewhere.place),
                None => format!("`{name}` belongs in {}", elsewhere.place),
            };
            return (hint, None);
        }
        let keys: Vec<String> = self.all().map(|key| format!("`{}`", key.name)).collect();
        (format!("{} has {}", self.place, keys.join(", ")), None)
    }
}

/// The known word that is nearest to `word`, if one is near.
pub(super) fn similar<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.len() / 3).max(1))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::TABLES;

    #[test]
    fn a_key_with_a_hyphen_or_in_capitals_is_recognized() {
        for (table, unknown, meant) in [
            ("session", "instance-id", "target"),
            ("session", "on-end", "on_end"),
            ("session", "REGION", "region"),
            ("session", "Forward", "forward"),
            ("forward", "local-port", "listen"),
            ("forward", "localPortNumber", "listen"),
            ("forward", "Remote-Host", "host"),
            ("timings", "ping-interval", "ping_interval"),
        ] {
            let keys = TABLES.iter().find(|keys| keys.name == table).unwrap();
            assert_eq!(keys.hint(unknown).1, Some(meant), "{unknown}");
        }
    }
}
