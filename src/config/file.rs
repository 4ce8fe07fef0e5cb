//! The configuration as it was written: every key, none of them decided yet.

use std::ops::Range;
use std::time::Duration;

use autossm_proto::session::SessionConfig;

use super::document::{Entry, Table, similar};
use super::problem::Problems;
use super::settings::{LogFormat, LogLevel, OnExit};

/// The keys of the whole file.
pub(super) const ROOT: &[&str] = &["log", "defaults", "session"];
/// The keys of `[defaults]`; `[session.NAME]` has them too.
pub(super) const COMMON: &[&str] = &[
    "profile",
    "region",
    "endpoint_url",
    "on_exit",
    "payload_limit",
    "timings",
];
/// The keys of `[log]`.
pub(super) const LOG: &[&str] = &["level", "format"];
/// The keys of `[session.NAME]` beside the common ones.
pub(super) const SESSION: &[&str] = &["target", "forward", "reason"];
/// The keys of `forward`.
pub(super) const FORWARD: &[&str] = &["listen", "host", "port", "allow_remote_clients"];
/// The keys of `timings.backoff`.
pub(super) const BACKOFF: &[&str] = &["initial", "multiplier", "cap"];

/// Payload bytes of one message: room for a smux header and some data, and within what a smux frame's 16-bit length says.
const PAYLOAD_LIMIT: (u64, u64) = (64, 60_000);
/// No wait of the protocol makes sense beyond a day.
const LONGEST_TIMING: Duration = Duration::from_secs(24 * 60 * 60);
/// Below this every timer would be a busy loop.
const SHORTEST_TIMING: Duration = Duration::from_millis(1);

/// A key of `timings` that is a time span.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) key: &'static str,
    /// Whether zero means "at once" instead of a mistake.
    zero: bool,
    pub(super) field: fn(&mut SessionConfig) -> &mut Duration,
}

/// The time spans of `timings`; it has `backoff` too.
#[rustfmt::skip]
pub(super) const TIMINGS: &[Timing] = &[
    Timing { key: "ping_interval", zero: false, field: |config| &mut config.ping_interval },
    Timing { key: "ping_timeout", zero: false, field: |config| &mut config.ping_timeout },
    Timing { key: "call_timeout", zero: false, field: |config| &mut config.call_timeout },
    Timing { key: "dial_timeout", zero: false, field: |config| &mut config.dial_timeout },
    Timing { key: "handshake_timeout", zero: false, field: |config| &mut config.handshake_timeout },
    Timing { key: "prove_timeout", zero: false, field: |config| &mut config.prove_timeout },
    Timing { key: "link_hold", zero: true, field: |config| &mut config.link_hold },
    Timing { key: "token_reuse", zero: true, field: |config| &mut config.token_reuse },
    Timing { key: "fin_grace", zero: true, field: |config| &mut config.fin_grace },
    Timing { key: "wedged_after", zero: false, field: |config| &mut config.wedged_after },
];

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) log: Log,
    pub(super) defaults: Common,
    /// In the order of their names.
    pub(super) sessions: Vec<Session>,
}

/// `[log]`.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) level: Option<Entry<LogLevel>>,
    pub(super) format: Option<Entry<LogFormat>>,
}

/// What sessions share with `[defaults]`.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) profile: Option<Entry<String>>,
    pub(super) region: Option<Entry<String>>,
    pub(super) endpoint_url: Option<Entry<String>>,
    pub(super) on_exit: Option<Entry<OnExit>>,
    pub(super) payload_limit: Option<Entry<u64>>,
    pub(super) timings: Vec<(&'static Timing, Entry<Duration>)>,
    pub(super) backoff: Backoff,
}

/// `timings.backoff`.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pub(super) initial: Option<Entry<Duration>>,
    pub(super) multiplier: Option<Entry<f64>>,
    pub(super) cap: Option<Entry<Duration>>,
}

/// `[session.NAME]`.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: Entry<String>,
    pub(super) target: Option<Entry<String>>,
    pub(super) forward: Option<Forward>,
    pub(super) reason: Option<Entry<String>>,
    pub(super) common: Common,
}

/// `forward`.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) listen: Vec<Entry<String>>,
    pub(super) host: Option<Entry<String>>,
    pub(super) port: Option<Entry<u64>>,
    pub(super) allow_remote_clients: Option<Entry<bool>>,
}

/// Reads every key of the file and notes each that is unknown or of the wrong kind.
pub(super) fn read(mut root: Table<'_>, problems: &mut Problems) -> File {
    let log = root.table("log", problems).map(|mut table| {
        let log = Log {
            level: table.word("level", LogLevel::WORDS, problems),
            format: table.word("format", LogFormat::WORDS, problems),
        };
        table.finish(problems, |key| hint(key, &[LOG], "[log]"));
        log
    });
    let defaults = root.table("defaults", problems).map(|mut table| {
        let common = read_common(&mut table, problems);
        table.finish(problems, |key| hint(key, &[COMMON], "[defaults]"));
        common
    });
    let sessions = root.table("session", problems).map(|table| {
        table
            .into_tables(problems)
            .into_iter()
            .map(|(name, table)| read_session(name, table, problems))
            .collect()
    });
    root.finish(problems, |key| hint(key, &[ROOT], "the file"));
    File {
        log: log.unwrap_or_default(),
        defaults: defaults.unwrap_or_default(),
        sessions: sessions.unwrap_or_default(),
    }
}

fn read_session(name: Entry<String>, mut table: Table<'_>, problems: &mut Problems) -> Session {
    for (key, example) in [
        ("target", "target = \"i-0123456789abcdef0\""),
        ("forward", "forward = { listen = \"127.0.0.1:5432\", port = 5432 }"),
    ] {
        require(&table, &name.at, key, example, problems);
    }
    let target = table.text("target", problems);
    let forward = table
        .table("forward", problems)
        .map(|table| read_forward(table, problems));
    let reason = table.text("reason", problems);
    let common = read_common(&mut table, problems);
    table.finish(problems, |key| hint(key, &[SESSION, COMMON], "[session.NAME]"));
    Session {
        name,
        target,
        forward,
        reason,
        common,
    }
}

fn read_common(table: &mut Table<'_>, problems: &mut Problems) -> Common {
    let mut common = Common {
        profile: table.text("profile", problems),
        region: table.text("region", problems),
        endpoint_url: table.text("endpoint_url", problems),
        on_exit: table.word("on_exit", OnExit::WORDS, problems),
        payload_limit: table.integer("payload_limit", PAYLOAD_LIMIT, problems),
        ..Common::default()
    };
    let Some(mut timings) = table.table("timings", problems) else {
        return common;
    };
    for timing in TIMINGS {
        let entry = read_timing(&mut timings, timing.key, timing.zero, problems);
        common.timings.extend(entry.map(|entry| (timing, entry)));
    }
    if let Some(mut backoff) = timings.table("backoff", problems) {
        common.backoff = Backoff {
            initial: read_timing(&mut backoff, "initial", false, problems),
            multiplier: backoff.number("multiplier", problems),
            cap: read_timing(&mut backoff, "cap", false, problems),
        };
        backoff.finish(problems, |key| hint(key, &[BACKOFF], "timings.backoff"));
    }
    let known: Vec<&str> = timing_keys().collect();
    timings.finish(problems, |key| hint(key, &[&known], "timings"));
    common
}

fn read_forward(mut table: Table<'_>, problems: &mut Problems) -> Forward {
    for (key, example) in [("listen", "listen = \"127.0.0.1:5432\""), ("port", "port = 5432")] {
        require(&table, table.at(), key, example, problems);
    }
    let forward = Forward {
        listen: table.texts("listen", problems),
        host: table.text("host", problems),
        port: table.integer("port", (1, 65_535), problems),
        allow_remote_clients: table.flag("allow_remote_clients", problems),
    };
    table.finish(problems, |key| hint(key, &[FORWARD], "forward"));
    forward
}

/// Notes that `key` is missing; `at` is where its table was named.
fn require(table: &Table<'_>, at: &Range<usize>, key: &str, example: &str, problems: &mut Problems) {
    if !table.has(key) {
        let hint = Some(format!("add {example}"));
        problems.add(at, &table.path_of(key), "missing", hint);
    }
}

fn read_timing(table: &mut Table<'_>, key: &str, zero: bool, problems: &mut Problems) -> Option<Entry<Duration>> {
    let entry = table.duration(key, problems)?;
    let message = if entry.value > LONGEST_TIMING {
        "this is longer than a day"
    } else if entry.value >= SHORTEST_TIMING || (zero && entry.value.is_zero()) {
        return Some(entry);
    } else {
        "this is too short: at least 1ms is needed"
    };
    problems.add(&entry.at, &entry.path, message, None);
    None
}

/// The keys of `timings`.
pub(super) fn timing_keys() -> impl Iterator<Item = &'static str> {
    TIMINGS.iter().map(|timing| timing.key).chain(["backoff"])
}

/// What may have been meant by an unknown key of a table with these keys.
fn hint(key: &str, known: &[&[&'static str]], table: &str) -> Option<String> {
    let here = || known.iter().copied().flatten().copied();
    if let Some(meant) = similar(key, here()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let timings: Vec<&str> = timing_keys().collect();
    let elsewhere: [(&[&str], &str); 6] = [
        (SESSION, "[session.NAME]"),
        (FORWARD, "forward = { .. } of a session"),
        (BACKOFF, "timings.backoff = { .. }"),
        (&timings, "timings = { .. }"),
        (LOG, "[log]"),
        (COMMON, "[defaults] or [session.NAME]"),
    ];
    let place = elsewhere
        .iter()
        .find(|(keys, _)| keys.contains(&key))
        .map(|(_, place)| format!("`{key}` belongs in {place}"));
    place.or_else(|| {
        let keys: Vec<String> = here().map(|key| format!("`{key}`")).collect();
        Some(format!("{table} has {}", keys.join(", ")))
    })
}
